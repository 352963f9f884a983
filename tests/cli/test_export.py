"""`python -m cxr export`: from a training run to a file that the desk serves, in one command."""

from pathlib import Path

import numpy as np
import pytest

from cxr.cli import export, main
from cxr.films.film import Film, Metadata
from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
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
def films(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen films with every label on some: the data set itself is tested elsewhere."""
    random = np.random.default_rng(0)
    squares = random.integers(0, 255, (16, 256, 256), np.uint8)
    packed = PackedFilms(squares, np.tile(np.eye(2, dtype=np.float32), (8, 7)))
    monkeypatch.setattr(export, "_films", lambda *_: (packed, packed))


@pytest.mark.usefixtures("films")
def test_a_run_becomes_a_file_that_reads_films(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.onnx"
    assert main(["export", str(run_folder), "--data", str(tmp_path), "--out", str(file)]) == 0
    assert "probabilities differ from torch by 0.0" in capsys.readouterr().out
    reader = Reader.load(file)
    report = reader.read(Film(draw_phantom(64, 64), Metadata("PNG", 8)))
    assert reader.identity.name == "mine"
    assert len(report.findings) == 14


@pytest.mark.usefixtures("films")
def test_a_file_that_disagrees_with_its_checkpoint_is_not_passed(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AGREEMENT", -1.0)
    out = ["--data", str(tmp_path), "--out", str(tmp_path / "mine.onnx")]
    assert main(["export", str(run_folder), *out]) == 1


def test_a_missing_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "absent"), "--data", str(tmp_path), "--out", "x.onnx"]) == 1
    assert "There is no checkpoint" in capsys.readouterr().err
