"""One renderer for page, document and terminal: what was measured is told, and what was not is said to be so."""

import dataclasses

import pytest

from cxr.cards.blocks import Command, Paragraph, Section, Table
from cxr.cards.card import Described
from cxr.cards.formats import to_markdown, to_text
from cxr.cards.sections import sections, title_of
from cxr.tasks import TASKS
from tests.cards.measured import CARD, SHA
from tests.reading.tiny import DRAWS, tiny_info

RECORD = {
    "date": "2026-11-20",
    "epoch": 7,
    "films": {"training": 100, "validation": 20},
    "fingerprints": {"training": "0" * 64},
    "init": "efficientnet_b0_trunk_fp16.safetensors",
    "recipe": dataclasses.asdict(dataclasses.replace(TASKS["pneumonia3"].recipe, seed=3)),
    "versions": {"torch": "2.14.1"},
}
INFO = dataclasses.replace(
    tiny_info("pneumonia3"), training=RECORD, resampled=dict.fromkeys(TASKS["pneumonia3"].labels, DRAWS)
)


def text_of(title: str, model: Described) -> str:
    """One line, without the columns of its tables."""
    (section,) = (section for section in sections(model) if section.title == title)
    return " ".join(to_text("", [section]).split())


@pytest.fixture
def model() -> Described:
    return Described(INFO, SHA, CARD)


def test_headings_are_those_of_claim(model: Described) -> None:
    parts = [section.title.split(":")[0] for section in sections(model)]
    expected = ["Summary", "Introduction", "Methods", "Results", "Discussion", "Other information"]
    assert list(dict.fromkeys(parts)) == expected


def test_who_is_in_the_data_stands_beside_its_licence(model: Described) -> None:
    text = text_of("Methods: data", model)
    assert "CC BY 4.0" in text
    assert "Sex: F 40 (40.0 %) 12 (30.0 %)" in text
    assert "Viral 25 (25.0 %) 10 (25.0 %)" in text
    assert "View not known not known" in text


def test_figures_have_their_intervals(model: Described) -> None:
    text = text_of("Results: model performance", model)
    assert "Viral 10 0.550 (0.450 to 0.650)" in text
    assert "Normal 0 undefined" in text


def test_the_summary_has_the_accuracy_of_the_most_probable_class(model: Described) -> None:
    text = text_of("Summary", model)
    assert "mean AUROC 0.725 (0.700 to 0.750), accuracy 0.900 (0.850 to 0.950), macro F1 0.550" in text


def test_operating_points_stand_beside_what_they_gave_on_the_test_part(model: Described) -> None:
    text = text_of("Results: operating points", model)
    assert "Viral 0.2000 0.80 0.70 20 0.90 (0.85 to 0.95)" in text
    assert "Normal 0.3000 0.80 0.70 30 not measured" in text


def test_calibration_is_told_before_and_after(model: Described) -> None:
    text = text_of("Results: calibration", model)
    assert "intervals from 41 refits" in text
    assert "Viral 0.200 0.050 0.300 0.100" in text
    assert "in 1 of 1 the observed frequency" in text


def test_failures_follow_from_the_figures(model: Described) -> None:
    text = text_of("Results: known failures", model)
    assert "not shown to be better than chance: Viral 0.550 (0.450 to 0.650)." in text
    assert "Not measurable there, for lack of films of both kinds: Normal." in text
    assert "Test 40 films of 20 patients 0.810 (0.800 to 0.820) 0.660 (0.600 to 0.700) 0.725" in text
    assert "dark in more than half of the test films that have the finding: Viral (6 of 10 films)." in text
    assert "do not point better than the centre of the film: 0.120 (0.050 to 0.200)" in text
    assert "0.200 (0.100 to 0.300) the centre, a difference of -0.080 (-0.200 to 0.040)." in text


def test_maps_stand_beside_the_centre_of_the_film_with_a_paired_difference(model: Described) -> None:
    text = text_of("Results: where it looks", model)
    assert "All 9 0.120 (0.050 to 0.200) 0.200 (0.100 to 0.300) -0.080 (-0.200 to 0.040)" in text


def test_one_command_line_trains_it_again(model: Described) -> None:
    text = text_of("Methods: training", model)
    assert "train.py --task pneumonia3 --data DATA --out RUN1 --seed 3 --init efficientnet_b0_trunk_fp16" in text
    assert "Licence: Apache-2.0" in text
    assert "torch 2.14.1" in text


def test_what_was_not_measured_is_said_to_be_so() -> None:
    model = Described(dataclasses.replace(INFO, training={}), SHA, trouble="This model has no card.")
    text = to_text(title_of(model), sections(model))
    assert "This model has no card." in text
    assert "How it was trained is not recorded." in text
    for title in ("Methods: evaluation", "Results: model performance", "Results: known failures"):
        assert "Not measured." in text_of(title, model)


def test_a_card_says_what_it_is_not(model: Described) -> None:
    assert "Not a medical device" in to_markdown(title_of(model), sections(model))


def test_blocks_become_markdown_and_text() -> None:
    blocks = (Paragraph("Words."), Command("python x"), Table(("A", "B"), (("1", "22"),), "Numbers"))
    assert to_markdown("Title", [Section("Part", blocks)]) == (
        "# Title\n\n## Part\n\nWords.\n\n    python x\n\nNumbers:\n\n| A | B |\n|---|---|\n| 1 | 22 |\n"
    )
    assert to_text("Title", [Section("Part", blocks)]) == (
        "Title\n=====\n\nPart\n----\n\nWords.\n\n    python x\n\nNumbers:\nA  B\n1  22"
    )
