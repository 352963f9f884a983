"""Real gunicorns under load: no film is lost, read twice or mixed up. benchmarks/load.py does more."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from cxr.desk.app import ROOT
from cxr.reading.reader import Reader
from cxr.settings import Settings
from tests.desk.buckets import open_bucket
from tests.desk.desk import Desk
from tests.desk.hosts import Known, known_films, open_hosts, send_all
from tests.desk.judging import LATE_S, Lease, judge, keep_ledger, waits
from tests.phantom import phantom_png

LEASE_S = 8


@pytest.fixture(scope="module")
def films(reader: Reader) -> list[Known]:
    return known_films(reader, 2)


def test_two_workers_give_each_film_its_own_answer(tmp_path: Path, films: list[Known]) -> None:
    settings = Settings(instance_path=str(tmp_path))
    with open_hosts([tmp_path], workers=2) as hosts, keep_ledger(settings) as ledger:
        uploads = send_all(hosts, films, count=24, clients=8)
        found = judge(uploads, hosts, ledger)
    assert (found.faults(), found.put_off, found.broken_off, found.begun_again) == ({}, 0, 0, 0)


def test_killed_workers_lose_no_film_and_each_is_read_again_once_and_in_time(
    tmp_path: Path, films: list[Known]
) -> None:
    chance, settings = random.Random(1), Settings(instance_path=str(tmp_path), lease_s=LEASE_S)
    with open_hosts([tmp_path], workers=2, lease_s=LEASE_S) as hosts, keep_ledger(settings) as ledger:

        def kill_now_and_then(count: int) -> None:
            if count % 6 == 0:
                hosts[0].kill_worker(chance)

        uploads = send_all(hosts, films, count=20, clients=6, on_acknowledged=kill_now_and_then)
        found = judge(uploads, hosts, ledger)
    assert found.faults() == {}
    assert hosts[0].killed_at and found.longest_wait_s <= LEASE_S + LATE_S


def test_a_host_that_dies_leaves_its_films_to_the_other(
    tmp_path: Path, films: list[Known], postgresql_url: str
) -> None:
    with open_bucket() as bucket:
        shared = {"database_url": postgresql_url, "storage_url": bucket, "lease_s": LEASE_S}
        settings, folders = (
            Settings(instance_path=str(tmp_path / "three"), **shared),
            [tmp_path / "one", tmp_path / "two"],
        )
        with open_hosts(folders, workers=1, **shared) as hosts, keep_ledger(settings) as ledger:

            def kill_one(count: int) -> None:
                if count == 8:
                    hosts[0].kill()

            uploads = send_all(hosts, films, count=20, clients=6, on_acknowledged=kill_one)
            found = judge(uploads, hosts, ledger)
    assert found.faults() == {}
    assert found.longest_wait_s <= LEASE_S + LATE_S


@pytest.mark.parametrize(("leases", "broken_at", "kills", "expected"), [
    ([Lease(0, 10)], [], [], []),  # its first reader read it
    ([Lease(0, 10), Lease(11, 21)], [2], [2], [10]),
    ([Lease(0, 10), Lease(11, 21)], [], [2], [None]),  # another worker's death
    ([Lease(-20, -10), Lease(-7, 3), Lease(11, 21)], [-18], [-18, -6, 2], [11, 18]),  # its second reader died, too
    ([Lease(-20, -10), Lease(-7, 3), Lease(11, 21)], [-18], [-18], [11, None]),  # its second reader lived
])  # fmt: skip
def test_a_film_waits_anew_whenever_its_reader_dies(
    leases: list[Lease], broken_at: list[float], kills: list[float], expected: list[float | None]
) -> None:
    assert waits(leases, 12, broken_at, kills) == expected


def test_a_desk_that_is_told_to_stop_finishes_what_it_reads(tmp_path: Path) -> None:
    statuses: list[int] = []
    large = Known(phantom_png(1024), {})

    def send(address: str, number: int) -> None:
        form = {"film": ("a.png", large.numbered(number))}
        statuses.append(requests.post(f"{address}/api/v1/films", files=form, timeout=60).status_code)

    with open_hosts([tmp_path], workers=1, reads_at_once=1) as (host,):
        people = [threading.Thread(target=send, args=(host.address, number)) for number in range(6)]
        for person in people:
            person.start()
        while not _stored(tmp_path):  # the first film has come in
            time.sleep(0.005)
        time.sleep(0.2)  # so have the others, and wait
        host.process.terminate()
        for person in people:
            person.join()
        assert host.process.wait(30) == 0
    assert statuses == [201] * 6


def _stored(instance: Path) -> list[Path]:
    return list((instance / "films").glob("*/*"))


# --- more films than the desk can take ---


@contextmanager
def _full_line(desk: Desk) -> Iterator[None]:
    """Every place among those who wait is taken."""
    line = desk.intake._line
    taken = 0
    while line.acquire(blocking=False):
        taken += 1
    yield
    for _ in range(taken):
        line.release()


def test_too_many_uploads_at_once_are_put_off(desk: Desk, film_png: bytes) -> None:
    with _full_line(desk):
        from_program, from_form = desk.api_upload("a.png", film_png), desk.upload(("a.png", film_png))
        assert desk.client.get("/films").status_code == 200
    assert [from_program.status_code, from_form.status_code] == [503, 503]
    assert from_program.headers["Retry-After"] == from_form.headers["Retry-After"] == "5"
    assert from_program.get_json()["error"].startswith("The desk is busy: 16 uploads wait already. Nothing was stored")
    assert "The desk is busy" in from_form.text
    assert desk.keeps_nothing()
    assert desk.api_upload("a.png", film_png).status_code == 201


# --- a full disk ---

ON_A_SMALL_DISK = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
FILL = """
import sys
from pathlib import Path
from cxr.reading.reader import Reader
from tests.desk.desk import open_desk
from tests.desk.hosts import known_films

folder, reader = Path(sys.argv[1]), Reader.load()
film = known_films(reader, 1, side=512)[0]
with open_desk(folder, reader) as desk:
    answers = []
    while len(answers) < 90 and (not answers or answers[-1].status_code == 201):
        answers.append(desk.api_upload("a.png", film.numbered(len(answers))))
    assert answers[-1].status_code == 507, answers[-1].text
    assert "disk is full; nothing was stored" in answers[-1].get_json()["error"]
    assert not list(folder.rglob("*.part"))
    kept = desk.films()
    assert len(desk.stored_files()) == len(kept) == len(answers) - 1
    assert {film["state"] for film in kept} <= {"read", "refused", "failed"}
    for kept_film in kept:
        assert desk.client.delete(kept_film["links"]["self"]).status_code == 204
    assert desk.api_upload("again.png", film.content).status_code == 201
"""


def test_a_disk_that_fills_up_keeps_whole_films_and_lets_films_be_deleted(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if os.name != "posix" or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk (unshare --mount)")
    command = [*alone, "sh", "-c", ON_A_SMALL_DISK, str(tmp_path), sys.executable, "-W", "error", "-c", FILL]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
