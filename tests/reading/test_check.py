"""May this film be read? Phantoms, spoiled in every way that the check knows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cxr.errors import EngineFault, ModelFileError
from cxr.films.film import Film, Metadata
from cxr.films.read import read_film
from cxr.films.reasons import REASONS, REFUSE
from cxr.reading.check import CHECK_FILE, LARGEST_DISTANCE, FilmChecker, age_reasons, shipped_checker
from cxr.reading.engine import SHIPPED
from cxr.reading.reader import Reader
from cxr.reading.report import FilmCheck, Report
from tests.phantom import draw_phantom, phantom_dicom, phantom_png

Pixels = NDArray[np.float32]
PHANTOM = draw_phantom(256, 256)


@pytest.fixture(scope="module")
def checker() -> FilmChecker:
    return shipped_checker()


def _film(pixels: Pixels, **known: object) -> Film:
    return Film(np.ascontiguousarray(pixels, np.float32), replace(Metadata("PNG", 8), **known))  # type: ignore[arg-type]


def _codes(checker: FilmChecker, pixels: Pixels, **known: object) -> list[str]:
    return [reason.code for reason in checker.reasons(_film(pixels, **known), "chestxray14", 0.5)]


def _framed(pixels: Pixels) -> Pixels:
    return np.pad(pixels, ((20, 30), (40, 50)))


@pytest.mark.parametrize("spoil", [
    lambda film: film, lambda film: film**1.5, lambda film: film[::2, ::2], lambda film: film[:, ::2], _framed,
    lambda film: 0.3 + 0.4 * film,
])  # fmt: skip
@pytest.mark.parametrize("side", [256, 700])
def test_an_upright_film_is_read_whatever_its_size_shape_frame_and_exposure(
    checker: FilmChecker, spoil: Callable[[Pixels], Pixels], side: int
) -> None:
    assert _codes(checker, spoil(draw_phantom(side, side))) == []


def test_a_check_whose_network_gives_no_number_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    checker, nothing = FilmChecker(), np.full((1, 4), np.nan, np.float32)
    monkeypatch.setattr(checker._compiled, "run", lambda *_: (nothing, nothing))
    with pytest.raises(EngineFault, match="gave numbers that are not finite"):
        checker.look(_film(PHANTOM))


def _page() -> Pixels:
    page = np.full((400, 300), 255, np.uint8)
    for line in range(20, 400, 18):
        cv2.putText(page, "Chest, two views: no pneumothorax", (8, line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 0, 1)
    return (page / 255).astype(np.float32)


@pytest.mark.parametrize(("pixels", "codes"), [
    (1 - PHANTOM, ["inverted"]),
    (np.rot90(PHANTOM, 1), ["rotated"]),
    (np.rot90(PHANTOM, 2), ["rotated"]),
    (np.rot90(PHANTOM, 3), ["rotated"]),
    (1 - np.rot90(PHANTOM, 2), ["inverted", "rotated"]),
    (PHANTOM[:, ::-1], ["mirrored"]),
    (PHANTOM[:, :128], ["cut_off"]),
    (_page(), ["not_a_radiograph"]),
    (np.random.default_rng(0).random((256, 256), np.float32), ["not_a_radiograph"]),
    (PHANTOM / 5, ["too_dark"]),
    (0.5 + PHANTOM / 10, ["flat"]),
    (np.full((300, 300), 0.5, np.float32), ["flat"]),
    (draw_phantom(300, 100), ["too_small"]),
])  # fmt: skip
def test_what_is_wrong_with_a_film_is_said(checker: FilmChecker, pixels: Pixels, codes: list[str]) -> None:
    assert _codes(checker, pixels) == codes


@pytest.mark.parametrize(("quarters", "turn"), [(1, "to the left"), (2, "upside down"), (3, "to the right")])
def test_how_a_film_is_turned_is_told(checker: FilmChecker, quarters: int, turn: str) -> None:
    (reason,) = checker.pixel_reasons(_film(np.rot90(PHANTOM, quarters)))
    assert turn in reason.text


@pytest.mark.parametrize(("task", "age", "code"), [
    ("chestxray14", 0.5, "too_young"), ("chestxray14", 15.0, "too_young"), ("chestxray14", 16.0, ""),
    ("chestxray14", 99.0, ""), ("covid3", 4.0, "too_young"), ("pneumonia3", 0.5, "too_young"),
    ("pneumonia3", 1.0, ""), ("pneumonia3", 5.0, ""), ("pneumonia", 6.0, "too_old"), ("pneumonia", 40.0, "too_old"),
    ("chestxray14", None, ""), ("of another project", 4.0, ""),
])  # fmt: skip
def test_a_patient_of_another_age_than_the_models_is_refused(task: str, age: float | None, code: str) -> None:
    reasons = age_reasons(_film(PHANTOM, age_years=age), task)
    assert [reason.code for reason in reasons] == ([code] if code else [])


def test_a_months_old_child_is_told_in_months() -> None:
    (reason,) = age_reasons(_film(PHANTOM, age_years=0.5), "chestxray14")
    assert "(adults, frontal films): 6 months. Choose a model" in reason.text


def test_a_film_far_from_all_that_the_model_was_trained_on_is_refused(checker: FilmChecker) -> None:
    film = _film(PHANTOM)
    assert checker.reasons(film, "chestxray14", LARGEST_DISTANCE) == ()
    (reason,) = checker.reasons(film, "chestxray14", LARGEST_DISTANCE + 0.1)
    assert (reason.code, reason.severity) == ("unlike_training", REFUSE)
    assert _codes(checker, 1 - PHANTOM) == [r.code for r in checker.reasons(_film(1 - PHANTOM), "chestxray14", 9.0)]


def test_refusals_come_before_warnings(checker: FilmChecker) -> None:
    assert _codes(checker, PHANTOM[:, ::-1], view_position="LL") == ["other_view", "mirrored"]


def test_every_reason_has_a_test() -> None:
    here = Path(__file__).read_text("utf-8") + (Path(__file__).parents[1] / "films" / "test_header.py").read_text()
    assert [code for code in REASONS if f'"{code}"' not in here] == []


def test_a_refused_film_has_no_findings_unless_it_is_read_anyway() -> None:
    reader, film = Reader.load(), read_film(phantom_dicom(256, 256, PatientAge="004Y"))
    refused, anyway = reader.read(film), reader.read(film, anyway=True)
    assert (refused.findings, len(refused.maps), refused.check.accepted) == ((), 0, False)
    assert (len(anyway.findings), anyway.maps.shape, anyway.check.read_anyway) == (14, (14, 7, 7), True)
    assert refused.check.reasons == anyway.check.reasons


def test_a_film_that_is_accepted_is_not_marked_as_read_anyway() -> None:
    check = Reader.load().read(read_film(phantom_png(256)), anyway=True).check
    assert (check.accepted, check.read_anyway, check.sentence) == (True, False, "")


def test_a_file_that_is_no_film_check_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"chestxray14\.onnx was not exported by this project"):
        FilmChecker(SHIPPED)
    (tmp_path / "half.onnx").write_bytes(CHECK_FILE.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match=r"half\.onnx"):
        FilmChecker(tmp_path / "half.onnx")


def test_real_films_of_three_hospitals_are_read(checker: FilmChecker, test_data: Path) -> None:
    films = [path for path in (test_data / "films").iterdir() if path.suffix in (".png", ".jpeg", ".jpg")]
    refused = [path.name for path in films if any(
        reason.severity == REFUSE for reason in checker.pixel_reasons(read_film(path)))]  # fmt: skip
    assert len(films) >= 20
    assert refused == []


def test_a_real_film_whose_header_wrongly_says_monochrome1_is_a_negative(checker: FilmChecker, test_data: Path) -> None:
    (reason,) = checker.pixel_reasons(read_film(test_data / "films" / "monochrome1_tag.dcm"))
    assert reason.code == "inverted"


def test_a_refused_report_is_stored_and_restored_and_one_of_before_the_check_is_accepted() -> None:
    reader = Reader.load()
    refused = reader.read(_film(PHANTOM, age_years=3.0))
    again = Report.restore(refused.to_json(), refused.maps_png())
    assert (again.check, again.findings, refused.maps_png()) == (refused.check, (), b"")
    assert FilmCheck.from_dict({"accepted": True, "reasons": [], "distance": 0.4}).accepted
