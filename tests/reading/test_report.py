"""A report: what is above, in which order, and how its maps are drawn."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from cxr.errors import NotFound
from cxr.films.film import Film, Metadata
from cxr.films.prepare import Box
from cxr.modelfile import OperatingPoint, SiteSample
from cxr.reading.report import FilmCheck, ModelIdentity, Report, findings_of

MODEL = ModelIdentity("tiny", "chestxray14", "Tiny", "nobody", "none", "0" * 64, "youden")


def _report(box: Box = Box(), **probabilities: float) -> Report:
    given = probabilities or {"Mass": 0.2, "Hernia": 0.02, "Pleural_Thickening": 0.3}
    thresholds = {"Mass": 0.1, "Hernia": 0.001, "Pleural_Thickening": 0.4}
    points = {label: OperatingPoint(thresholds[label], 0.8, 0.7) for label in given}
    findings = findings_of(given.values(), points, "multilabel")
    maps = np.zeros((len(findings), 2, 2), np.uint8)
    maps[0, 0, 0] = 255
    return Report(findings, maps, box, MODEL, FilmCheck(), Metadata("PNG", 8), {"cxr": "0"}, {"engine": 1.5})


def _classes(bacterial: float, viral: float, normal: float) -> Report:
    """Of a multiclass model, all of whose thresholds are 0.3."""
    labels = ("bacterial", "viral", "normal")
    points = {label: OperatingPoint(0.3, 0.8, 0.7) for label in labels}
    model = dataclasses.replace(MODEL, kind="multiclass")
    maps = np.zeros((3, 2, 2), np.uint8)
    findings = findings_of((bacterial, viral, normal), points, "multiclass")
    return Report(findings, maps, Box(), model, FilmCheck(), Metadata("PNG", 8))


def test_a_finding_is_above_from_its_own_operating_point_on() -> None:
    point = {"Mass": OperatingPoint(0.1, 0.8, 0.7)}
    assert findings_of([0.1], point, "multilabel")[0].above
    assert not findings_of([0.0999], point, "multilabel")[0].above


def test_a_finding_without_an_operating_point_is_never_above() -> None:
    assert not findings_of([1.0], {"Mass": None}, "multilabel")[0].above


def test_a_finding_without_an_operating_point_comes_last_and_is_counted_nowhere() -> None:
    points = {"Mass": None, "Hernia": OperatingPoint(0.1, 0.8, 0.7), "Edema": OperatingPoint(0.2, 0.8, 0.7)}
    report = dataclasses.replace(_report(), findings=findings_of([0.99, 0.2, 0.1], points, "multilabel"))
    assert [f.label for f in report.ranked()] == ["Hernia", "Edema", "Mass"]
    assert [f.label for f in report.uncalibrated()] == ["Mass"]
    assert report.headline() == "1 of 2 findings above its operating point"
    again = Report.restore(report.to_json(), report.maps_png())
    assert again.findings == report.findings


def test_of_classes_the_most_probable_alone_is_above_whatever_the_operating_points() -> None:
    report = _classes(0.35, 0.4, 0.25)
    assert [f.above for f in report.findings] == [False, True, False]
    assert [f.label for f in report.ranked()] == ["viral", "bacterial", "normal"]
    assert [f.label for f in report.alarms()] == ["viral"]


def test_a_healthy_class_is_above_without_an_alarm() -> None:
    report = _classes(0.1, 0.3, 0.6)
    assert report.finding("normal").above
    assert report.alarms() == []
    assert report.top().label == "normal"


def test_no_finding_above_its_point_is_no_alarm_and_not_the_top_one() -> None:
    points = {label: OperatingPoint(0.1, 0.8, 0.7) for label in ("No_Finding", "Edema")}
    report = dataclasses.replace(_report(), findings=findings_of([0.9, 0.2], points, "multilabel"))
    assert [f.above for f in report.findings] == [True, True]
    assert report.ranked()[0].label == "No_Finding"
    assert [f.label for f in report.alarms()] == ["Edema"]
    assert report.top().label == "Edema"


def test_findings_are_ranked_by_how_far_they_are_above_their_own_point() -> None:
    assert [f.label for f in _report().ranked()] == ["Hernia", "Mass", "Pleural_Thickening"]


def test_a_label_is_written_as_people_write_it() -> None:
    assert _report().finding("Pleural_Thickening").title == "Pleural thickening"


def test_an_unknown_label_is_not_found() -> None:
    with pytest.raises(NotFound, match="no finding 'Cough'; it knows Mass, Hernia, Pleural_Thickening"):
        _report().map_of("Cough")


def test_a_report_survives_being_stored() -> None:
    report = _report(Box(0.1, 0.0, 0.9, 1.0))
    again = Report.restore(report.to_json(), report.maps_png())
    np.testing.assert_array_equal(again.maps, report.maps)
    assert again.to_dict() == report.to_dict()


def test_a_report_stored_by_an_earlier_version_is_restored_with_what_was_above() -> None:
    stored = json.loads(_report().to_json())
    del stored["model"]["kind"], stored["model"]["calibration"]
    for finding in stored["findings"]:
        del finding["interval"]
    stored["findings"][2]["above"] = True  # whatever would be decided today
    again = Report.restore(json.dumps(stored), _report().maps_png())
    assert [f.above for f in again.findings] == [True, True, True]
    assert not again.model.multiclass
    assert again.model.calibration is None
    assert [f.interval for f in again.findings] == [None] * 3


def test_an_interval_and_the_sites_calibration_survive_being_stored() -> None:
    points = {label: OperatingPoint(0.1, 0.8, 0.7) for label in ("Mass", "Hernia", "Edema")}
    ends = np.array([[0.1, 0.3], [np.nan, np.nan], [0.0, 0.2]])
    model = dataclasses.replace(MODEL, calibration=SiteSample("2025-01-02", 90, 80, ("Mass", "Edema")))
    findings = findings_of([0.2, 0.05, 0.1], points, "multilabel", ends)
    report = dataclasses.replace(_report(), findings=findings, model=model)
    again = Report.restore(report.to_json(), report.maps_png())
    assert [f.interval for f in again.findings] == [(0.1, 0.3), None, (0.0, 0.2)]
    assert (again.findings, again.model) == (report.findings, report.model)


def test_a_finding_as_json_has_five_fields() -> None:
    fields = {"label", "probability", "operating_point", "above", "interval"}
    assert [set(finding) for finding in _report().to_dict()["findings"]] == [fields] * 3


def test_json_holds_no_map_and_says_what_is_above() -> None:
    plain = json.loads(_report().to_json())
    assert "maps" not in plain
    assert [f["above"] for f in plain["findings"]] == [True, True, False]


def test_a_heat_map_is_clear_where_there_is_no_evidence_and_strong_where_there_is() -> None:
    picture = _decode(_report().heatmap_png("Mass", side=64))
    assert picture.shape == (64, 64, 4)
    assert picture[2, 2, 3] > 240
    assert picture[-2, -2].tolist() == [*picture[-2, -2, :3].tolist(), 0]


def test_a_film_without_evidence_has_a_clear_heat_map() -> None:
    assert _decode(_report().heatmap_png("Hernia"))[..., 3].max() == 0


def test_a_heat_map_has_the_shape_of_the_film_and_not_of_the_padded_square() -> None:
    tall = Box(left=0.25, right=0.75)
    assert _decode(_report(tall).heatmap_png("Mass", side=64)).shape == (64, 32, 4)


def test_an_overlay_is_the_film_where_there_is_no_evidence() -> None:
    film = Film(np.full((80, 40), 0.5, np.float32), Metadata("PNG", 8))
    overlay = _decode(_report(Box(left=0.25, right=0.75)).overlay_png("Mass", film))
    assert overlay.shape == (80, 40, 3)
    assert overlay[-1, -1].tolist() == [128, 128, 128]
    assert overlay[1, 1].tolist() != [128, 128, 128]


def _decode(png: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture
