"""`python -m cxr export`: from a training run to a file that the desk serves, in one command."""

import errno
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr.cli import export, main
from cxr.films.film import Film, Metadata
from cxr.learning import checkpoints
from cxr.learning.calibration import calibrate
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import FilmTable, PackedFilms
from cxr.learning.ensemble import Ensemble
from cxr.learning.looking import read_and_look
from cxr.reading.reader import Reader
from cxr.tasks import TASKS, Recipe
from tests.phantom import draw_phantom

RECIPE = Recipe(arch="efficientnet_b0", size=64)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    net = checkpoints.network(TASKS["chestxray14"], RECIPE)
    tensors = {f"model.{name}": t for name, t in net.state_dict().items()}
    (tmp_path / "run").mkdir()
    checkpoints.save(tmp_path / "run" / "best.safetensors", Checkpoint(tensors, "chestxray14", RECIPE, 1, {}))
    return tmp_path / "run"


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FilmTable:
    """Sixteen films with every label on some: the data set itself is tested elsewhere."""
    random = np.random.default_rng(0)
    labels = np.tile(np.eye(2, dtype=np.float32), (8, 7))
    packed = PackedFilms(random.integers(0, 255, (16, 256, 256), np.uint8), labels)
    paths = tuple(tmp_path / f"{number}.png" for number in range(16))
    for path in paths:
        cv2.imwrite(str(path), random.integers(0, 255, (300, 200), np.uint8))
    table = FilmTable(TASKS["chestxray14"].labels, paths, labels, np.arange(16).astype(str))
    monkeypatch.setattr(export, "_films", lambda *_: (packed, table))
    return table


@pytest.mark.usefixtures("films")
def test_a_run_becomes_a_file_that_reads_films(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "models" / "mine.onnx"  # in a folder that is not there yet
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(file), "--maps", "evidence"]) == 0
    assert "probabilities differ from torch by 0.0" in capsys.readouterr().out
    reader = Reader.load(file)
    report = reader.read(Film(draw_phantom(128, 128), Metadata("PNG", 8)))
    assert (reader.identity.name, reader.identity.maps_title) == ("mine", "evidence map")
    assert len(report.findings) == 14
    assert [path.name for path in file.parent.iterdir()] == ["mine.onnx"]


def test_probabilities_are_calibrated_on_films_read_as_in_serving(
    run_folder: Path, tmp_path: Path, films: FilmTable
) -> None:
    net = Ensemble.load([run_folder])
    table, seen = read_and_look(net, films, "films")
    file = tmp_path / "mine.onnx"
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(file)]) == 0
    fitted = calibrate(seen.logits, table.labels, table.label_names)
    assert Reader.load(file).info.platt["Mass"].slope == pytest.approx(fitted.platt["Mass"].slope)


@pytest.mark.usefixtures("films")
def test_a_file_that_disagrees_with_its_checkpoint_is_not_written(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "AGREEMENT", -1.0)
    file = tmp_path / "models" / "mine.onnx"
    file.parent.mkdir()
    file.write_bytes(b"the good one of before")
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(file)]) == 1
    assert "mine.onnx is not written: its probabilities differ from the checkpoint's" in capsys.readouterr().err
    assert file.read_bytes() == b"the good one of before"
    assert len(list(file.parent.iterdir())) == 1


def _unreachable(*_: object) -> None:
    raise AssertionError("films were looked at before the fault was found")


@pytest.mark.parametrize(("out", "said"), [("run", "it must end in .onnx"), ("file/x.onnx", "cannot be written")])
def test_a_place_that_cannot_be_written_is_found_first(
    out: str, said: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    monkeypatch.setattr(export, "_films", _unreachable)
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(tmp_path / out)]) == 1
    assert said in capsys.readouterr().err


def test_a_missing_package_is_found_first(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "_films", _unreachable)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert "Exporting needs the package onnx; install requirements.txt." in capsys.readouterr().err


FAULTS = {
    "There is too little memory for this; close other programs": MemoryError(),
    "x.onnx cannot be read or written (No space left on device); make room": OSError(
        errno.ENOSPC, "No space left on device", "x.onnx"
    ),
}


@pytest.mark.parametrize("said", FAULTS)
def test_a_fault_of_the_machine_is_one_sentence(
    said: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise FAULTS[said]

    monkeypatch.setattr(export, "_films", fail)
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert f"cxr: {said}" in capsys.readouterr().err


def test_a_missing_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "absent"), "--data", str(tmp_path), "--out", "x.onnx"]) == 1
    assert "There is no checkpoint" in capsys.readouterr().err
