"""Maps through the commands: compared, explained further, exported."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.cli import main
from cxr.learning import checkpoints
from cxr.learning.commands import run_test
from cxr.learning.ensemble import Ensemble
from cxr.learning.export import FeatureSpace, export
from cxr.modelfile import MAPS, ModelInfo, Platt
from cxr.reading.engine import Engine
from tests.learning.conftest import DrawFilms
from tests.learning.nets import tiny_checkpoint

BOX = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000008_000.png,Effusion,0,0,1024,1024,,,\n"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    made = tiny_checkpoint()
    (tmp_path / "run").mkdir()
    recipe = dataclasses.replace(made.recipe, val_share=0.5)
    checkpoints.save(tmp_path / "run" / "best.safetensors", dataclasses.replace(made, recipe=recipe))
    return tmp_path / "run"


def test_methods_are_compared_by_deletion_and_then_by_boxes(
    run_folder: Path, nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(nih_folder, tmp_path / "nih"))
    (folder / "BBox_List_2017.csv").write_text(BOX)
    assert main(["maps", str(run_folder), "--data", str(folder), "--films", "3"]) == 0
    deletion, boxes = capsys.readouterr().out.split("\n\n")
    assert "3 validation films" in deletion
    assert [line.split()[0] for line in deletion.splitlines()[2:]] == ["centre", *MAPS]
    assert [line.split()[0] for line in boxes.splitlines()] == ["boxes", *MAPS]


def test_a_negative_number_of_films_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maps", "run", "--data", "nih", "--films", "-1"]) == 1
    assert "--films -1 is no number of films" in capsys.readouterr().err


def test_a_film_of_the_gallery_is_explained_by_slower_methods_too(draw_films: DrawFilms, tmp_path: Path) -> None:
    names = [f"{part}/PNEUMONIA/person{n}_{kind}_{n}.jpeg" for part in ("train", "test") for n in range(8)
             for kind in ("bacteria", "virus")]  # fmt: skip
    names += [f"{part}/NORMAL/IM-{n:04d}-0001.jpeg" for part in ("train", "test") for n in range(8)]
    data, run = draw_films(tmp_path / "chest_xray", *names), tmp_path / "best.safetensors"
    checkpoints.save(run, tiny_checkpoint("pneumonia3"))
    flags = ["--data", str(data), "--out", str(tmp_path / "report"), "--maps", "evidence", "--explain", "1"]
    assert run_test([str(run), *flags]) == 0
    report = (tmp_path / "report" / "report.html").read_text()
    assert report.count("held against slower explanations") == 1
    for name in ("occlusion", "LIME", "GradientSHAP"):
        assert report.count(f"<figcaption>{name}, rank correlation with the map ") == 1
    assert "<dt>Heat maps</dt><dd>evidence map</dd>" in report


@pytest.mark.parametrize("maps", MAPS)
def test_the_exported_file_has_the_maps_of_torch(maps: str, tmp_path: Path) -> None:
    net = Ensemble([tiny_checkpoint(pooling="lse")], maps=maps)
    space = FeatureSpace(np.zeros(128, np.float32), np.eye(4, 128, dtype=np.float32), np.ones(4, np.float32), 1.0)
    export(net, space, _info(net), tmp_path / "tiny.onnx")
    films = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours = Engine(tmp_path / "tiny.onnx")
    with torch.inference_mode():
        expected = net(films).maps.numpy()
    assert ours.info.maps == maps
    np.testing.assert_allclose(ours.run(films.numpy()).maps, expected, atol=0.03 * expected.max())


def _info(net: Ensemble) -> ModelInfo:
    labels = net.task.labels
    named = {"name": "tiny", "task": net.task.name, "title": "", "audience": "", "kind": net.task.kind}
    return ModelInfo(
        **named,
        labels=labels,
        preprocessing=net.preprocessing,
        architecture=net.describe(),
        platt=dict.fromkeys(labels, Platt()),
        operating_points={},
        map_scale=dict.fromkeys(labels, 1.0),
        distance_scale=1.0,
        maps=net.maps,
    )
