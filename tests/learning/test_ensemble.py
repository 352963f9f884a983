"""Several networks, and mirrored films, answer as one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cxr.errors import TrainingError
from cxr.learning.batches import prepared
from cxr.learning.datasets import PackedFilms
from cxr.learning.ensemble import Ensemble
from cxr.learning.explain import METHODS
from cxr.learning.export import export
from cxr.learning.looking import look
from cxr.learning.release import describe
from cxr.modelfile import DEFAULT_MAPS
from cxr.reading.engine import Engine
from tests.learning.nets import tiny_checkpoint
from tests.learning.test_supply import table_of

FILMS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_an_ensemble_of_one_is_the_network() -> None:
    member = tiny_checkpoint(size=64)
    net = member.network().eval()
    features = net.features(FILMS)
    logits, maps, pooled = Ensemble([member])(FILMS)
    assert torch.equal(logits, net.head(features))
    assert torch.equal(maps, METHODS[DEFAULT_MAPS](net, features))
    assert torch.equal(pooled, features.mean((2, 3)))


@torch.inference_mode()
def test_members_answer_by_the_mean_of_their_logits_each_at_its_own_size() -> None:
    large, small = tiny_checkpoint(size=64), tiny_checkpoint(size=32, seed=1)
    both = Ensemble([small, large])
    logits, maps, pooled = both(FILMS)
    shrunk = F.interpolate(FILMS, size=(32, 32), mode="bilinear", antialias=True)  # as teachers and students see it
    expected = (large.network().eval()(FILMS) + small.network().eval()(shrunk)) / 2
    torch.testing.assert_close(logits, expected)
    assert both.preprocessing.size == 64
    assert maps.shape == (2, 8, 4, 4)  # the finer of the 2 x 2 and 4 x 4 grids
    assert pooled.shape == (2, 256)


@torch.inference_mode()
def test_a_mirrored_film_has_the_same_logits_and_mirrored_maps() -> None:
    net = Ensemble([tiny_checkpoint(size=64)], flip=True)
    logits, maps, pooled = net(FILMS)
    mirrored = net(FILMS.flip(3))
    assert torch.equal(mirrored.logits, logits)
    assert torch.equal(mirrored.maps, maps.flip(3))
    assert torch.equal(mirrored.pooled, pooled)
    alone = Ensemble([tiny_checkpoint(size=64)])
    assert not torch.equal(alone(FILMS.flip(3)).logits, alone(FILMS).logits)


def test_runs_of_two_tasks_are_refused() -> None:
    with pytest.raises(TrainingError, match="The runs are of tasks chestxray8 and pneumonia; those of one answer"):
        Ensemble([tiny_checkpoint(), tiny_checkpoint("pneumonia")])


def test_runs_on_films_of_one_and_of_three_channels_are_refused() -> None:
    with pytest.raises(TrainingError, match="Some of the runs take films of one channel, others of three"):
        Ensemble([tiny_checkpoint(channels=1), tiny_checkpoint(channels=3)])


def test_an_ensemble_says_what_it_is() -> None:
    both = Ensemble([tiny_checkpoint(), tiny_checkpoint()], flip=True)
    assert both.describe() == "binarycnn, avg pooling + binarycnn, avg pooling, mirrored film too"


@pytest.mark.parametrize("flip", [False, True])
def test_an_exported_ensemble_answers_as_in_torch(flip: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (12, 8)).astype(np.float32)
    films = PackedFilms(random.integers(0, 255, (12, 256, 256), np.uint8), labels)
    net = Ensemble([tiny_checkpoint(size=64), tiny_checkpoint(size=32, seed=1)], flip)
    seen = look(net, prepared(films, net.preprocessing))
    space, info = describe(net, "both", table_of(labels, net.task.labels), seen, films)
    export(net, space, info, tmp_path / "both.onnx")
    outputs = Engine(tmp_path / "both.onnx").run(FILMS.numpy())
    with torch.inference_mode():
        logits, maps, _ = net(FILMS)
    np.testing.assert_allclose(outputs.logits, logits, atol=0.1 * float(logits.std()))
    np.testing.assert_allclose(outputs.maps, maps, atol=0.02 * float(maps.max()))
    assert [member["recipe"]["size"] for member in info.training["members"]] == [64, 32]
    assert info.training.get("flip", False) is flip
