"""A backup is whole or none, and a desk made from it shows all that was there."""

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from cxr import cli
from cxr.desk.backup import FORMAT, MANIFEST, BackupError, back_up, restore
from cxr.desk.instance import DATABASE
from cxr.desk.migrations import known, people_and_audit
from cxr.desk.store import Store
from cxr.errors import SettingError
from cxr.reading.reader import Reader
from tests.desk.department import open_department
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png

FIRST_RELEASE = Path(__file__).parents[1] / "desk" / "first_release.sql"


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


def test_who_was_signed_in_is_in_no_backup(tmp_path: Path, reader: Reader) -> None:
    with open_department(tmp_path / "here", reader) as department:
        back_up(department.intake.store, tmp_path / "desk.zip")
        assert department.clinician.get("/films").status_code == 200
    with zipfile.ZipFile(tmp_path / "desk.zip") as file:
        file.extract(DATABASE, tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM sign_ins").fetchall() == [(0,)]
        assert database.execute("SELECT name FROM people ORDER BY name").fetchall() == [("anna",), ("bert",)]


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


def test_a_backup_of_an_older_version_is_restored_with_nobody_signed_in_and_upgraded(tmp_path: Path) -> None:
    film, there = b"an old film", tmp_path / "there"
    _write_0002(tmp_path / "old.sqlite3", film)
    _pack_0002(tmp_path / "desk.zip", (tmp_path / "old.sqlite3").read_bytes(), film)
    restore(tmp_path / "desk.zip", there)
    with closing(Store(f"sqlite:///{there / DATABASE}", there)) as store:
        assert store.content(store.film("f11a")) == film
    with closing(sqlite3.connect(there / DATABASE)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(known()[-1],)]
        assert database.execute("SELECT name FROM people").fetchall() == [("anna",)]
        assert database.execute("SELECT count(*) FROM sign_ins").fetchall() == [(0,)]


def _write_0002(file: Path, film: bytes) -> None:
    """The database of the first release, one step later, with somebody signed in."""
    with closing(sqlite3.connect(file)) as database:
        database.executescript(FIRST_RELEASE.read_text())
        database.execute("UPDATE films SET sha256 = ?", (hashlib.sha256(film).hexdigest(),))
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('0002')")
        database.commit()
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        people_and_audit.upgrade()
        connection.exec_driver_sql("INSERT INTO people VALUES (1, 'anna', '', 'admin', 0, 100.0, NULL)")
        connection.exec_driver_sql("INSERT INTO sign_ins VALUES ('ab', 1, 100.0, 100.0)")
    engine.dispose()


def _pack_0002(file: Path, database: bytes, film: bytes) -> None:
    sha256, size = hashlib.sha256(database).hexdigest(), len(database)
    manifest = {"format": FORMAT, "cxr": "0.2.0", "schema": "0002", "made_at": 100.0}
    manifest |= {"database": {"sha256": sha256, "bytes": size}, "films": {hashlib.sha256(film).hexdigest(): len(film)}}
    with zipfile.ZipFile(file, "w") as whole:
        whole.writestr(f"films/{hashlib.sha256(film).hexdigest()}", film)
        whole.writestr(DATABASE, database)
        whole.writestr(MANIFEST, json.dumps(manifest))


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
