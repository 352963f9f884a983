"""A card is of one model file, and of no other."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from cxr.cards.card import Card, card_file, describe, make, read
from cxr.cards.formats import to_markdown
from cxr.cards.measured import Interval, Measured, Subject, plain, typed
from cxr.cards.sections import sections, title_of
from cxr.errors import ModelFileError, TrainingDataError
from cxr.reading.engine import WEIGHTS
from cxr.reading.exported import Exported
from tests.cards.measured import CARD, MEASURED, SHA
from tests.reading.tiny import tiny_info

ROOT = WEIGHTS.parents[1]


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "tiny.card.json"
    file.write_text(CARD.to_json())
    assert read(file, SHA).to_json() == CARD.to_json()
    assert read(file, SHA).measured.reliability == MEASURED.reliability


def test_what_is_undefined_is_null_and_what_is_long_is_rounded() -> None:
    assert plain(Interval(0.123456, math.nan, 1.0), 4) == {"value": 0.1235, "low": None, "high": 1.0}
    assert math.isnan(typed(Interval, {"value": None, "low": 0, "high": 1}).value)


def test_a_number_is_no_text() -> None:
    with pytest.raises(TypeError, match="7 is no str"):
        typed(Subject, {"sha256": 7})


def test_a_card_of_another_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    model = tmp_path / "tiny.onnx"
    card_file(model).write_text(CARD.to_json())
    found = describe(model, tiny_info("pneumonia3"), "cd" * 32)
    assert found.card is None
    assert "tiny.card.json is the card of another model file (abababababab, not cdcdcdcdcdcd)" in found.trouble
    assert describe(model, tiny_info("pneumonia3"), SHA).card == read(card_file(model), SHA)


def test_a_model_without_a_card_says_so(tmp_path: Path) -> None:
    assert "has no card" in describe(tmp_path / "tiny.onnx", tiny_info("pneumonia3"), SHA).trouble


@pytest.mark.parametrize(
    ("text", "said"),
    [("no JSON", "is no model card"), ("[]", "is no model card"), ('{"schema": 1, "model": "x"}', "is no model card")],
)
def test_a_damaged_card_is_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.card.json").write_text(text)
    with pytest.raises(ModelFileError, match=said):
        read(tmp_path / "x.card.json", SHA)


def test_a_card_of_a_later_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.card.json").write_text(CARD.to_json().replace('"schema": 1', '"schema": 2', 1))
    with pytest.raises(ModelFileError, match="schema 2, this version reads 1"):
        read(tmp_path / "x.card.json", SHA)


@pytest.mark.parametrize(("subject", "whose"), [(Subject("cd" * 32), "cdcdcdcdcdcd"), (Subject(), "of no model file")])
def test_a_report_of_another_file_makes_no_card(subject: Subject, whose: str) -> None:
    assert make("tiny", SHA, MEASURED) == Card("tiny", SHA, MEASURED)
    with pytest.raises(ModelFileError, match=whose):
        make("tiny", SHA, dataclasses.replace(MEASURED, subject=subject))


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": 1, "date": "today"}))
    with pytest.raises(TrainingDataError, match=r"is no report\.json"):
        Measured.read(tmp_path / "report.json")


@pytest.mark.parametrize("file", sorted(WEIGHTS.glob("*.card.json")), ids=lambda file: file.name)
def test_shipped_cards_are_of_the_shipped_files(file: Path) -> None:
    model = file.with_name(file.name.replace(".card.json", ".onnx"))
    exported = Exported.read(model)
    assert read(file, exported.sha256).measured.task == exported.info.task


@pytest.mark.parametrize("model", sorted(WEIGHTS.glob("*.onnx")), ids=lambda file: file.name)
def test_the_document_of_a_shipped_model_is_its_card(model: Path) -> None:
    exported = Exported.read(model)
    found = describe(model, exported.info, exported.sha256)
    document = ROOT / "docs" / "models" / f"{model.stem}.md"
    remedy = f"python -m cxr models {found.info.task} --markdown > docs/models/{model.stem}.md"
    assert document.read_text() == to_markdown(title_of(found), sections(found)), remedy
