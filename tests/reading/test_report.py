"""A report: what is above, in which order, and how its maps are drawn."""

import json

import cv2
import numpy as np
import pytest

from cxr.errors import NotFound
from cxr.films.film import Film, Metadata
from cxr.films.prepare import Box
from cxr.modelfile import OperatingPoint
from cxr.reading.report import FilmCheck, Finding, ModelIdentity, Report

MODEL = ModelIdentity("tiny", "chestxray14", "Tiny", "nobody", "none", "0" * 64, "youden")


def _report(box: Box = Box(), **probabilities: float) -> Report:
    given = probabilities or {"Mass": 0.2, "Hernia": 0.02, "Pleural_Thickening": 0.3}
    thresholds = {"Mass": 0.1, "Hernia": 0.001, "Pleural_Thickening": 0.4}
    findings = tuple(Finding(label, p, OperatingPoint(thresholds[label], 0.8, 0.7)) for label, p in given.items())
    maps = np.zeros((len(findings), 2, 2), np.uint8)
    maps[0, 0, 0] = 255
    return Report(findings, maps, box, MODEL, FilmCheck(), Metadata("PNG", 8), {"cxr": "0"}, {"engine": 1.5})


def test_a_finding_is_above_from_its_own_operating_point_on() -> None:
    assert Finding("Mass", 0.1, OperatingPoint(0.1, 0.8, 0.7)).above
    assert not Finding("Mass", 0.0999, OperatingPoint(0.1, 0.8, 0.7)).above


def test_a_finding_without_an_operating_point_is_never_above() -> None:
    nan = float("nan")
    assert not Finding("Mass", 1.0, OperatingPoint(nan, nan, nan)).above


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
