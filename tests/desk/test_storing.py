"""What is stored stays until it is deleted, and what is deleted goes: bytes, rows and heat-map files."""

import errno
import io
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from cxr.desk.app import create_app
from cxr.desk.audit import Entry
from cxr.desk.heatmap_rows import discarded_heatmaps
from cxr.desk.store import HOUR_S, NewFilm, Store
from cxr.desk.tables import DiscardedHeatmaps
from cxr.errors import SettingError
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk, sentence_of

FULL = "The desk's disk is full; nothing was stored."
NEW = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)


class _FileOnFullDisk(io.FileIO):
    def write(self, content: Any) -> int:
        super().write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _failing_commit(store: Store, code: int = sqlite3.SQLITE_FULL) -> Iterator[None]:
    """The next commit fails, those after it do not."""
    broken = sqlite3.OperationalError("database or disk is full")
    broken.sqlite_errorcode = code

    def fail(_: sa.Connection) -> None:
        raise OperationalError("COMMIT", None, broken)

    sa.event.listen(store._engine, "commit", fail, once=True)
    yield


# --- a full disk ---


def test_a_full_disk_is_told_and_leaves_no_half_film(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "fdopen", _FileOnFullDisk)
        alone, several = desk.upload(("a.png", film_png)), desk.upload(("a.png", film_png), ("b.png", film_png))
        from_program = desk.api_upload("a.png", film_png)
    assert [alone.status_code, several.status_code, from_program.status_code] == [507, 507, 507]
    assert FULL in sentence_of(alone).replace("&#39;", "'")
    assert from_program.get_json()["error"].startswith(FULL)
    assert desk.keeps_nothing()
    assert desk.api_upload("a.png", film_png).get_json()["state"] == "read"


def test_a_database_without_room_leaves_no_bytes(desk: Desk, film_png: bytes) -> None:
    with _failing_commit(desk.intake.store):
        assert desk.api_upload("a.png", film_png).status_code == 507
    assert desk.keeps_nothing()


def test_a_film_that_is_larger_than_the_room_is_not_begun(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = shutil.disk_usage(desk.folder)._replace(free=len(film_png) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    assert desk.api_upload("a.png", film_png).status_code == 507
    assert desk.keeps_nothing()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left._replace(free=len(film_png)))
    assert desk.api_upload("a.png", film_png).status_code == 201


def test_a_failed_upload_keeps_the_same_bytes_of_another_film(desk: Desk, film_png: bytes) -> None:
    kept = desk.api_upload("a.png", film_png).get_json()
    with _failing_commit(desk.intake.store):
        assert desk.api_upload("b.png", film_png).status_code == 507
    assert [film["id"] for film in desk.films()] == [kept["id"]]
    assert desk.client.get(kept["links"]["pixels"]).status_code == 200


def test_no_room_for_a_request_is_told(desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", refuse)
    assert desk.api_upload("a.png", film_png).status_code == 507


def test_another_fault_of_the_system_is_not_taken_for_a_full_disk(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "secret place")

    monkeypatch.setattr(os, "fdopen", refuse)
    answer = desk.api_upload("a.png", film_png)
    assert answer.status_code == 500
    assert "secret place" not in answer.text


# --- a power cut ---


def test_bytes_and_their_names_are_on_the_disk_before_the_row_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, order, fsync = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path), [], os.fsync

    def note(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    sa.event.listen(store.engine, "commit", lambda _: order.append(Path("commit")), once=True)
    claim, films = store.add(b"film", NEW, 60), tmp_path / "films"
    assert order[0].suffix == ".part" and order[0].parent == films
    assert order[1:] == [films / claim.sha256[:2], films, Path("commit")]
    store.close()


def test_a_commit_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    store.close()


# --- a fault after a film was stored ---


def _busy(*_: object, **__: object) -> None:
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    raise OperationalError("SELECT", None, locked)


def test_a_film_that_is_stored_is_said_to_be(desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as busy:
        busy.setattr("cxr.desk.store.Store.film", _busy)
        answer = desk.api_upload("a.png", film_png)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json()["error"].startswith("The film is stored and will be read, but then the desk failed")
    assert [film["state"] for film in desk.films()] == ["read"]


def test_a_film_that_cannot_be_told_is_not_stored(desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as busy:
        busy.setattr("cxr.desk.store.tell", _busy)
        assert "nothing was changed" in desk.api_upload("a.png", film_png).get_json()["error"]
    assert desk.films() == []


def test_films_that_were_stored_before_the_database_went_away_are_told(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    adds = iter([desk.intake.store.add, desk.intake.store.add])
    with monkeypatch.context() as busy:
        busy.setattr(desk.intake.store, "add", lambda *given: next(adds, _busy)(*given))
        answer = desk.upload(*((f"{name}.png", film_png) for name in "abc"))
    assert answer.status_code == 503
    assert "2 films are stored and will be read" in sentence_of(answer)
    assert len(desk.films()) == 2


def test_nothing_is_said_to_be_stored_when_the_first_film_met_the_fault(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.intake.store, "add", _busy)
    assert "nothing was changed" in desk.api_upload("a.png", film_png).get_json()["error"]


# --- deleting ---


def test_a_film_whose_deletion_fails_keeps_its_bytes(desk: Desk, film_png: bytes) -> None:
    film = desk.api_upload("a.png", film_png).get_json()
    with _failing_commit(desk.intake.store, sqlite3.SQLITE_IOERR):
        assert desk.client.delete(film["links"]["self"]).status_code == 500
    assert desk.client.get(film["links"]["pixels"]).status_code == 200
    assert desk.client.delete(film["links"]["self"]).status_code == 204
    assert desk.keeps_nothing()


def test_bytes_that_a_crash_left_after_a_deletion_are_swept(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = desk.api_upload("a.png", film_png).get_json()
    with monkeypatch.context() as crash:
        crash.setattr(desk.intake.store, "_drop_unnamed", lambda _: None)
        desk.intake.delete(film["id"], "anna")
    (left,) = desk.stored_files()
    os.utime(left, (time.time() - 2 * HOUR_S,) * 2)
    desk.intake.sweep()
    assert desk.keeps_nothing()


def test_films_of_the_same_bytes_come_and_go_at_once_and_none_loses_them(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path)

    def come_and_go(_: int) -> None:
        for _ in range(15):
            claim = store.add(b"film", NEW, 60)
            assert store.content(claim) == b"film"
            store.delete(Entry("anna", "delete", claim.film_id))

    with ThreadPoolExecutor(4) as people:
        list(people.map(come_and_go, range(4)))
    assert not list((tmp_path / "films").glob("??/*"))
    store.close()


def test_a_sweep_goes_on_past_a_file_that_vanishes(desk: Desk) -> None:
    folder = desk.folder / "instance" / "films"
    (folder / "vanished.part").symlink_to("nowhere")
    orphan = folder / "old.part"
    orphan.write_bytes(b"film")
    os.utime(orphan, (time.time() - 2 * HOUR_S,) * 2)
    desk.intake.sweep()
    assert not orphan.exists()


# --- heat-map files ---


def test_a_desk_that_writes_no_heatmap_files_deletes_those_of_its_instance(
    tmp_path: Path, reader: Reader, film_png: bytes
) -> None:
    with open_desk(tmp_path, reader, heatmap_files=True) as local:
        film = local.api_upload("a.png", film_png).get_json()
        local.intake.write_heatmaps()
        assert local.heatmap_files()
    with open_desk(tmp_path, reader, local=False, secret_key="k") as shared:
        assert shared.client.delete(film["links"]["self"]).status_code == 204
        assert list((tmp_path / "gradcam").iterdir()) == []


def test_heatmap_files_that_a_crash_left_are_swept_and_those_of_other_desks_are_not(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = desk.api_upload("a.png", film_png).get_json()
    desk.intake.write_heatmaps()
    (own,) = (desk.folder / "gradcam").iterdir()
    foreign = own.with_name("x" * 32)
    foreign.mkdir()
    own.with_name(".gitkeep").touch()
    with monkeypatch.context() as crash:
        crash.setattr(desk.intake.heatmaps, "delete", lambda _: None)
        desk.intake.delete(film["id"], "anna")
    assert own.exists()
    desk.intake.sweep()
    assert {path.name for path in own.parent.iterdir()} == {".gitkeep", foreign.name}


def test_heatmap_files_written_behind_a_deletion_are_swept_for_an_hour(desk: Desk, film_png: bytes) -> None:
    store, film_id = desk.intake.store, desk.api_upload("a.png", film_png).get_json()["id"]
    desk.intake.delete(film_id, "anna")
    (token,) = discarded_heatmaps(store.engine)
    (desk.folder / "gradcam" / token).mkdir(parents=True)
    desk.intake.sweep()
    assert not desk.intake.heatmaps.holds(token)
    assert discarded_heatmaps(store.engine) == [token]
    with store._write() as session:
        session.execute(sa.update(DiscardedHeatmaps).values(discarded_at=time.time() - 2 * HOUR_S))
    desk.intake.sweep()
    assert discarded_heatmaps(store.engine) == []


# --- the database ---

BAD_URLS = {
    "postgresql://me:geheim@127.0.0.1:1/cxr": "Connection refused",
    "postgresql+asyncpg://me:geheim@127.0.0.1:1/cxr": "does not name a database of PostgreSQL",
    "postgresql://me:geheim@127.0.0.1": "does not name a database of PostgreSQL",
    "mysql+pymysql://me:geheim@db/cxr": "neither SQLite nor PostgreSQL",
    "sqlite+aiosqlite:////tmp/geheim.db": "names a driver that is not used here",
    "geheim": "is not a database URL",
    "postgresql://me:geheim@db:port/cxr": "is not a database URL",
    "sqlite://": "names no file",
    "sqlite:///:memory:": "names no file",
    "sqlite://me:geheim@host/desk.db": "cannot be opened",
    "sqlite:////nowhere/geheim/desk.db": "unable to open database file",
    "sqlite:////proc/version": "cannot be opened",
    "sqlite:///desk.db?timeout=geheim": "cannot be opened",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_database_that_cannot_be_used_stops_the_start_with_a_sentence(
    tmp_path: Path, reader: Reader, url: str
) -> None:
    with pytest.raises(SettingError, match=BAD_URLS[url]) as told:
        create_app(Settings(instance_path=str(tmp_path), database_url=url), local=True, readers=Readers.holding(reader))
    assert "CXR_DATABASE_URL" in str(told.value) and "geheim" not in str(told.value)


def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "desk.sqlite3").write_bytes(b"This is a letter, not a database.\n" * 100)
    with pytest.raises(SettingError, match="file is not a database"):
        create_app(Settings(instance_path=str(tmp_path)), local=True, readers=Readers.holding(reader))


def test_an_instance_folder_that_cannot_hold_films_stops_the_start(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "films").write_bytes(b"")
    with pytest.raises(SettingError, match="CXR_INSTANCE_PATH"):
        create_app(Settings(instance_path=str(tmp_path)), local=True, readers=Readers.holding(reader))


def test_a_desk_whose_database_does_not_answer_is_not_ready(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = sa.create_engine(f"sqlite:///{desk.folder / 'nowhere' / 'desk.sqlite3'}")
    with monkeypatch.context() as broken:
        broken.setattr(desk.intake.store, "_engine", gone)
        answer = desk.client.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (503, {"status": "database does not answer"})
    assert desk.client.get("/healthz").status_code == 200
    assert desk.client.get("/readyz").status_code == 200
