"""A film that is sent twice, after a lost connection or by a double click, is one film."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from zipfile import ZipFile

import pytest
from werkzeug.test import TestResponse

from tests.desk.desk import Desk
from tests.phantom import phantom_png

pytestmark = pytest.mark.both_databases

KEY = "3f0c9a52-5f6e-4c39-9f0e-5a7f7b1d2c11"


def _send(desk: Desk, content: bytes, key: str = KEY, **fields: str) -> TestResponse:
    form = {"film": (io.BytesIO(content), "a.png"), **fields}
    return desk.app.test_client().post("/api/v1/films", data=form, headers={"Idempotency-Key": key})


def test_the_same_key_answers_with_the_same_film(desk: Desk, film_png: bytes) -> None:
    first, again = _send(desk, film_png), _send(desk, film_png, f'"{KEY}"')
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert len(desk.films()) == 1


def test_other_keys_and_none_store_other_films(desk: Desk, film_png: bytes) -> None:
    ids = {_send(desk, film_png, key).get_json()["id"] for key in (KEY, KEY[::-1], "", "")}
    assert len(ids) == 4


def test_two_at_once_store_one_film(desk: Desk, film_png: bytes) -> None:
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda _: _send(desk, film_png), range(8)))
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert len(desk.films()) == len(desk.stored_files()) == 1


@pytest.mark.parametrize(
    "key", ["short", "x" * 65, "a b c d e f g h i j k", "ключ-ключ-ключ-ключ".encode().decode("latin-1")]
)
def test_a_key_that_is_none_is_refused(desk: Desk, film_png: bytes, key: str) -> None:
    answer = _send(desk, film_png, key)
    assert (answer.status_code, desk.films()) == (400, [])
    assert "16 to 64 letters" in answer.get_json()["error"]


def test_a_key_that_comes_with_another_film_is_refused(desk: Desk, film_png: bytes) -> None:
    _send(desk, film_png)
    answer = _send(desk, phantom_png(256, seed=1))
    assert (answer.status_code, len(desk.films())) == (422, 1)
    assert answer.get_json()["error"].startswith("The Idempotency-Key was sent before with another film")
    assert len(desk.stored_files()) == 1


def test_a_film_that_is_sent_again_is_not_read_again(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _send(desk, film_png).get_json()
    read: list[object] = []
    monkeypatch.setattr(desk.reader, "read", lambda film, **_: read.append(film))
    assert _send(desk, film_png).get_json()["id"] == first["id"]
    assert read == []


def test_a_deleted_film_may_be_sent_again(desk: Desk, film_png: bytes) -> None:
    film = _send(desk, film_png).get_json()
    desk.client.delete(film["links"]["self"])
    assert _send(desk, film_png).get_json()["id"] != film["id"]


def test_a_zip_file_sent_again_stores_nothing(desk: Desk, film_png: bytes) -> None:
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr("a.png", film_png)
        archive.writestr("b.png", film_png)
    first, again = (_send(desk, packed.getvalue()).get_json() for _ in range(2))
    assert [film["id"] for film in first["films"]] == [film["id"] for film in again["films"]]
    assert len(desk.films()) == 2


def test_a_form_sent_by_a_double_click_leads_to_one_list(desk: Desk, film_png: bytes) -> None:
    found = re.search(r'name="upload_key" value="(\w{32})"', desk.client.get("/").text)
    assert found
    files = ("a.png", film_png), ("b.png", phantom_png(256, seed=1)), ("letter.txt", b"hello")
    first, again = (desk.upload(*files, upload_key=found[1]).location for _ in range(2))
    assert first == again
    page = desk.client.get(first).text
    assert page.count('class="film-text"') == 2 and "1 file was not taken in" in page
    desk.upload(("c.png", phantom_png(256, seed=2)), upload_key=found[1])  # the page restored, another film chosen
    assert len(desk.films()) == 3


def test_a_script_may_wait_for_a_film(desk: Desk, film_png: bytes) -> None:
    film = _send(desk, film_png).get_json()
    (listed,) = desk.films()
    assert desk.client.get(f"/films/{film['id']}/state").get_json().items() <= listed.items()
