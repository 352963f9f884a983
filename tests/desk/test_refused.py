"""A film that the check refuses: kept with the reason, read when a person says so, and marked then everywhere."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk, sentence_of
from tests.phantom import draw_phantom, phantom_dicom
from tests.reading.tiny import tiny_model

SENTENCE = "The grey scale is inverted: the lungs are bright. Invert the film, so that bone is white."


def _png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", np.round(pixels * 255).astype(np.uint8))[1])


NEGATIVE, MIRRORED = _png(1 - draw_phantom(256, 256)), _png(draw_phantom(256, 256)[:, ::-1])


@pytest.fixture
def eight(tmp_path: Path) -> Iterator[Desk]:
    file = tiny_model(tmp_path / "eight.onnx", "chestxray8", [9.0] * 8)
    with open_desk(tmp_path, Readers.find(Settings(), [file], shipped=None), heatmap_files=True) as desk:
        yield desk


def _text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def _press(desk: Desk, film: dict[str, Any]) -> Any:
    address = f"{film['links']['page']}/read-anyway"
    return desk.client.post(address, data={"csrf_token": desk.token()})


def test_it_is_kept_with_the_reason_and_without_findings(eight: Desk) -> None:
    film = eight.api_upload("negative.png", NEGATIVE).get_json()
    assert (film["state"], film["findings"], film["error"]) == ("refused", [], SENTENCE)
    (reason,) = film["check"]["reasons"]
    assert reason == {"code": "inverted", "severity": "refuse", "text": SENTENCE}
    assert (film["check"]["accepted"], film["check"]["read_anyway"]) == (False, False)
    summary = eight.films()[0]
    assert summary["state"] == "refused"
    assert summary["top"] is summary["findings_above"] is summary["verdict"] is None
    assert eight.client.get(f"{film['links']['page']}/heatmaps/Mass.png").status_code == 409
    eight.intake.write_heatmaps()
    assert eight.heatmap_files() == []


def test_its_page_says_why_and_offers_to_read_it_anyway(eight: Desk) -> None:
    page = eight.client.get(eight.upload(("negative.png", NEGATIVE)).location)
    assert SENTENCE in sentence_of(page) and "Read anyway" in sentence_of(page)
    assert 'class="finding-name"' not in page.text
    assert SENTENCE in _text(eight.client.get("/films").text)


def test_read_anyway_it_has_its_findings_and_the_mark_everywhere(eight: Desk) -> None:
    film = eight.api_upload("negative.png", NEGATIVE).get_json()
    assert _press(eight, film).location == film["links"]["page"]
    page = eight.client.get(film["links"]["page"])
    assert sentence_of(page) == f"Refused, read anyway {SENTENCE}"
    assert page.text.count('class="finding-name"') == 8
    read = eight.client.get(film["links"]["self"]).get_json()
    assert (read["state"], len(read["findings"]), read["error"]) == ("read", 8, SENTENCE)
    assert (read["check"]["accepted"], read["check"]["read_anyway"]) == (False, True)
    assert "Read anyway" in _text(eight.client.get("/films").text)
    assert eight.films()[0]["verdict"].startswith("Refused, read anyway: 8 findings above")
    eight.intake.write_heatmaps()
    assert len(eight.heatmap_files()) == 8


def test_a_program_asks_for_it_with_the_film_or_afterwards(eight: Desk) -> None:
    at_once = eight.api_upload("negative.png", NEGATIVE, anyway="1").get_json()
    refused = eight.api_upload("negative.png", NEGATIVE, anyway="0").get_json()
    afterwards = eight.client.post(f"{refused['links']['self']}/read-anyway").get_json()
    assert at_once["check"] == afterwards["check"]
    assert at_once["findings"] == afterwards["findings"]
    assert at_once["check"]["read_anyway"]


def test_anyway_is_1_or_0(eight: Desk) -> None:
    answer = eight.api_upload("negative.png", NEGATIVE, anyway="yes")
    assert (answer.status_code, eight.films()) == (400, [])
    assert "anyway is 'yes'; send 1" in answer.get_json()["error"]


def test_only_a_refused_film_is_read_anyway(eight: Desk, film_png: bytes) -> None:
    read = eight.api_upload("a.png", film_png, anyway="1").get_json()
    assert (read["state"], read["check"]["read_anyway"], read["error"]) == ("read", False, None)
    again = eight.client.post(f"{read['links']['self']}/read-anyway")
    assert (again.status_code, again.get_json()["error"]) == (409, "The film is read, not refused; look at its page.")
    assert eight.client.post("/api/v1/films/nothing/read-anyway").status_code == 404


def test_a_warning_stands_above_the_findings_and_refuses_nothing(eight: Desk) -> None:
    film = eight.api_upload("mirrored.png", MIRRORED).get_json()
    assert (film["state"], film["error"], len(film["findings"])) == ("read", None, 8)
    assert [reason["code"] for reason in film["check"]["reasons"]] == ["mirrored"]
    page = _text(eight.client.get(film["links"]["page"]).text)
    assert page.index("seems to be mirrored") < page.index("findings above")


@pytest.mark.parametrize(("element", "code"), [
    ({"BodyPartExamined": "HAND"}, "other_body_part"), ({"ViewPosition": "LL"}, "other_view"),
    ({"PatientAge": "004Y"}, "too_young"),
])  # fmt: skip
def test_a_header_refuses_and_a_person_overrules_it(eight: Desk, element: dict[str, str], code: str) -> None:
    film = eight.api_upload("film.dcm", phantom_dicom(256, 256, **element)).get_json()
    assert (film["state"], [reason["code"] for reason in film["check"]["reasons"]]) == ("refused", [code])
    assert eight.client.get(f"{film['links']['page']}/film.png").status_code == 200
    _press(eight, film)
    assert eight.client.get(film["links"]["self"]).get_json()["state"] == "read"


@pytest.mark.both_databases
@pytest.mark.parametrize("asked", ["with the upload", "afterwards"])
def test_a_film_whose_reader_dies_is_still_read_anyway(
    tmp_path: Path, reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with open_desk(tmp_path, reader, database_url=database_url, lease_s=1) as desk:
        film = (("negative.png", NEGATIVE),)
        if asked == "afterwards":
            desk.upload(*film)
        with monkeypatch.context() as death:
            death.setattr(desk.reader, "read", die)
            with pytest.raises(KeyboardInterrupt):
                _press(desk, desk.films()[0]) if asked == "afterwards" else desk.upload(*film, anyway="1")
        time.sleep(1.1)
        assert desk.intake.pick_up() == 1
        (film,) = desk.films()
        assert film["state"] == "read" and film["verdict"].startswith("Refused, read anyway: ")
