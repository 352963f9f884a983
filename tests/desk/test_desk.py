"""What the desk does with a film that it can read."""

import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import cxr.films.dicom
from cxr.desk import pages
from cxr.desk.app import ROOT
from cxr.desk.pictures import raw_pixels
from cxr.films.film import Film, Metadata
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.reading.report import DISCLAIMER
from cxr.settings import Settings, variable
from tests.desk.desk import Desk, open_desk
from tests.phantom import draw_phantom, phantom_dicom, phantom_jpeg, phantom_png

LABELS = 14


def _pixels(desk: Desk, film_id: str) -> np.ndarray:
    answer = desk.client.get(f"/films/{film_id}/pixels")
    shape = int(answer.headers["X-Film-Height"]), int(answer.headers["X-Film-Width"])
    return np.frombuffer(gzip.decompress(answer.data), "<u2").reshape(shape)


def _twenty_films() -> list[bytes]:
    """One phantom, moved sideways by another distance in each film."""
    phantom = np.round(draw_phantom(192, 192) * 255).astype(np.uint8)
    return [cv2.imencode(".png", np.roll(phantom, 9 * n, axis=1))[1].tobytes() for n in range(20)]


def test_one_film_leads_to_its_page_with_fourteen_findings(desk: Desk, film_png: bytes) -> None:
    answer = desk.upload(("chest.png", film_png))
    assert answer.status_code == 303
    page = desk.client.get(answer.location).text
    assert page.count('class="finding-name"') == LABELS
    assert "chest.png" in page and DISCLAIMER in page
    assert desk.reader.identity.sha256[:12] in page


@pytest.mark.parametrize("content", [phantom_png(256, bits=16), phantom_jpeg(256), phantom_dicom(256, 200)])
def test_png_jpeg_and_dicom_are_read(desk: Desk, content: bytes) -> None:
    film = desk.api_upload("film", content).get_json()
    assert film["state"] == "read"
    pixels = read_film(content).pixels
    np.testing.assert_array_equal(_pixels(desk, film["id"]), np.round(pixels * 65535).astype(np.uint16))


@pytest.mark.parametrize("address", ["film.png", "pixels"])
def test_a_picture_is_made_within_the_slot_of_its_film(
    tmp_path: Path, reader: Reader, film_png: bytes, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    free = []

    def watch(picture: Callable[[Film], Any]) -> Callable[[Film], Any]:
        def draw(film: Film) -> Any:
            free.append(desk.intake._slots.acquire(blocking=False))
            return picture(film)

        return draw

    for name in ("preview_png", "raw_pixels"):
        monkeypatch.setattr(pages, name, watch(getattr(pages, name)))
    with open_desk(tmp_path, reader, reads_at_once=1) as desk:
        page = desk.upload(("a.png", film_png)).location
        assert desk.client.get(f"{page}/{address}").status_code == 200
        assert free == [False]
        assert desk.intake._slots.acquire(blocking=False)


@pytest.mark.parametrize("shape", [(1500, 1000), (3, 2**20 + 5), (70, 64)])
def test_pixels_are_packed_strip_by_strip(shape: tuple[int, int]) -> None:
    film = Film(np.random.default_rng(7).random(shape, np.float32), Metadata("PNG", 16))
    raw = raw_pixels(film)
    assert (raw.height, raw.width) == shape
    unpacked = np.frombuffer(gzip.decompress(raw.gzip), "<u2").reshape(shape)
    np.testing.assert_array_equal(unpacked, np.round(film.pixels * 65535).astype(np.uint16))


def test_packing_a_large_film_takes_little_beside_the_film() -> None:
    film = Film(np.zeros((4000, 4000), np.float32), Metadata("PNG", 16))
    tracemalloc.start()
    try:
        raw_pixels(film)
        assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
    finally:
        tracemalloc.stop()


def test_many_films_lead_to_the_list(desk: Desk, film_png: bytes) -> None:
    answer = desk.upload(("a.png", film_png), ("b.png", phantom_png(256, seed=1)))
    assert answer.location.startswith("/films?upload=")
    assert desk.client.get(answer.location).text.count('class="film-text"') == 2


def test_the_script_of_the_upload_page_gets_each_outcome_as_json(desk: Desk, film_png: bytes) -> None:
    form = {"csrf_token": desk.token(), "film": [(io.BytesIO(film_png), "a.png"), (io.BytesIO(b"hello"), "b.txt")]}
    outcome = desk.client.post("/films", data=form, headers={"Accept": "application/json"}).get_json()
    assert [film["name"] for film in outcome["films"]] == ["a.png"]
    assert [refused["name"] for refused in outcome["refused"]] == ["b.txt"]


def test_the_api_answers_with_what_the_reader_says(desk: Desk, reader: Reader, film_png: bytes) -> None:
    answer = desk.api_upload("a.png", film_png)
    assert answer.status_code == 201
    film = desk.client.get(answer.location).get_json()
    report = reader.read(read_film(film_png))
    assert [finding["label"] for finding in film["findings"]] == [finding.label for finding in report.findings]
    for told, read in zip(film["findings"], report.findings, strict=True):
        assert told["probability"] == pytest.approx(read.probability, abs=1e-3)
        assert told["above"] == (told["probability"] >= told["operating_point"]["threshold"])
    assert film["model"]["sha256"] == reader.identity.sha256
    assert set(film) >= {"id", "state", "task", "model", "findings", "check"}


def test_a_chosen_finding_shows_its_heat_map_without_any_script(desk: Desk, film_png: bytes) -> None:
    page = desk.upload(("a.png", film_png)).location
    label = desk.reader.info.labels[3]
    assert f'src="{page}/heatmaps/{label}.png"' in desk.client.get(f"{page}?finding={label}").text
    assert 'class="heatmap"' not in desk.client.get(f"{page}?finding=").text
    assert desk.client.get(f"{page}/heatmaps/{label}.png").data.startswith(b"\x89PNG")
    assert desk.client.get(f"{page}/film.png").data.startswith(b"\x89PNG")


def test_deleting_a_film_keeps_the_bytes_that_another_shares(desk: Desk, film_png: bytes) -> None:
    first, second = (desk.api_upload(name, film_png).get_json()["id"] for name in ("a.png", "b.png"))
    desk.intake.write_heatmaps()
    assert len(desk.heatmap_files()) == 2 * LABELS
    assert desk.client.post(f"/films/{first}/delete", data={"csrf_token": desk.token()}).status_code == 303
    assert len(desk.stored_files()) == 1
    assert len(desk.heatmap_files()) == LABELS
    assert desk.client.delete(f"/api/v1/films/{second}").status_code == 204
    assert desk.keeps_nothing()
    assert desk.heatmap_files() == []
    assert desk.client.delete(f"/api/v1/films/{second}").status_code == 404


def test_heat_map_files_have_an_unguessable_folder_and_the_colours_of_the_page(desk: Desk, film_png: bytes) -> None:
    film_id = desk.api_upload("a.png", film_png).get_json()["id"]
    desk.intake.write_heatmaps()
    for path in desk.heatmap_files():
        assert len(path.parent.name) >= 32 and film_id not in str(path)
        assert path.read_bytes() == desk.client.get(f"/films/{film_id}/heatmaps/{path.stem}.png").data
    assert not list((desk.folder / "gradcam").rglob("*.part"))


def test_the_list_is_read_in_pages(desk: Desk, film_png: bytes) -> None:
    for number in range(5):
        desk.api_upload(f"{number}.png", film_png)
    seen, address = [], "/api/v1/films?limit=2"
    while address:
        page = desk.client.get(address).get_json()
        seen += [film["name"] for film in page["films"]]
        address = page["next"]
    assert seen == ["4.png", "3.png", "2.png", "1.png", "0.png"]


def test_twenty_uploads_at_once_from_four_clients_each_get_their_own_film(desk: Desk, reader: Reader) -> None:
    contents = _twenty_films()

    def send(numbers: range) -> list[tuple[int, str]]:
        client = desk.app.test_client()
        return [
            (n, client.post("/api/v1/films", data={"film": (io.BytesIO(contents[n]), f"{n}.png")}).get_json()["id"])
            for n in numbers
        ]

    with ThreadPoolExecutor(4) as clients:
        answers = [answer for batch in clients.map(send, [range(i, 20, 4) for i in range(4)]) for answer in batch]
    assert len({film_id for _, film_id in answers}) == 20
    for number, film_id in answers:
        film, answer = read_film(contents[number]), desk.client.get(f"/api/v1/films/{film_id}").get_json()
        report = reader.read(film)
        assert answer["name"] == f"{number}.png"
        assert [f["probability"] for f in answer["findings"]] == pytest.approx(
            [f.probability for f in report.findings], abs=1e-3
        )
        np.testing.assert_array_equal(_pixels(desk, film_id), np.round(film.pixels * 65535).astype(np.uint16))
        stored = desk.intake.store.film(film_id).report
        assert stored is not None
        np.testing.assert_allclose(stored.restore().maps.astype(int), report.maps.astype(int), atol=3)


def test_the_dicom_code_is_there_before_the_first_dicom_film(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cxr.films, "dicom", cxr.films.dicom)  # both are put back afterwards
    monkeypatch.delitem(sys.modules, "cxr.films.dicom")
    with open_desk(tmp_path, reader):
        assert "cxr.films.dicom" in sys.modules


def test_health_pages_answer(desk: Desk) -> None:
    assert desk.client.get("/healthz").get_json() == {"status": "ok"}
    assert desk.client.get("/readyz").get_json() == {"status": "ready"}


def test_the_openapi_document_tells_the_truth(desk: Desk, film_png: bytes) -> None:
    document = desk.client.get("/openapi.json").get_json()
    rules = [rule for rule in desk.app.url_map.iter_rules() if rule.endpoint.startswith("api.")]
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), m.lower())
        for rule in rules
        for m in rule.methods - {"HEAD", "OPTIONS"}
    }
    told = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs if verb != "parameters"}
    assert told == served
    film = desk.api_upload("a.png", film_png).get_json()
    assert set(film) == set(document["components"]["schemas"]["Film"]["properties"])
    assert set(desk.films()[0]) == set(document["components"]["schemas"]["ListedFilm"]["properties"])


def test_every_setting_is_documented_with_its_default() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text("utf-8")
    for setting in fields(Settings):
        default = setting.default
        shown = f"`{int(default) if isinstance(default, bool) else default}`" if default != "" else ""
        assert f"| `{variable(setting.name)}` | {shown}" in documented


def test_json_keys_stand_in_the_order_that_a_reader_wants(desk: Desk, film_png: bytes) -> None:
    assert list(json.loads(desk.api_upload("a.png", film_png).text))[:3] == ["id", "name", "state"]
