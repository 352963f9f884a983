"""The exported file answers as the checkpoint does."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from cxr.learning.batches import prepared
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
from cxr.learning.ensemble import Ensemble
from cxr.learning.explain import METHODS
from cxr.learning.export import SMALLEST_HALVED, SMALLEST_QUANTISED, FeatureSpace, export
from cxr.learning.looking import Seen, look
from cxr.learning.models import build
from cxr.learning.release import _figures, describe, map_scales
from cxr.modelfile import DEFAULT_MAPS, ModelInfo
from cxr.reading.engine import Engine
from cxr.tasks import TASKS, Recipe
from tests.learning.test_supply import table_of


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    net = build("efficientnet_b0", "lse", 14, 3, seed=0)
    recipe = Recipe(arch="efficientnet_b0", size=64)
    return Checkpoint({f"model.{name}": t for name, t in net.state_dict().items()}, "chestxray14", recipe, 1, {})


@pytest.fixture(scope="module")
def films() -> PackedFilms:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (16, 14)).astype(np.float32)
    return PackedFilms(random.integers(0, 255, (16, 256, 256), np.uint8), labels)


@pytest.fixture(scope="module")
def net(checkpoint: Checkpoint) -> Ensemble:
    return Ensemble([checkpoint])


@pytest.fixture(scope="module")
def seen(net: Ensemble, films: PackedFilms) -> Seen:
    return look(net, prepared(films, net.preprocessing))


@pytest.fixture(scope="module")
def exported(net: Ensemble, seen: Seen, films: PackedFilms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "tiny.onnx"
    space, info = describe(net, "tiny", table_of(films.labels, net.task.labels), seen, films)
    export(net, space, info, file)
    return file


def test_the_engine_gives_the_probabilities_and_maps_of_torch(checkpoint: Checkpoint, exported: Path) -> None:
    net = checkpoint.network().eval()
    films = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs = Engine(exported).run(films.numpy())
    with torch.inference_mode():
        features = net.features(films)
        logits, maps = net.head(features).numpy(), METHODS[DEFAULT_MAPS](net, features).numpy()
    assert logits.std() > 0.01
    np.testing.assert_allclose(outputs.logits, logits, atol=0.1 * logits.std())
    np.testing.assert_allclose(outputs.maps, maps, atol=0.02 * maps.max())
    assert outputs.distance.shape == (3,)


def test_large_weights_are_stored_in_8_bits_smaller_ones_in_16_and_the_smallest_as_they_are(exported: Path) -> None:
    stored: dict[int, set[int]] = {}
    for weight in (t for t in onnx.load(exported).graph.initializer if len(t.dims) == 4):
        size = math.prod(weight.dims)
        stored.setdefault((size >= SMALLEST_HALVED) + (size >= SMALLEST_QUANTISED), set()).add(weight.data_type)
    assert stored == {0: {TensorProto.FLOAT}, 1: {TensorProto.FLOAT16}, 2: {TensorProto.INT8}}


def test_the_file_tells_everything_about_the_model(exported: Path) -> None:
    info = Engine(exported).info
    assert (info.name, info.task, len(info.labels), info.preprocessing.size) == ("tiny", "chestxray14", 14, 64)
    assert info.operating_points.keys() == {"youden", "sensitivity90", "specificity90"}
    assert info.operating_points["sensitivity90"]["Mass"].sensitivity >= 0.9
    assert info.map_scale["Hernia"] > 0
    assert info.training["recipe"]["arch"] == "efficientnet_b0"
    assert len(info.resampled["Mass"]) == 200  # the patients are known
    assert ModelInfo.from_json(info.to_json()) == info


def test_a_label_without_positive_films_is_exported_without_calibration_and_operating_points(
    net: Ensemble, seen: Seen, films: PackedFilms
) -> None:
    labels = films.labels.copy()
    labels[:, 13] = 0
    info = describe(net, "tiny", table_of(labels, net.task.labels), seen, films)[1]
    again = ModelInfo.from_json(info.to_json())
    assert again == info and again.uncalibrated == ("Hernia",)
    assert all("Hernia" not in part for part in (info.platt, info.resampled, *info.operating_points.values()))
    assert info.training["validation"]["auroc"]["Hernia"] is None


def test_a_map_scale_is_of_the_positive_films_and_of_all_where_there_is_none() -> None:
    peaks, truth = np.array([[1, 2], [3, 4]], np.float32), np.array([[1, 0], [0, np.nan]], np.float32)
    assert map_scales(peaks, truth, ("Mass", "Hernia")) == pytest.approx({"Mass": 1.0, "Hernia": 3.98})


def test_the_area_of_a_class_among_several_is_that_of_its_probability() -> None:
    logits = np.array([[5, 5, 0], [1, 0, 0], [4, 4, 0], [0, 0, 2]], np.float32)  # the first rises with the second
    truth = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    assert _figures(logits, truth, TASKS["covid3"])["auroc"]["covid"] == 1.0  # 1/3 by the logits


def test_distance_is_about_one_inside_and_large_outside() -> None:
    random = np.random.default_rng(0)
    pooled = random.normal(3.0, 2.0, (500, 100)).astype(np.float32)
    space = FeatureSpace.fit(pooled)
    assert space.distance(pooled).mean() == pytest.approx(1.0, abs=0.1)
    assert space.distance(pooled + 20).min() > 5
