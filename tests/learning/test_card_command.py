"""`python -m cxr card`: a model file is measured as it is served, and its card is written beside it."""

import dataclasses
import json
from pathlib import Path

import pytest

from cxr.cards.card import card_file, read
from cxr.cli import main
from cxr.learning.datasets import read_data_set
from cxr.reading.exported import Exported
from cxr.tasks import TASKS, Recipe
from tests.reading.tiny import tiny_info, write_model

RECIPE = Recipe(val_share=0.25)


@pytest.fixture
def model(nih_folder: Path, tmp_path: Path) -> Path:
    """A file that gives every film the same answer, with the record of a run on the drawn films."""
    films = read_data_set(nih_folder, TASKS["chestxray14"])
    prints = {
        part: films.part(name, RECIPE.val_share).fingerprint()
        for part, name in (("training", "train"), ("validation", "validation"))
    }
    record = {"recipe": dataclasses.asdict(RECIPE), "fingerprints": prints}
    info = dataclasses.replace(tiny_info("chestxray14"), training=record)
    return write_model(tmp_path / "tiny.onnx", info, [0.0] * 14, [0.0] * 14)


def test_a_measured_model_has_a_card(
    model: Path, nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert main(["card", str(model), "--data", str(nih_folder), "--out", str(tmp_path / "report")]) == 0
    measured = read(card_file(model), Exported.read(model).sha256).measured
    assert [(each.part, each.films) for each in measured.populations] == [
        ("training", 12), ("validation", 4), ("test", 8),
    ]  # fmt: skip
    effusion = measured.evaluations[0].labels[2]
    assert (effusion.positives, effusion.auroc.value) == (2, 0.5)
    assert {each.label: each.dark for each in measured.dark_maps if each.films}["Effusion"] == 2
    assert (tmp_path / "report" / "report.html").exists()
    monkeypatch.setenv("CXR_MODEL", str(model))
    capsys.readouterr()
    assert main(["models", "chestxray14"]) == 0
    assert "NIH ChestX-ray14. Licence: no restriction on use." in " ".join(capsys.readouterr().out.split())
    assert main(["models"]) == 0
    assert "tiny chestxray14" in capsys.readouterr().out


def test_an_earlier_report_makes_the_card_again_but_not_that_of_another_file(
    model: Path, nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(model), "--data", str(nih_folder), "--out", str(tmp_path)]) == 0
    before = card_file(model).read_text()
    card_file(model).unlink()
    assert main(["card", str(model), "--report", str(tmp_path / "report.json")]) == 0
    assert card_file(model).read_text() == before
    other = json.loads((tmp_path / "report.json").read_text()) | {"subject": {"sha256": "0" * 64}}
    (tmp_path / "report.json").write_text(json.dumps(other))
    assert main(["card", str(model), "--report", str(tmp_path / "report.json")]) == 1
    assert "The report is of the model file 000000000000" in capsys.readouterr().err


def test_films_that_the_model_may_have_learned_from_are_refused(
    nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"recipe": dataclasses.asdict(RECIPE), "fingerprints": {"validation": "0" * 64}}
    info = dataclasses.replace(tiny_info("chestxray14"), training=record)
    model = write_model(tmp_path / "tiny.onnx", info, [0.0] * 14, [0.0] * 14)
    assert main(["card", str(model), "--data", str(nih_folder), "--out", str(tmp_path)]) == 1
    assert "are not the ones that the run held out" in capsys.readouterr().err


def test_a_card_needs_films_or_a_report(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(model)]) == 1
    assert "Give --data and --out" in capsys.readouterr().err
