"""A backup is whole or none, and a desk made from it shows all that was there."""

import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cxr import cli
from cxr.desk.backup import MANIFEST, BackupError, back_up, restore
from cxr.errors import SettingError
from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader) -> Iterator[Desk]:
    with open_desk(tmp_path / "here", reader) as opened:
        yield opened


@pytest.fixture
def film_id(desk: Desk) -> str:
    return str(desk.api_upload("film.png", phantom_png(256)).get_json()["id"])


@pytest.fixture
def backup(desk: Desk, film_id: str, tmp_path: Path) -> Path:
    file = tmp_path / "desk.zip"
    back_up(desk.intake.store, file)
    return file


def _rewrite(backup: Path, change: dict[str, bytes | None]) -> None:
    """With other bytes under some names; None leaves a file out."""
    with zipfile.ZipFile(backup) as file:
        whole = {name: file.read(name) for name in file.namelist()} | change
    with zipfile.ZipFile(backup, "w") as file:
        for name, content in whole.items():
            if content is not None:
                file.writestr(name, content)


def _change_manifest(backup: Path, **change: Any) -> None:
    with zipfile.ZipFile(backup) as file:
        manifest = json.loads(file.read(MANIFEST))
    _rewrite(backup, {MANIFEST: json.dumps(manifest | change).encode()})


def test_a_restored_desk_shows_every_film_and_report(
    desk: Desk, film_id: str, tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_bytes = desk.api_upload("same.png", phantom_png(256)).get_json()["id"]
    monkeypatch.setenv("CXR_INSTANCE_PATH", str(desk.folder / "instance"))
    assert cli.main(["backup", str(tmp_path / "desk.zip")]) == 0
    assert cli.main(["restore", str(tmp_path / "desk.zip"), "--to", str(tmp_path / "there" / "instance")]) == 0
    with open_desk(tmp_path / "there", reader) as restored:
        assert restored.films() == desk.films() and len(desk.films()) == 2
        for one in (film_id, same_bytes):
            for page in (f"/api/v1/films/{one}", f"/films/{one}/pixels", f"/films/{one}/heatmaps/Mass.png"):
                assert restored.client.get(page).data == desk.client.get(page).data
        log = restored.app.extensions["audit"]
        assert log.last("restore").person == "(command line)" and log.verify().trouble == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk.zip", "here", "there"]


def test_only_its_owner_may_read_a_backup(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_film_that_is_deleted_while_the_backup_is_made_leaves_the_backup_too(
    desk: Desk, film_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = desk.api_upload("other.png", phantom_png(300)).get_json()["id"]

    def copy_then_delete(*arguments: Any) -> None:
        _copy(*arguments)
        desk.intake.delete(film_id, "anna")

    from cxr.desk import backup as module

    _copy = module._copy_database
    monkeypatch.setattr(module, "_copy_database", copy_then_delete)
    made = back_up(desk.intake.store, tmp_path / "desk.zip")
    restore(tmp_path / "desk.zip", tmp_path / "there")
    with closing(sqlite3.connect(tmp_path / "there" / "desk.sqlite3")) as database:
        assert database.execute("SELECT id FROM films").fetchall() == [(other,)]
        assert database.execute("SELECT count(*) FROM reports").fetchall() == [(1,)]
    assert len(made.films) == 1


def test_what_people_searched_for_is_in_no_backup(desk: Desk, film_id: str, tmp_path: Path) -> None:
    desk.client.post("/api/v1/searches", json={"text": "Doe John"})
    back_up(desk.intake.store, tmp_path / "desk.zip")
    assert b"Doe John" not in (tmp_path / "desk.zip").read_bytes()  # stored, not deflated


@pytest.mark.parametrize(("content", "why"), [(None, "are missing"), (b"rotten", "are damaged where they are stored")])
def test_a_backup_of_a_desk_that_lost_a_film_is_refused(
    desk: Desk, film_id: str, tmp_path: Path, content: bytes | None, why: str
) -> None:
    (stored,) = desk.stored_files()
    stored.unlink() if content is None else stored.write_bytes(content)
    with pytest.raises(BackupError, match=why):
        back_up(desk.intake.store, tmp_path / "desk.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_backup_that_cannot_be_written_is_told_and_keeps_the_one_before(desk: Desk, backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(desk.intake.store, backup.parent / "nowhere" / "desk.zip")
    for path in desk.stored_files():
        path.unlink()
    with pytest.raises(BackupError, match="are missing"):
        back_up(desk.intake.store, backup)
    assert backup.read_bytes() == before


def test_a_folder_that_holds_something_is_left_alone(backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "letter.txt").touch()
    with pytest.raises(BackupError, match="holds something already"):
        restore(backup, folder)
    with pytest.raises(BackupError, match="holds something already"):
        restore(backup, folder / "letter.txt")
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_an_empty_folder_is_filled(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert len(restore(backup, tmp_path / "empty").films) == 1


def _cut(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:-100])


def _flip(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[2000] ^= 1
    backup.write_bytes(content)


def _lose_film(backup: Path) -> None:
    with zipfile.ZipFile(backup) as file:
        film = next(name for name in file.namelist() if name.startswith("films/"))
    _rewrite(backup, {film: None})


DAMAGES = {
    "a letter": lambda backup: backup.write_bytes(b"This is a letter."),
    "nothing": lambda backup: backup.write_bytes(b""),
    "cut": _cut,
    "a bit": _flip,
    "a film less": _lose_film,
    "another database": lambda backup: _rewrite(backup, {"desk.sqlite3": b"SQLite format 3"}),
    "no manifest": lambda backup: _rewrite(backup, {MANIFEST: None}),
    "a torn manifest": lambda backup: _rewrite(backup, {MANIFEST: b'{"format": 1'}),
    "a list": lambda backup: _rewrite(backup, {MANIFEST: b"[]"}),
    "an empty manifest": lambda backup: _rewrite(backup, {MANIFEST: b"{}"}),
    "a way out": lambda backup: _change_manifest(backup, films={"../../../../etc/passwd": 1}),
    "other sizes": lambda backup: _change_manifest(backup, films={"a" * 64: 1}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_told_and_leaves_nothing(backup: Path, tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](backup)
    with pytest.raises(BackupError, match="is damaged, or no backup of a desk"):
        restore(backup, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk.zip", "here"]


def test_a_backup_of_a_newer_version_is_refused(backup: Path, tmp_path: Path) -> None:
    _change_manifest(backup, schema="9999")
    with pytest.raises(SettingError, match=r"The backup was written by a newer version of cxr \(schema 9999"):
        restore(backup, tmp_path / "there")
    _change_manifest(backup, format=2, cxr="7.0")
    with pytest.raises(BackupError, match=r"newer version of cxr \(7\.0\)"):
        restore(backup, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file"):
        restore(tmp_path / "nowhere.zip", tmp_path / "there")


def test_a_damaged_database_is_not_backed_up(desk: Desk, film_id: str, tmp_path: Path) -> None:
    desk.intake.store.scrub()
    desk.intake.store.close()
    with (desk.folder / "instance" / "desk.sqlite3").open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)
    with pytest.raises(BackupError, match="database is damaged"):
        back_up(desk.intake.store, tmp_path / "desk.zip")
    assert not (tmp_path / "desk.zip").exists()
