"""The report is one file that stands alone."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cxr.cards.measured import Measured
from cxr.charts import Frame, Series, common_range, interval_strip, line_chart, ticks, value_range
from cxr.errors import TrainingDataError
from cxr.learning.evaluation import evaluate, localise
from cxr.learning.evaluation_report import (
    EvaluationReport,
    GalleryFilm,
    TrainingCurve,
    file_name,
    read_training_curves,
    readable,
    render,
    write_report,
)
from cxr.learning.figures import UNDEFINED, Evaluation
from cxr.learning.reliability import held_out, reliability
from cxr.metrics import Interval
from tests.learning.test_evaluation import POINTS, SCORES, classes, films
from tests.learning.test_reliability import overconfident

VOID = {"meta", "img", "br"}


class Tags(HTMLParser):
    """Every element with its attributes; fails on one that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def evaluation(name: str = "internal") -> Evaluation:
    return evaluate(SCORES, films(), draws=10, name=name, operating_points={"youden": POINTS})


@pytest.fixture(scope="module")
def everything() -> str:
    """A report with all its sections, two sets side by side."""
    boxes = localise(np.ones((1, 4, 4)), np.array([[0, 0, 1.0, 1.0]]), np.array(["Mass"]), np.array(["a"]), draws=10)
    internal = Evaluation(**{**vars(evaluation()), "localisation": boxes})
    gallery = (GalleryFilm(b"\x89PNG", "Mass & more, probability 0.80", "Found"),)
    curves = (TrainingCurve("val_auc", (1, 2), (0.6, 0.7)),)
    about = {"Model": "<script>alert(1)</script>"}
    logits, table = overconfident(60, 0)
    found = reliability("test", logits, held_out(logits, table, "multilabel"), table, "multilabel", draws=10)
    sets = (internal, evaluation("external"))
    return render(EvaluationReport("Chest films", sets, about, curves, gallery, (found,)))


def test_the_report_needs_nothing_from_elsewhere(everything: str) -> None:
    tags = Tags(everything).found
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in tags)
    addresses = [value for _, a in tags for name, value in a.items() if name in ("src", "href")]
    assert all(address and address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert "url(" not in everything
    assert "@import" not in everything


def test_the_report_says_what_it_is_not(everything: str) -> None:
    assert "Not a medical device" in everything


def test_the_report_has_every_section_and_each_link_leads_to_one(everything: str) -> None:
    tags = Tags(everything).found
    sections = {a.get("id") for tag, a in tags if tag == "section"}
    assert sections == {
        "summary", "labels", "roc", "pr", "calibration", "reliability", "points", "subgroups", "films",
        "localisation", "training", "gallery",
    }  # fmt: skip
    assert {str(a["href"])[1:] for tag, a in tags if tag == "a"} <= sections


def test_two_sets_have_brier_scores_and_calibration_errors_too(everything: str) -> None:
    table = everything.split('id="labels"')[1].split("</section>")[0]
    assert table.count(">Brier</th>") == table.count(">ECE</th>") == 2
    row = table.split("<tbody>")[1].split("</tr>")[0]
    assert row.count("<td>") == 10  # five figures of each set


def test_what_people_typed_is_escaped(everything: str) -> None:
    assert "&lt;script&gt;alert(1)" in everything
    assert "Mass &amp; more, probability 0.80" in everything


def test_an_undefined_figure_is_called_so(everything: str) -> None:
    assert "undefined: one class is absent" in everything
    assert not re.search(r"\bnan\b", everything)


def test_two_sets_stand_in_one_chart(everything: str) -> None:
    roc = everything.split('aria-label="ROC curve of Effusion"')[1].split("</svg>")[0]
    assert "<title>internal</title>" in roc
    assert "<title>external</title>" in roc


def test_a_multiclass_report_shows_the_confusion() -> None:
    scores, truth = classes()
    found = evaluate(scores, films(truth, ("bacterial", "viral", "normal")), draws=10, kind="multiclass")
    text = render(EvaluationReport("Children", (found,)))
    assert "rows are the truth" in text
    assert "share of films given their true class" in text
    Tags(text)


def test_a_report_of_logits_without_operating_points() -> None:
    text = render(EvaluationReport("Plain", (evaluate(SCORES * 10 - 5, films(), draws=10),)))
    assert "undefined: the scores are no probabilities" in text
    assert 'id="points"' not in text


def test_labels_that_only_one_set_has() -> None:
    few = evaluate(SCORES[:, :1], films(films().labels[:, :1], ("Effusion",)), draws=10, name="external")
    assert "not a label of this set" in render(EvaluationReport("Sets", (evaluation(), few)))


def test_a_report_is_written_with_the_figures_of_each_set(tmp_path: Path) -> None:
    file = write_report(EvaluationReport("Sets", (evaluation(), evaluation("Other clinic/2"))), tmp_path)
    assert file == tmp_path / "report.html"
    assert json.loads((tmp_path / "evaluation.json").read_text())["name"] == "internal"
    assert json.loads((tmp_path / "evaluation-other-clinic-2.json").read_text())["name"] == "Other clinic/2"
    assert not list(tmp_path.glob("report.*.html"))
    assert [each.name for each in Measured.read(tmp_path / "report.json").evaluations] == ["internal", "Other clinic/2"]


def test_training_curves_of_a_run_that_was_resumed(tmp_path: Path) -> None:
    first = '{"epoch": 1, "loss": 0.5, "films_s": 9, "waiting": 0.1}'
    lines = [first, '{"epoch": 2, "loss": 0.4}', '{"epoch": 2, "loss": 0.3}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert read_training_curves(tmp_path / "metrics.jsonl") == (TrainingCurve("loss", (1, 2), (0.5, 0.3)),)


def test_training_curves_need_a_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n')
    with pytest.raises(TrainingDataError, match=r"metrics\.jsonl has no training curves"):
        read_training_curves(tmp_path / "metrics.jsonl")


def test_names_for_people_and_for_files() -> None:
    assert readable("Pleural_Thickening") == "Pleural Thickening"
    assert readable("sensitivity90") == "Sensitivity of 0.90"
    assert file_name("../Hôpital 2") == "h-pital-2"
    assert file_name("..") == "other"


def test_a_point_of_a_chart_lies_where_its_value_says() -> None:
    frame = Frame(100, 100, (0, 10), (0, 1), left=20, bottom=20, margin=0)
    assert (frame.x(0), frame.x(10), frame.y(0), frame.y(1)) == (20, 100, 80, 0)
    line = line_chart([Series("s", (0, 10), (0, 1))], frame, "t", "x", "y")
    assert 'class="line tone0" points="20,80 100,0"' in line


def test_ticks_are_round_numbers() -> None:
    assert ticks((0.0, 1.0)) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks((1, 8)) == [2, 4, 6, 8]
    assert value_range([0.213, 0.3]) == pytest.approx((0.2, 0.3))
    assert value_range([2.0, float("nan")]) == (1.5, 2.5)


def test_the_scale_of_areas_keeps_chance_in_sight() -> None:
    assert common_range([Interval(0.8, 0.75, 0.9), UNDEFINED]) == (0.5, 1.0)
    assert common_range([Interval(0.6, 0.34, 0.9)]) == (0.3, 1.0)


def test_an_undefined_interval_leaves_its_row_empty() -> None:
    strip = interval_strip([UNDEFINED, None, Interval(0.8, 0.7, 0.9)], (0.5, 1.0))
    assert strip.count("<circle") == 1
    assert "tone2" in strip
