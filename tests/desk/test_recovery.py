"""A process that dies loses nothing, and no film is read twice."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cxr.desk.audit import Entry
from cxr.desk.faults import StorageAway
from cxr.desk.instance import open_store
from cxr.desk.store import MOST_ATTEMPTS, Claim, NewFilm, Store
from cxr.desk.tables import UNREAD, FilmRow, State, writing
from cxr.desk.worklist import Wanted, Worklist
from cxr.errors import SettingError
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png

pytestmark = pytest.mark.both_databases
LONG_AGO_S = -1.0  # a lease that has run out before it begins
NEW = NewFilm("left.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)


def _open(folder: Path, database_url: str) -> Store:
    return open_store(Settings(instance_path=str(folder), database_url=database_url))


def _leave_behind(folder: Path, database_url: str, content: bytes, died: str) -> Claim:
    """What a process leaves that dies while a film waits, or is read again, or as it was just taken in."""
    store = _open(folder, database_url)
    claim = store.add(content, replace(NEW, begun=died == "taken in"), LONG_AGO_S)
    if died == "reading":
        assert store.begin(claim, LONG_AGO_S)
    store.close()
    return claim


def _wait(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert happened()


@pytest.mark.parametrize("died", ["waiting", "reading", "taken in"])
def test_a_film_that_a_crash_left_is_read_at_the_next_start(
    tmp_path: Path, database_url: str, reader: Reader, film_png: bytes, died: str
) -> None:
    claim = _leave_behind(tmp_path / "instance", database_url, film_png, died)
    with open_desk(tmp_path, reader, housekeeping=True, database_url=database_url) as desk:
        _wait(lambda: desk.films()[0]["state"] == State.READ)
        film = desk.client.get(f"/api/v1/films/{claim.film_id}").get_json()
        assert film["state"] == "read"
        assert len(film["findings"]) == len(reader.info.labels)


def test_a_film_under_lease_is_left_to_its_reader(tmp_path: Path, database_url: str) -> None:
    store = _open(tmp_path, database_url)
    store.begin(store.add(b"film", NEW, 60), 60)
    assert store.claim_stale(60) is None
    store.close()


def test_an_answer_that_comes_after_the_lease_was_taken_over_is_dropped(
    tmp_path: Path, database_url: str, reader: Reader, film_png: bytes
) -> None:
    store = _open(tmp_path, database_url)
    slow = store.add(film_png, NEW, LONG_AGO_S)
    quick = store.claim_stale(60)
    assert quick is not None and quick.film_id == slow.film_id
    report = reader.read(read_film(film_png))
    assert not store.begin(slow, 60)
    assert not store.finish(slow, report)
    assert store.begin(quick, 60)
    assert store.finish(quick, report)
    assert not store.finish(quick, report)
    store.close()


def test_several_processes_never_take_the_same_film(tmp_path: Path, database_url: str) -> None:
    filler = _open(tmp_path, database_url)
    left = {filler.add(f"film {n}".encode(), NEW, LONG_AGO_S).film_id for n in range(40)}

    def take(_: int) -> list[str]:
        store, taken = _open(tmp_path, database_url), []
        while claim := store.claim_stale(60):
            taken.append(claim.film_id)
        store.close()
        return taken

    with ThreadPoolExecutor(4) as processes:
        taken = [film_id for batch in processes.map(take, range(4)) for film_id in batch]
    assert len(taken) == len(left)
    assert set(taken) == left
    filler.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_film_that_takes_its_readers_down_is_given_up(tmp_path: Path, database_url: str, begun: bool) -> None:
    store = _open(tmp_path, database_url)
    film_id = store.add(b"film", replace(NEW, begun=begun), LONG_AGO_S).film_id
    for _ in range(MOST_ATTEMPTS - begun):
        claim = store.claim_stale(LONG_AGO_S)
        assert claim and store.begin(claim, LONG_AGO_S)
    assert store.claim_stale(60) is None
    assert store.film(film_id).state == State.FAILED
    assert f"broken off {MOST_ATTEMPTS} times" in store.film(film_id).error
    store.close()


def test_a_film_deleted_while_it_is_read_stays_deleted(
    tmp_path: Path, database_url: str, reader: Reader, film_png: bytes
) -> None:
    store = _open(tmp_path, database_url)
    claim = store.add(film_png, NEW, 60)
    store.begin(claim, 60)
    store.delete(Entry("anna", "delete", claim.film_id))
    assert not store.finish(claim, reader.read(read_film(film_png)))
    assert store.worklist.page(Wanted(), 10).lines == []
    store.close()


def test_bytes_that_a_crash_left_without_a_film_are_swept_after_an_hour(desk: Desk, film_png: bytes) -> None:
    desk.api_upload("kept.png", film_png)
    folder = desk.folder / "instance" / "films"
    (folder / "aa").mkdir(exist_ok=True)
    for orphan, age_s in ((folder / "aa" / "aa00", 7200), (folder / "old.part", 7200), (folder / "new.part", 60)):
        orphan.write_bytes(b"film")
        os.utime(orphan, (time.time() - age_s,) * 2)
    desk.intake.store.sweep()
    assert {path.name for path in desk.stored_files()} - {"new.part"} == {
        desk.intake.store.worklist.page(Wanted(), 1).lines[0].film.sha256
    }


def test_a_fault_while_reading_is_told_and_kept_apart_from_other_films(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(_: object) -> None:
        raise RuntimeError("Doe^Jane")

    with monkeypatch.context() as broken:
        broken.setattr(desk.reader, "read", break_down)
        film = desk.api_upload("secret name.png", film_png).get_json()
    assert film["state"] == "failed"
    assert "its log says more" in film["error"] and "Doe" not in film["error"]
    assert "This film was not read" in desk.client.get(film["links"]["page"]).text
    assert desk.client.get(f"/films/{film['id']}/heatmaps/Mass.png").status_code == 409
    assert "secret name" not in caplog.text
    assert desk.api_upload("b.png", film_png).get_json()["state"] == "read"


def test_an_unforeseen_fault_is_a_plain_page_without_a_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("kaboom")

    monkeypatch.setattr(Worklist, "page", break_down)
    answer = desk.client.get("/films")
    assert answer.status_code == 500
    assert "kaboom" not in answer.text and "Traceback" not in answer.text
    assert desk.client.get("/api/v1/films").get_json()["status"] == 500


def test_the_housekeeper_writes_the_heatmap_files_that_are_owed(
    tmp_path: Path, reader: Reader, film_png: bytes
) -> None:
    with open_desk(tmp_path, reader, housekeeping=True, heatmap_files=True) as desk:
        film = desk.api_upload("a.png", film_png).get_json()
        _wait(lambda: desk.intake.store.film(film["id"]).gradcam_written)
        assert {path.stem for path in desk.heatmap_files()} == set(reader.info.labels)
        assert list((tmp_path / "gradcam").rglob("*.part")) == []


def test_a_lease_of_no_time_is_refused() -> None:
    with pytest.raises(SettingError, match="CXR_LEASE_S is '0'; write a whole number from 1 up"):
        Settings.from_environment({"CXR_LEASE_S": "0"})


# --- faults that are not the film's ---


class _Away:
    """What a film meets while it is read: called in place of a method."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise self.fault


OUTSIDE = {
    "the bucket away": StorageAway(),
    "the disk ill": OSError(errno.EIO, "Input/output error"),
    "the disk full": OperationalError("INSERT", None, sqlite3.OperationalError("database or disk is full")),
    "no connection left": PoolTimeout(),
}


@pytest.mark.parametrize("fault", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("step", ["begin", "content", "finish"])
def test_a_fault_that_is_not_the_films_leaves_it_to_its_lease(
    tmp_path: Path, reader: Reader, database_url: str, film_png: bytes, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, step: str, fault: Exception,
) -> None:  # fmt: skip
    with open_desk(tmp_path, reader, database_url=database_url) as desk:
        store = desk.intake.store
        film_id = store.add(film_png, NEW, LONG_AGO_S).film_id
        with monkeypatch.context() as away:
            away.setattr(store, step, _Away(fault))
            for _ in range(MOST_ATTEMPTS + 1):
                desk.intake.pick_up()
                _let_leases_run_out(store)
        assert store.film(film_id).state in UNREAD
        (told,) = caplog.messages  # once, though it happened several times
        assert told.startswith("reading films, which wait") and type(fault).__name__ in told
        desk.intake.pick_up()
        assert store.film(film_id).state == State.READ
        assert caplog.messages[-1].endswith("goes well again")


def _let_leases_run_out(store: Store) -> None:
    with writing(store.engine) as session:
        session.execute(sa.update(FilmRow).values(lease_until=0.0))


def test_films_whose_storage_is_not_mounted_are_not_said_to_be_without_bytes(desk: Desk, film_png: bytes) -> None:
    films, store = desk.folder / "instance" / "films", desk.intake.store
    film_id = store.add(film_png, NEW, LONG_AGO_S).film_id
    films.rename(films.with_name("elsewhere"))
    desk.intake.pick_up()
    assert store.film(film_id).state == State.WAITING
    answer = desk.client.get(f"/films/{film_id}/film.png")
    assert answer.status_code == 503


def test_a_film_whose_bytes_alone_cannot_be_read_is_failed_and_keeps_no_other_waiting(
    desk: Desk, film_png: bytes
) -> None:
    store = desk.intake.store
    ill, well = (store.add(content, NEW, LONG_AGO_S) for content in (film_png, phantom_png(192)))
    bytes_of_ill = Path(store.storage.place(ill.sha256))
    bytes_of_ill.unlink()
    bytes_of_ill.mkdir()  # OSError, and not that there is none
    desk.intake.pick_up()
    assert "cannot be read; restore them" in store.film(ill.film_id).error
    assert store.film(well.film_id).state == State.READ


def test_while_the_storage_is_away_a_round_ends_with_the_first_film(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take longer than a lease to fail; the other chores have their turn."""
    asked = []
    for content in (film_png, phantom_png(192)):
        desk.intake.store.add(content, NEW, LONG_AGO_S)
    monkeypatch.setattr(desk.intake, "_lease_s", LONG_AGO_S)
    monkeypatch.setattr(
        desk.intake.store.storage, "read", lambda sha256: asked.append(sha256) or _Away(StorageAway())()
    )
    desk.intake.pick_up()
    desk.intake.pick_up()
    assert len(asked) == 2


def test_memory_that_runs_out_each_time_gives_the_film_up(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    film_id = desk.intake.store.add(film_png, NEW, LONG_AGO_S).film_id
    monkeypatch.setattr(desk.intake, "_lease_s", LONG_AGO_S)
    monkeypatch.setattr(desk.reader, "read", _Away(MemoryError()))
    for _ in range(MOST_ATTEMPTS + 1):
        desk.intake.pick_up()
    assert f"broken off {MOST_ATTEMPTS} times" in desk.intake.store.film(film_id).error


# --- the housekeeper ---


def test_sweeps_are_paced_by_the_clock_and_not_by_the_films(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, sweeps, now = iter(range(1000)), [], [1000.0]

    def go_on(_: float) -> None:
        now[0] += 2.0
        if next(rounds) == 600:  # 20 minutes
            desk.intake._closed.set()

    monkeypatch.setattr("cxr.desk.intake.time.monotonic", lambda: now[0])
    monkeypatch.setattr(desk.intake._wake, "wait", go_on)
    for chore in ("pick_up", "write_heatmaps", "scrub"):
        monkeypatch.setattr(desk.intake, chore, lambda: None)
    monkeypatch.setattr(desk.intake, "sweep", lambda: sweeps.append(now[0]))
    desk.intake._keep_house()
    assert sweeps == [1000.0, 1570.0, 2140.0]


def test_a_fault_of_the_housekeeping_is_told_when_it_begins_and_when_it_ends_and_stops_nothing_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = desk.intake.store.storage
    with monkeypatch.context() as away:
        away.setattr(storage, "names", _Away(StorageAway()))
        for _ in range(3):
            desk.intake._do(desk.intake.sweep)
        assert len(caplog.messages) == 1
        away.setattr(storage, "names", _Away(RuntimeError("kaboom")))
        desk.intake._do(desk.intake.sweep)
        assert "kaboom" in caplog.messages[1] and "Traceback" in caplog.text
    desk.intake._do(desk.intake.sweep)
    assert caplog.messages[2:] == ["housekeeping (sweep) goes well again"]
