"""Each bad input is refused with a sentence, and leaves nothing behind."""

import gc
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import unescape

import pytest
from PIL import Image

from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk, sentence_of
from tests.films.bombs import (
    deflated_dicom,
    dicom_of_60000_pixels,
    png_of_60000_pixels,
    png_that_inflates_beyond_its_size,
    png_with_inflating_text,
)
from tests.films.pngs import GREY, SIGNATURE, chunk, header, png
from tests.phantom import phantom_dicom, phantom_jpeg, phantom_png


def _gif() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "GIF")
    return buffer.getvalue()


def _png_bomb() -> bytes:
    """150 kB that hold 144 megapixels, all of them there."""
    packer, rows = zlib.compressobj(1), bytes(12_001 * 100)
    pixels = b"".join(packer.compress(rows) for _ in range(120)) + packer.flush()
    return SIGNATURE + header(12_000, 12_000, 8, GREY) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@dataclass(frozen=True)
class Bad:
    make: Callable[[], bytes]
    statuses: tuple[int, ...]
    says: str = "."


BAD_FILES = {
    "empty": Bad(lambda: b"", (415, 422)),
    "text": Bad(lambda: b"This is a letter, not a film.\n" * 40, (415,)),
    "gif": Bad(_gif, (415,)),
    "truncated png": Bad(lambda: phantom_png(256)[:5000], (422,)),
    "truncated jpeg": Bad(lambda: phantom_jpeg(256)[:3000], (422,)),
    "truncated dicom": Bad(lambda: phantom_dicom(128, 128)[:4000], (422,)),
    "dicom without pixels": Bad(lambda: phantom_dicom(128, 128)[:400], (415, 422)),
    "ct": Bad(lambda: phantom_dicom(128, 128, Modality="CT"), (422,), "'CT', not a radiograph"),
    "mr": Bad(lambda: phantom_dicom(128, 128, Modality="MR"), (422,), "'MR', not a radiograph"),
    "png of one pixel": Bad(lambda: png(1, 1, 8, GREY, b"\x80"), (422,), "1 x 1 pixels"),
    "dicom of one pixel": Bad(lambda: phantom_dicom(64, 64, Rows=1, Columns=1), (422,), "1 x 1 pixels"),
    "png of 60,000 pixels": Bad(png_of_60000_pixels, (413,), "60000 x 60000 pixels"),
    "dicom of 60,000 pixels": Bad(dicom_of_60000_pixels, (413,), "60000 x 60000 pixels"),
    "png bomb": Bad(_png_bomb, (413,), "12000 x 12000 pixels"),
    "deflated dicom bomb": Bad(deflated_dicom, (413,), "unpacks to more than 256 MiB"),
}


@cache
def _content(kind: str) -> bytes:
    return BAD_FILES[kind].make()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_refused_with_a_sentence_and_nothing_is_stored(desk: Desk, kind: str) -> None:
    answer = desk.upload(("film.png", _content(kind)))
    assert answer.status_code in BAD_FILES[kind].statuses
    sentence = unescape(sentence_of(answer))
    assert sentence.endswith(".") and BAD_FILES[kind].says in sentence
    assert "Traceback" not in answer.text and str(desk.folder) not in answer.text
    assert desk.keeps_nothing()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_the_api_refuses_a_bad_file_in_json(desk: Desk, kind: str) -> None:
    answer = desk.api_upload("film.png", _content(kind))
    assert answer.status_code in BAD_FILES[kind].statuses
    assert answer.get_json()["status"] == answer.status_code
    assert answer.get_json()["error"].endswith(".") and BAD_FILES[kind].says in answer.get_json()["error"]
    assert desk.keeps_nothing()


def test_all_bad_files_of_an_upload_are_named_and_the_films_among_them_are_read(desk: Desk, film_png: bytes) -> None:
    bad = [(f"{kind}.bad", _content(kind)) for kind in BAD_FILES]
    answer = desk.upload(("a.png", film_png), *bad, ("b.png", phantom_png(256, seed=1)))
    assert answer.status_code == 303
    page = desk.client.get(answer.location).text
    assert f"{len(bad)} files were not taken in" in page
    assert all(f"{kind}.bad" in page for kind in BAD_FILES)
    assert [(film["name"], film["state"]) for film in desk.films()] == [("b.png", "read"), ("a.png", "read")]
    kept = {sha256(film_png).hexdigest(), sha256(phantom_png(256, seed=1)).hexdigest()}
    assert {path.name for path in desk.stored_files()} == kept


@pytest.mark.parametrize("bomb", [png_that_inflates_beyond_its_size, png_with_inflating_text])
def test_a_bomb_around_a_small_film_is_not_unpacked(desk: Desk, bomb: Callable[[], bytes]) -> None:
    film = desk.api_upload("film.png", bomb()).get_json()
    shown = desk.client.get(film["links"]["pixels"])
    assert (shown.headers["X-Film-Height"], shown.headers["X-Film-Width"]) == ("64", "64")


def test_the_other_films_of_an_upload_are_still_read(desk: Desk, film_png: bytes) -> None:
    answer = desk.upload(
        ("a.png", film_png), ("letter.txt", b"hello"), ("b.png", phantom_png(256, seed=1)), ("c.gif", _gif())
    )
    assert answer.status_code == 303
    page = desk.client.get(answer.location).text
    assert "2 files were not taken in" in page
    assert "letter.txt" in page and "c.gif" in page
    assert [film["state"] for film in desk.films()] == ["read", "read"]
    assert len(desk.stored_files()) == 2


def test_when_no_file_of_many_is_a_film_the_answer_is_an_error_that_names_each(desk: Desk) -> None:
    answer = desk.upload(("a.txt", b"hello"), ("b.txt", b"hello"))
    assert answer.status_code == 415
    assert "a.txt" in answer.text and "b.txt" in answer.text
    assert desk.keeps_nothing()


NAMES = {
    "../../../etc/passwd": "passwd",
    "fi\x00lm\x1b[31m.png": "film[31m.png",
    "Снимок грудной клетки.png": "Снимок грудной клетки.png",
    "x" * 300 + ".png": "x" * 200,
    "<script>alert(1)<\u2215script>.png": "<script>alert(1)<\u2215script>.png",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_a_label_and_never_a_path(desk: Desk, film_png: bytes, name: str) -> None:
    film = desk.api_upload(name, film_png).get_json()
    assert film["name"] == NAMES[name]
    assert [path.name for path in desk.stored_files()] == [desk.intake.store.film(film["id"]).sha256]
    assert "<script>alert" not in desk.client.get(film["links"]["page"]).text


def test_an_upload_without_a_film_is_refused(desk: Desk) -> None:
    assert "holds no film" in sentence_of(desk.upload())
    unchosen = desk.upload(("", b""))
    assert unchosen.status_code == 400
    assert "holds no film" in sentence_of(unchosen)


def test_a_field_too_many_is_named(desk: Desk, film_png: bytes) -> None:
    answer = desk.upload(("a.png", film_png), patient="Doe")
    assert answer.status_code == 400
    assert "'patient'; send films as 'film', perhaps a task as 'task', and nothing else." in unescape(answer.text)
    assert desk.keeps_nothing()


def test_thousands_of_fields_are_refused(desk: Desk, film_png: bytes) -> None:
    assert desk.upload(("a.png", film_png), **{f"f{i}": "x" for i in range(2000)}).status_code == 413
    assert desk.keeps_nothing()


# werkzeug leaves the temporary files of a form that it gives up to the garbage collector, which warns of each
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("count", [101, 500])
def test_more_films_than_one_upload_may_hold_are_refused(desk: Desk, film_png: bytes, count: int) -> None:
    answer = desk.upload(*[(f"{i}.png", film_png[:100]) for i in range(count)])
    assert answer.status_code == 413
    assert "100" in sentence_of(answer)
    assert desk.keeps_nothing()
    gc.collect()


def test_two_films_in_one_api_request_are_refused(desk: Desk, film_png: bytes) -> None:
    form = {"film": [(io.BytesIO(film_png), "a.png"), (io.BytesIO(film_png), "b.png")]}
    answer = desk.client.post("/api/v1/films", data=form)
    assert answer.status_code == 400
    assert "2 films" in answer.get_json()["error"]


def test_an_unknown_task_is_refused_with_the_known_ones(desk: Desk, film_png: bytes) -> None:
    answer = desk.api_upload("a.png", film_png, task="toothache")
    assert answer.status_code == 400
    assert desk.reader.info.task in answer.get_json()["error"]
    assert desk.api_upload("a.png", film_png, task=desk.reader.info.task).status_code == 201


def test_a_film_or_an_upload_beyond_the_limits_is_refused(tmp_path, reader: Reader, film_png: bytes) -> None:
    with open_desk(tmp_path, reader, max_film_bytes=1000, max_request_bytes=100_000) as desk:
        assert "larger than 0.000954 MiB" in sentence_of(desk.upload(("a.png", film_png[:2000])))
        assert desk.upload(("a.png", bytes(200_000))).status_code == 413
        assert desk.keeps_nothing()


def test_what_is_not_there_is_not_found(desk: Desk, film_png: bytes) -> None:
    page = desk.upload(("a.png", film_png)).location
    missing = [
        "/films/0123456789abcdef0123",
        "/films/x/film.png",
        "/films/x/pixels",
        "/films/x/thumbnail.jpg",
        "/nowhere",
    ]
    missing += [
        f"{page}/heatmaps/Toothache.png",
        f"{page}?finding=Toothache",
        "/films?before=yesterday",
        "/static/../main.py",
    ]
    assert [desk.client.get(address).status_code for address in missing] == [404] * len(missing)
    assert desk.client.get("/api/v1/films?limit=0").status_code == 400
    assert desk.client.put("/films").status_code == 405


def test_a_damaged_model_file_stops_the_start_with_its_name(tmp_path) -> None:
    from cxr.desk.app import create_app
    from cxr.errors import ModelFileError
    from cxr.settings import Settings

    damaged = tmp_path / "broken.onnx"
    damaged.write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match=r"broken\.onnx"):
        create_app(Settings(instance_path=str(tmp_path), model=str(damaged)), local=True)
