"""Where the films of an archive lie."""

import os
import zipfile
from pathlib import Path

import pytest

from cxr.errors import BadRequest, CxrError, TooLarge, UnreadableFilm
from cxr.films.film import Limits
from cxr.films.read import read_film
from cxr.reading.archive_sources import Bucket, FilmList, Folder, ZippedFilms, open_source
from tests.phantom import phantom_jpeg

FILM = phantom_jpeg(side=128)
LIMITS = Limits()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    (films / "b" / "deep").mkdir(parents=True)
    for name in ("c.jpg", "a.JPEG", "b/2", "b/10.dcm", "b/deep/1.png", "notes.txt", ".hidden.png"):
        (films / name).write_bytes(FILM)
    return films


def _below(folder: Path, names: list[str]) -> list[str]:
    return [str(Path(name).relative_to(folder)) for name in names]


def _zip(file: Path, films: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in films.items():
            packed.writestr(name, content)
    return file


def test_a_folder_is_read_in_order_with_all_that_lies_below_it(folder: Path) -> None:
    names = list(open_source(str(folder)).films())
    assert _below(folder, names) == ["a.JPEG", "b/10.dcm", "b/2", "b/deep/1.png", "c.jpg"]
    assert Folder(str(folder)).read(names[0], LIMITS) == Path(names[0])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_a_film_with_its_reason(folder: Path) -> None:
    (folder / "b").chmod(0)
    assert _below(folder, list(Folder(str(folder)).films())) == ["a.JPEG", "b", "c.jpg"]
    with pytest.raises(UnreadableFilm, match="cannot be listed"):
        Folder(str(folder)).read(str(folder / "b"), LIMITS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("films.txt", "one.png\n\ntwo films.png\r\n"),
        ("FILMS.CSV", 'film,error\none.png,\n"two films.png",damaged\n'),
        ("paths.csv", "age,path\n7,one.png\n8,two films.png\n"),
    ],
)
def test_a_list_names_films_on_its_lines_or_in_a_column(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    source = open_source(str(tmp_path / name))
    assert isinstance(source, FilmList)
    assert list(source.films()) == ["one.png", "two films.png"]


def test_a_list_may_name_urls(folder: Path) -> None:
    assert FilmList("list.txt").read((folder / "c.jpg").as_uri(), LIMITS) == FILM
    with pytest.raises(UnreadableFilm, match="cannot be fetched: FileNotFoundError"):
        FilmList("list.txt").read((folder / "gone.jpg").as_uri(), LIMITS)


def test_a_zip_is_read_without_unpacking_it(tmp_path: Path) -> None:
    file = _zip(tmp_path / "films.zip", {"b/2.jpg": FILM, "a.txt": b"no", "b/._2.jpg": b"no", "1.jpg": FILM})
    source = open_source(str(file))
    assert isinstance(source, ZippedFilms)
    assert list(source.films()) == [f"{file}/b/2.jpg", f"{file}/1.jpg"]
    assert source.read(f"{file}/1.jpg", LIMITS) == FILM


def test_a_bomb_in_a_zip_is_refused_by_its_header(tmp_path: Path) -> None:
    file = _zip(tmp_path / "bomb.zip", {"bomb.png": bytes(2 * 2**20)})
    assert file.stat().st_size < 4000
    with pytest.raises(TooLarge, match=r"2\.0 MiB; the limit is 1 MiB"):
        ZippedFilms(str(file)).read(f"{file}/bomb.png", Limits(max_bytes=2**20))


def test_a_bomb_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    file = _zip(tmp_path / "liar.zip", {"bomb.png": bytes(2 * 2**20)})
    told = file.read_bytes().replace((2 * 2**20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    file.write_bytes(told)
    with pytest.raises(UnreadableFilm, match="Bad CRC-32"):
        ZippedFilms(str(file)).read(f"{file}/bomb.png", Limits(max_bytes=2**20))


def test_a_film_in_a_zip_may_be_damaged_packed_otherwise_or_a_zip_again(tmp_path: Path) -> None:
    damaged = _zip(tmp_path / "damaged.zip", {"film.jpg": FILM}, zipfile.ZIP_STORED)
    damaged.write_bytes(damaged.read_bytes().replace(FILM[200:210], bytes(10)))
    otherwise = _zip(tmp_path / "lzma.zip", {"film.jpg": FILM}, zipfile.ZIP_LZMA)
    again = _zip(tmp_path / "again.zip", {"film.png": otherwise.read_bytes()})
    for file, name, reason in (
        (damaged, "film.jpg", "cannot be unpacked"),
        (otherwise, "film.jpg", "method 14"),
        (again, "film.png", "a ZIP archive"),
    ):
        with pytest.raises(CxrError, match=reason):
            read_film(ZippedFilms(str(file)).read(f"{file}/{name}", LIMITS))


def test_a_bucket_is_listed_folder_by_folder(folder: Path) -> None:
    source = open_source(folder.as_uri() + "/")
    assert isinstance(source, Bucket)
    names = list(source.films())
    assert names == [f"file://{folder}/{name}" for name in ("a.JPEG", "b/10.dcm", "b/2", "b/deep/1.png", "c.jpg")]
    assert source.read(names[0], LIMITS) == FILM
    assert len(bytes(source.read(names[0], Limits(max_bytes=100)))) == 101  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("absent", None, r"'.*absent' cannot be opened \(No such file or directory\)"),
        ("film.jpg", FILM, "is one film; name its folder, or read it with `python -m cxr predict`"),
        ("junk", b"\0\1\2\3", "is no folder, ZIP, or list of films"),
        ("labels.csv", b"name,age\nx,1\n", "has no column film or path"),
        ("broken.csv", b'film\n"a.png', "cannot be read"),
        ("s3:/", None, "cannot be opened"),
    ],
)
def test_what_is_no_source_is_told_why(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRequest, match=sentence):
        list(open_source(str(tmp_path / name)).films())


def test_a_bucket_that_is_not_there_or_not_known_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"cannot be listed at .*: FileNotFoundError"):
        list(open_source((tmp_path / "absent").as_uri()).films())
    with pytest.raises(BadRequest, match=r"cannot be opened .*Protocol not known"):
        list(open_source("floppy://a/films").films())
