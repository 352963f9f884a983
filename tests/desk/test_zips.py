"""ZIP files: what is in them is read like any film, under the limits of an upload."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk, sentence_of
from tests.phantom import phantom_dicom, phantom_png

Files = dict[str, bytes]


def _zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _encrypted() -> bytes:
    """The flag alone, in the member's own header and in the list."""
    file = bytearray(_zip({"a.png": b"film"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        file[file.index(signature) + flags] |= 1
    return bytes(file)


def _with_a_list_of(size: int) -> bytes:
    """A ZIP file whose end says that the list of its members has so many bytes; they are there."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0)
    return b"PK\x03\x04" + bytes(size) + end


def _sentences(desk: Desk, content: bytes) -> list[str]:
    """What the page's list says of an upload of one ZIP file."""
    outcome = desk.script_upload(("films.zip", content))
    return [refused["error"] for refused in outcome.get("refused", [])] or [outcome.get("error", "")]


def test_its_films_are_read_like_any_other(desk: Desk, film_png: bytes) -> None:
    packed = {"a.png": film_png, "ward/": b"", "ward/b.dcm": phantom_dicom(256, 256), "letter.txt": b"hello"}
    answer = desk.upload(("films.zip", _zip(packed)))
    page = desk.client.get(answer.location).text
    assert [(film["name"], film["state"]) for film in desk.films()] == [("b.dcm", "read"), ("a.png", "read")]
    assert "1 file was not taken in" in page and "letter.txt" in page


def test_a_program_is_told_of_each(desk: Desk, film_png: bytes) -> None:
    answer = desk.api_upload("films.zip", _zip({"a.png": film_png, "b.txt": b"hello"}))
    assert answer.status_code == 201
    assert [film["verdict"] for film in answer.get_json()["films"]] == [desk.films()[0]["verdict"]]
    assert [(r["name"], r["status"]) for r in answer.get_json()["refused"]] == [("b.txt", 415)]
    nothing = desk.api_upload("films.zip", _zip({"b.txt": b"hello"}))
    assert (nothing.status_code, nothing.get_json()["error"][:20]) == (415, "The file is a text. ")


def test_a_zip_file_that_is_refused_whole_is_named(desk: Desk) -> None:
    answer = desk.upload(("films.zip", _encrypted()))
    assert answer.status_code == 422
    assert sentence_of(answer).startswith("The file was not taken in films.zip The ZIP file is encrypted.")


def test_one_film_in_a_zip_file_leads_to_the_list_as_several_do(desk: Desk, film_png: bytes) -> None:
    assert desk.upload(("films.zip", _zip({"a.png": film_png}))).location.startswith("/films?upload=")


def test_a_dicom_film_whose_preamble_looks_like_a_zip_file_is_a_film(desk: Desk) -> None:
    assert desk.api_upload("a.dcm", b"PK\x03\x04" + phantom_dicom(256, 256)[4:]).get_json()["state"] == "read"


def test_clutter_is_left_out(desk: Desk, film_png: bytes) -> None:
    clutter = {"__MACOSX/._a.png": b"x", ".DS_Store": b"x", "ward/Thumbs.db": b"x"}
    assert desk.api_upload("films.zip", _zip({"a.png": film_png, **clutter})).get_json()["refused"] == []


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "C:\\Windows\\passwd", "a\\..\\..\\passwd"])
def test_a_name_that_leads_out_of_the_folder_is_a_label(desk: Desk, film_png: bytes, name: str) -> None:
    (film,) = desk.api_upload("films.zip", _zip({name: film_png})).get_json()["films"]
    assert film["name"] == "passwd"
    assert [path.name for path in desk.stored_files()] == [desk.intake.store.film(film["id"]).sha256]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: _zip({}), "holds no file"),
    "encrypted": (_encrypted, "is encrypted. Unpack it"),
    "cut off": (lambda: _zip({"a.png": phantom_png(256)})[:-30], "is damaged"),
    "damaged within": (lambda: _zip({"a.png": b"film"}, zipfile.ZIP_STORED).replace(b"film", b"FILM"), "is damaged"),
    "nested": (lambda: _zip({"b.zip": _zip({"a.png": b"film"})}), "within a ZIP file"),
    "bzip2": (lambda: _zip({"a.png": bytes(10**6)}, zipfile.ZIP_BZIP2), "unusual method"),
    "lzma": (lambda: _zip({"a.png": bytes(10**6)}, zipfile.ZIP_LZMA), "unusual method"),
    "too many": (lambda: _zip({f"{n}.png": b"x" for n in range(101)}), "holds 101 films, the most is 100"),
    "bomb in one film": (lambda: _zip({"a.png": bytes(65 * 2**20)}), "larger than 64 MiB"),
    "bomb in many": (lambda: _zip({f"{n}.png": bytes(60 * 2**20) for n in range(9)}), "unpacks to 540 MiB"),
    "endless list": (lambda: _with_a_list_of(2 * 2**20), "too many files"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_one_is_refused_with_a_sentence(desk: Desk, kind: str) -> None:
    make, says = BAD[kind]
    content = make()
    (sentence,) = _sentences(desk, content)
    assert says in sentence and sentence.endswith(".")
    answer = desk.api_upload("films.zip", content)
    assert says in answer.get_json()["error"] and answer.status_code in (413, 415, 422)
    assert desk.keeps_nothing()


def test_a_bad_one_does_not_keep_the_films_beside_it_out(desk: Desk, film_png: bytes) -> None:
    answer = desk.upload(("bad.zip", _encrypted()), ("a.png", film_png), ("b.zip", _zip({"b.png": film_png})))
    assert [film["name"] for film in desk.films()] == ["b.png", "a.png"]
    assert "bad.zip" in desk.client.get(answer.location).text


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path: Path, reader: Reader) -> None:
    liar = bytearray(_zip({"a.png": bytes(5 * 2**20)}))
    for signature, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = liar.index(signature) + size
        liar[start : start + 4] = struct.pack("<L", 1000)
    with open_desk(tmp_path, reader, max_film_bytes=2000) as desk:
        assert _sentences(desk, bytes(liar)) == [
            "The ZIP file is damaged here. Pack the films anew, or send them without it."
        ]


def test_the_limits_are_those_of_the_settings(tmp_path: Path, reader: Reader, film_png: bytes) -> None:
    with open_desk(tmp_path, reader, max_request_films=2) as desk:
        answer = desk.upload(("a.zip", _zip({"a.png": film_png, "b.png": film_png})), ("c.png", film_png))
        assert "holds 3 films, the most is 2" in sentence_of(answer)
        assert desk.keeps_nothing()
