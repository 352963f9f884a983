"""An evaluation of six films of five patients, worked out by hand."""

import csv
import dataclasses
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import classification_report as sklearn_report

from cxr.errors import TrainingDataError
from cxr.learning.evaluation import age_bands, evaluate, localise, most_confident, read_scores, write
from cxr.learning.figures import show
from cxr.learning.tables import FilmTable
from cxr.metrics import Array, mean_auroc
from cxr.modelfile import OperatingPoint

NAN = float("nan")
LABELS = ("Effusion", "Mass", "Hernia")
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, NAN, 0]], np.float32)
SCORES = np.array([[0.9, 0.2, 0.1], [0.4, 0.8, 0.1], [0.6, 0.7, 0.2], [0.2, 0.6, 0.1], [0.1, 0.1, 0.1], [0.3, 0.9, 0]])
POINTS = {"Effusion": OperatingPoint(0.5, 0.8, 0.7), "Mass": OperatingPoint(0.5, 0.9, 0.6)}  # Hernia has none


def films(truth: Array = TRUTH, labels: tuple[str, ...] = LABELS) -> FilmTable:
    """Film 0 and 1 are of one patient; sex, age and view of the last are not known."""
    count = len(truth)
    return FilmTable(
        labels,
        tuple(Path(f"{number}.png") for number in range(count)),
        truth.astype(np.float32),
        np.array(["a", "a", *(f"p{number}" for number in range(2, count))]),
        sex=np.array(["F", "F", *["M"] * (count - 3), ""]),
        age_years=np.array([30.0, 30.0, *[85.0] * (count - 3), NAN]),
        view=np.array(["PA", "AP", *["PA"] * (count - 3), ""]),
    )


def test_areas_of_each_label_and_their_mean() -> None:
    found = evaluate(SCORES, films(), draws=20)
    assert (found.films, found.patients) == (6, 5)
    assert [f.auroc.value for f in found.labels] == pytest.approx([7 / 8, 1, NAN], nan_ok=True)
    assert found.mean_auroc.value == pytest.approx(mean_auroc(SCORES, TRUTH))
    assert [(f.positives, f.negatives) for f in found.labels] == [(2, 4), (2, 3), (0, 6)]


def test_a_label_of_one_class_has_no_figure_and_says_so() -> None:
    found = evaluate(SCORES, films(), draws=20)
    hernia = found.labels[2]
    assert show(hernia.auroc) == "undefined: one class is absent"
    assert hernia.roc.x == () == hernia.precision_recall.x
    assert "Hernia                   0 positive  undefined: one class is absent" in found.to_text()
    assert json.loads(found.to_json())["labels"][2]["auroc"] == {"value": None, "low": None, "high": None}


def test_logits_have_areas_but_no_calibration() -> None:
    found = evaluate(SCORES * 10 - 5, films(), draws=20).labels[0]
    assert found.auroc.value == 7 / 8
    assert np.isnan([found.calibration.brier, found.calibration.ece]).all()
    assert found.calibration.curve.x == ()


def test_calibration_bins_are_kept_with_their_films() -> None:
    found = evaluate(SCORES, films(), draws=20).labels[2].calibration
    assert found.films == (1, 4, 1)
    assert found.curve.x == (0, 0.1, 0.2)
    assert found.curve.y == (0, 0, 0)


def test_films_of_each_pair_of_labels_are_counted() -> None:
    found = evaluate(SCORES, films(), draws=20)
    assert found.cooccurrence == ((2, 1, 0), (1, 2, 0), (0, 0, 0))
    assert found.without_finding == 3


def test_decisions_at_operating_points_found_elsewhere() -> None:
    (found,) = evaluate(SCORES, films(), draws=50, operating_points={"youden": POINTS}).decisions
    effusion, mass, hernia = found.labels
    counts = (effusion.true_positives, effusion.false_positives, effusion.false_negatives, effusion.true_negatives)
    assert counts == (1, 1, 1, 3)
    assert (effusion.threshold, effusion.validation_sensitivity) == (0.5, 0.8)
    assert effusion.rates.recall.value == 0.5
    assert effusion.rates.recall.low <= 0.5 <= effusion.rates.recall.high
    assert mass.rates.precision.value == pytest.approx(2 / 3)
    assert np.isnan(hernia.rates.accuracy.value)
    assert found.micro.recall.value == 3 / 4
    assert found.macro.recall.value == (0.5 + 1) / 2
    assert found.all_right.value == 3 / 6


def test_nothing_is_decided_of_a_label_without_an_operating_point() -> None:
    evaluation = evaluate(SCORES, films(), draws=20, operating_points={"youden": POINTS})
    hernia = evaluation.decisions[0].labels[2]
    assert np.isnan([hernia.threshold, hernia.validation_sensitivity, hernia.rates.specificity.value]).all()
    assert (hernia.false_positives, hernia.true_negatives) == (0, 0)
    assert json.loads(evaluation.to_json())["decisions"][0]["labels"][2]["threshold"] is None


def test_scores_must_be_finite_and_fit_the_table() -> None:
    with pytest.raises(TrainingDataError, match="Scores are"):
        evaluate(SCORES[:, :2], films())
    with pytest.raises(TrainingDataError, match=r"^1.png has a score"):
        evaluate(np.where(SCORES == 0.8, np.nan, SCORES), films())


def classes(seed: int = 0) -> tuple[Array, Array]:
    """Probabilities and one-hot labels of 60 films in three classes, (60, 3) each."""
    random = np.random.default_rng(seed)
    truth = np.eye(3)[random.integers(0, 3, 60)]
    odds = np.exp(truth + random.normal(0, 1, (60, 3)))
    return odds / odds.sum(axis=1, keepdims=True), truth


def test_a_multiclass_task_is_decided_by_arg_max_as_scikit_learn_does() -> None:
    scores, truth = classes()
    found = evaluate(scores, films(truth, ("bacterial", "viral", "normal")), draws=20, kind="multiclass")
    expected = sklearn_report(truth.argmax(axis=1), scores.argmax(axis=1), output_dict=True)
    (decided,) = found.decisions
    assert decided.name == "arg max"
    assert decided.all_right.value == pytest.approx(expected["accuracy"])
    assert decided.macro.f1.value == pytest.approx(expected["macro avg"]["f1-score"])
    assert [f.rates.precision.value for f in decided.labels] == pytest.approx(
        [expected[str(k)]["precision"] for k in range(3)]
    )
    assert np.sum(found.confusion) == 60
    assert np.trace(found.confusion) == round(expected["accuracy"] * 60)


def test_a_film_without_a_known_class_is_left_out_of_the_confusion() -> None:
    scores, truth = classes()
    truth[0] = NAN
    found = evaluate(scores, films(truth), draws=20, kind="multiclass")
    assert np.sum(found.confusion) == 59


def test_subgroups_hold_the_films_of_which_the_attribute_is_known() -> None:
    found = {(g.attribute, g.value): g for g in evaluate(SCORES, films(), draws=20).subgroups}
    assert {key: (g.films, g.patients) for key, g in found.items()} == {
        ("sex", "F"): (2, 1),
        ("sex", "M"): (3, 3),
        ("age", "18 to 39"): (2, 1),
        ("age", "80 and over"): (3, 3),
        ("view", "PA"): (4, 4),
        ("view", "AP"): (1, 1),
    }
    assert found["sex", "M"].defined == 1
    assert found["sex", "M"].aurocs["Mass"].value == 1
    assert np.isnan(found["view", "AP"].mean_auroc.value)


def test_an_age_band_ends_before_the_next_begins() -> None:
    assert age_bands(np.array([0, 17.9, 18, 79, 80, NAN])).tolist() == [
        "0 to 17", "0 to 17", "18 to 39", "60 to 79", "80 and over", "",
    ]  # fmt: skip


def test_localisation_stands_beside_the_centre_point() -> None:
    maps = np.zeros((3, 4, 4))
    maps[:2, 2, 3] = 1  # the peak at (0.875, 0.625); the third map is dark
    boxes = np.array([[0.75, 0.5, 0.25, 0.25], [0.25, 0.25, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]])
    found = localise(maps, boxes, np.array(["Mass", "Mass", "Nodule"]), np.array(["a", "b", "c"]), draws=20)
    assert [f.label for f in found] == ["Mass", "Nodule", "all"]
    assert [f.pointing.value for f in found] == pytest.approx([1 / 2, 0, 1 / 3])
    assert [f.centre.value for f in found] == pytest.approx([1 / 2, 1, 2 / 3])
    assert [f.gain.value for f in found] == pytest.approx([0, -1, -1 / 3])
    assert [f.value for f in found[0].iou.values()] == [1 / 2, 1 / 2, 1 / 2]


def test_the_most_confident_films_of_a_label() -> None:
    above = (SCORES >= 0.5).astype(float)
    above[:, 2] = NAN  # Hernia has no threshold
    picks = [(p.row, p.verdict, p.label) for p in most_confident(SCORES, TRUTH, LABELS, above)]
    assert [pick[:2] for pick in picks if pick[2] == "Effusion"] == [(0, "found"), (2, "false alarm"), (1, "missed")]
    assert [pick[:2] for pick in picks if pick[2] == "Mass"] == [(1, "found"), (3, "false alarm")]  # none is missed
    assert [pick for pick in picks if pick[2] == "Hernia"] == []


def test_a_few_films_are_spread_over_the_labels() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.6], [0.2, 0.7]])
    truth = np.array([[1, 1], [0, 1], [1, 0], [1, 1]])
    picks = most_confident(scores, truth, ("Mass", "Hernia"), scores >= 0.5, count=2)
    assert [(p.label, p.verdict) for p in picks] == [("Mass", "found"), ("Hernia", "false alarm")]


def _answers(folder: Path, *films: str) -> Path:
    file = folder / "answers.csv"
    file.write_text("film,Effusion\n" + "".join(f"{film},0.{n}\n" for n, film in enumerate(films, start=1)))
    return file


def _of_one_label(*paths: str) -> FilmTable:
    return FilmTable(("Effusion",), tuple(map(Path, paths)), np.ones((len(paths), 1), np.float32), np.array(paths))


def test_answers_of_films_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    file = _answers(tmp_path, "T/p2/study1/view1_frontal.png", "T/p1/study1/view1_frontal.png", "T/p3/study1/x.png")
    films = _of_one_label("D/p1/study1/view1_frontal.jpg", "D/p2/study1/view1_frontal.jpg", "elsewhere/x.jpg")
    assert read_scores(file, films).ravel().tolist() == [0.2, 0.1, 0.3]


def test_a_film_is_not_given_the_answer_of_another_one_of_its_name(tmp_path: Path) -> None:
    file = _answers(tmp_path, "p1/view1_frontal.png", "p3/view1_frontal.png")
    with pytest.raises(TrainingDataError, match=r"has 2 rows for p2/view1_frontal.jpg, p1/view1_frontal.png among"):
        read_scores(file, _of_one_label("p2/view1_frontal.jpg"))
    with pytest.raises(TrainingDataError, match=r"lacks 1 films of the test list, view1_frontal.jpg among them"):
        read_scores(file, _of_one_label("p1/view1_frontal.jpg", "p2/view1_frontal.jpg"))


def test_two_answers_for_one_film_are_refused(tmp_path: Path) -> None:
    file = _answers(tmp_path, "a/1.png", "a/1.png")
    with pytest.raises(TrainingDataError, match=r"a/1\.png stands more than once in answers\.csv"):
        read_scores(file, _of_one_label("b/1.png"))


def test_text_json_and_csv_are_written(tmp_path: Path) -> None:
    evaluation = evaluate(SCORES, films(), draws=20, operating_points={"youden": POINTS})
    write(evaluation, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "evaluation-operating-points.csv", "evaluation-subgroups.csv", "evaluation.csv", "evaluation.json",
        "evaluation.txt",
    ]  # fmt: skip
    rows = list(csv.DictReader(StringIO((tmp_path / "evaluation.csv").read_text())))
    assert [row["auroc"] for row in rows] == ["0.875", "1.0", "nan", "0.9375"]
    decided = list(csv.DictReader(StringIO((tmp_path / "evaluation-operating-points.csv").read_text())))
    assert [row["label"] for row in decided] == [*LABELS, "micro", "macro"]
    assert [decided[0][cell] for cell in ("tp", "fp", "fn", "tn", "recall")] == ["1", "1", "1", "3", "0.5"]


def test_the_classification_report_says_what_is_undefined() -> None:
    text = evaluate(SCORES, films(), draws=20, operating_points={"youden": POINTS}).to_text()
    assert "Hernia                    undefined  undefined  undefined  undefined          0" in text
    assert "Effusion                      0.500      0.500      0.500      0.667          2" in text


def test_the_text_names_its_set_and_has_every_figure() -> None:
    found = evaluate(SCORES, films(), draws=20, name="external")
    boxes = localise(np.ones((1, 4, 4)), np.array([[0, 0, 1.0, 1.0]]), np.array(["Mass"]), np.array(["a"]), draws=10)
    text = dataclasses.replace(found, localisation=boxes).to_text()
    assert text.startswith("external: 6 films of 5 patients")
    (effusion,) = (line for line in text.splitlines() if line.startswith("Effusion"))
    figures = found.labels[0]
    assert effusion.split()[3] == "0.875"
    assert str(figures.average_precision) in effusion
    assert effusion.split()[-2:] == [f"{figures.calibration.brier:.3f}", f"{figures.calibration.ece:.3f}"]
    assert "all                          1  1.000 (1.000 to 1.000)" in text
