"""A card's figures as charts."""

import dataclasses
import json
from pathlib import Path

from cxr.cards import pictures
from cxr.cards.card import Card, read
from cxr.cards.measured import Curve, Errors, LabelReliability
from tests.cards.measured import BIN, CARD, MEASURED, POOR, RESULT

ROC = Curve((0.0, 0.25, 1.0), (0.0, 0.75, 1.0))


def _drawn_card() -> Card:
    bacterial, viral, normal = RESULT.labels
    viral = dataclasses.replace(viral, roc=ROC, precision_recall=Curve((0.5, 1.0), (0.75, 0.25)))
    result = dataclasses.replace(RESULT, labels=(bacterial, viral, normal))
    errors = Errors(0.05, 0.1, Curve((0.1, 0.5), (0.0, 0.5)), (100, 10))
    told = LabelReliability("viral", 110, 5, errors, errors, POOR, (BIN,))
    reliability = dataclasses.replace(MEASURED.reliability[0], labels=(told,))
    measured = dataclasses.replace(MEASURED, evaluations=(result,), reliability=(reliability,))
    return dataclasses.replace(CARD, measured=measured)


def test_a_label_with_curves_is_drawn() -> None:
    roc, precision = pictures.curves(_drawn_card().measured.evaluations[0])
    assert [picture.title for picture in roc.pictures] == ["Viral"]
    assert 'aria-label="Viral, ROC curve: AUROC 0.550 (0.450 to 0.650)"' in roc.pictures[0].svg
    assert "<title>Youden&#39;s J: 0.45, 0.9</title>" in roc.pictures[0].svg  # its specificity and sensitivity there
    assert "average precision 0.550" in precision.pictures[0].svg


def test_reliability_has_larger_dots_for_more_films() -> None:
    (drawn,) = pictures.reliability(_drawn_card().measured.reliability[0])
    assert 'r="3"' in drawn.pictures[0].svg and 'r="2"' in drawn.pictures[0].svg


def test_subgroups_are_told_in_words_too() -> None:
    assert "Sex: F 0.550 (0.450 to 0.650)" in pictures.subgroups(RESULT).pictures[0].svg


def test_a_card_of_before_there_were_curves_has_none() -> None:
    assert list(pictures.curves(RESULT)) == []
    assert list(pictures.reliability(MEASURED.reliability[0])) == []


def test_curves_stand_on_one_line_of_the_card_and_come_back(tmp_path: Path) -> None:
    text = _drawn_card().to_json()
    (tmp_path / "card.json").write_text(text)
    assert '"x": [0.0, 0.25, 1.0]' in text
    assert json.loads(text)["measured"]["evaluations"][0]["labels"][1]["roc"]["y"] == [0.0, 0.75, 1.0]
    assert read(tmp_path / "card.json", CARD.sha256).measured.evaluations[0].labels[1].roc == ROC
