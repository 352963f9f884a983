"""A film that somebody deletes while somebody else's request is on its way."""

from typing import Any

import pytest

from tests.desk.desk import Desk
from tests.phantom import phantom_png


@pytest.mark.parametrize("part", ["film.png", "pixels", "report.pdf"])
def test_between_its_row_and_its_bytes(desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    address, store = desk.api_upload("a.png", film_png).get_json()["links"]["page"], desk.intake.store
    look_up = store.film

    def look_up_and_lose(film_id: str) -> Any:
        row = look_up(film_id)
        monkeypatch.setattr(store, "film", look_up)
        desk.intake.delete(film_id, "anna")
        return row

    monkeypatch.setattr(store, "film", look_up_and_lose)
    answer = desk.client.get(f"{address}/{part}", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.get_json()["error"] == "There is no such film; it may have been deleted. See the list of films."


def test_bytes_that_are_missing_without_a_deletion_are_a_fault_of_the_desk(desk: Desk, film_png: bytes) -> None:
    address = desk.api_upload("a.png", film_png).get_json()["links"]["page"]
    (file,) = desk.stored_files()
    file.unlink()
    desk.app.testing = False
    assert desk.client.get(f"{address}/film.png").status_code == 500


def test_while_the_others_of_its_upload_are_read(desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in = desk.intake.take_in

    def take_in_and_lose(content: bytes, name: str, *given: Any, **options: Any) -> str:
        film_id = take_in(content, name, *given, **options)
        if name == "a.png":
            desk.intake.delete(film_id, "anna")
        return film_id

    monkeypatch.setattr(desk.intake, "take_in", take_in_and_lose)
    told = desk.script_upload(("a.png", film_png), ("b.png", phantom_png(256, seed=1)))
    assert [film["name"] for film in told["films"]] == ["b.png"]
    assert [(r["status"], "may have been deleted" in r["error"]) for r in told["refused"]] == [(404, True)]
