"""Film bytes in a shared folder and in a bucket."""

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from cxr.desk.audit import Entry
from cxr.desk.storage import TOKEN, Bucket, open_storage
from cxr.desk.store import HOUR_S, NewFilm, Store
from cxr.errors import SettingError
from cxr.reading.reader import Reader
from tests.desk.buckets import NAME, open_bucket
from tests.desk.desk import Desk, open_desk

NEW = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with open_bucket() as url:
        yield url


@pytest.fixture
def in_bucket(tmp_path: Path, reader: Reader, bucket: str) -> Iterator[Desk]:
    with open_desk(tmp_path, reader, storage_url=f"{bucket}/{tmp_path.name}") as desk:
        yield desk


def _objects(desk: Desk) -> list[str]:
    storage = desk.intake.store.storage
    assert isinstance(storage, Bucket)
    return [str(path) for path in storage._bucket.find(storage._root) if not path.endswith(TOKEN)]


def test_a_film_in_a_bucket_is_read_looked_at_and_deleted(in_bucket: Desk, film_png: bytes) -> None:
    film = in_bucket.api_upload("a.png", film_png).get_json()
    assert film["state"] == "read"
    assert len(_objects(in_bucket)) == 1 and in_bucket.stored_files() == []
    assert in_bucket.client.get(film["links"]["pixels"]).status_code == 200
    assert in_bucket.client.delete(film["links"]["self"]).status_code == 204
    assert _objects(in_bucket) == []


def test_films_of_the_same_bytes_share_an_object_until_the_last_goes(in_bucket: Desk, film_png: bytes) -> None:
    films = [in_bucket.api_upload(name, film_png).get_json() for name in ("a.png", "b.png")]
    assert len(_objects(in_bucket)) == 1
    in_bucket.client.delete(films[0]["links"]["self"])
    assert in_bucket.client.get(films[1]["links"]["pixels"]).status_code == 200
    in_bucket.client.delete(films[1]["links"]["self"])
    assert _objects(in_bucket) == []


def test_a_bucket_that_does_not_answer_is_told_and_leaves_no_film(
    in_bucket: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TimeoutError("no answer from 10.0.0.7")

    with monkeypatch.context() as away:
        away.setattr(in_bucket.intake.store.storage._bucket, "pipe_file", fail)  # type: ignore[attr-defined]
        answer = in_bucket.api_upload("a.png", film_png)
        in_bucket.api_upload("b.png", film_png)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "storage of films does not answer; nothing was changed" in answer.get_json()["error"]
    assert in_bucket.films() == []
    assert in_bucket.api_upload("a.png", film_png).get_json()["state"] == "read"
    began, ended = caplog.messages  # once, though two uploads met it
    assert began.startswith("the bucket fails: StorageAway") and "TimeoutError: no answer from 10.0.0.7" in began
    assert ended == "the bucket goes well again"


def test_a_film_deleted_while_the_bucket_is_away_is_told_and_its_bytes_are_swept_later(
    in_bucket: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    film, storage = in_bucket.api_upload("a.png", film_png).get_json(), in_bucket.intake.store.storage

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as away:
        away.setattr(storage._bucket, "exists", fail)  # type: ignore[attr-defined]
        assert in_bucket.client.delete(film["links"]["self"]).status_code == 204
    assert in_bucket.films() == [] and len(_objects(in_bucket)) == 1
    assert "wait for a sweep: StorageAway" in caplog.text
    told = in_bucket.app.extensions["audit"].last("delete")
    assert told.film_id == film["id"]
    monkeypatch.setattr(storage, "names", lambda: [hashlib.sha256(film_png).hexdigest()])
    monkeypatch.setattr(storage, "is_older", lambda *_: True)
    in_bucket.intake.sweep()
    assert _objects(in_bucket) == []


def test_objects_that_a_crash_left_are_swept_shelf_by_shelf(
    in_bucket: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_bucket.intake.store
    in_bucket.api_upload("kept.png", film_png)
    stray = "ab" + "0" * 62
    with store.storage.staged(stray, b"film") as _:
        pass
    now = (0xAB + 256 * 10_000) * 600.0  # the moment of the shelf ab, decades before the object was stored
    monkeypatch.setattr("cxr.desk.storage.time.time", lambda: now)
    in_bucket.intake.sweep()
    assert len(_objects(in_bucket)) == 2
    monkeypatch.setattr(store.storage, "is_older", lambda *_: True)
    in_bucket.intake.sweep()
    assert [path.rpartition("/")[2] for path in _objects(in_bucket)] == [hashlib.sha256(film_png).hexdigest()]


@pytest.mark.both_databases
def test_two_desks_of_one_folder_add_and_delete_the_same_bytes_and_none_loses_them(
    tmp_path: Path, database_url: str
) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'desk.sqlite3'}"
    desks = [Store(url, tmp_path / name, str(tmp_path / "shared")) for name in ("one", "two")]

    def come_and_go(store: Store) -> None:
        for _ in range(15):
            claim = store.add(b"film", NEW, 60)
            assert store.content(claim) == b"film"
            store.delete(Entry("anna", "delete", claim.film_id))

    with ThreadPoolExecutor(4) as people:
        list(people.map(come_and_go, desks * 2))
    assert not list((tmp_path / "shared").glob("??/*"))
    for store in desks:
        store.close()


def test_bytes_in_a_bucket_come_and_go_at_once_and_none_loses_them(tmp_path: Path, bucket: str) -> None:
    store = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path, f"{bucket}/same")

    def come_and_go(_: int) -> None:
        for _ in range(3):
            claim = store.add(b"film", NEW, 60)
            assert store.content(claim) == b"film"
            store.delete(Entry("anna", "delete", claim.film_id))

    with ThreadPoolExecutor(3) as people:
        list(people.map(come_and_go, range(3)))
    store.close()


def test_a_film_without_bytes_says_so(desk: Desk, film_png: bytes) -> None:
    film = desk.api_upload("a.png", film_png).get_json()
    (stored,) = desk.stored_files()
    stored.unlink()
    answer = desk.client.get(film["links"]["pixels"], headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert answer.get_json()["error"].startswith("The bytes of this film are missing")
    assert desk.client.delete(film["links"]["self"]).status_code == 204


def test_a_sweep_spares_what_is_younger_than_an_hour(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path)
    old, young = (tmp_path / "films" / "aa" / f"aa{name}" for name in ("old", "young"))
    old.parent.mkdir()
    for path, age_s in ((old, 2 * HOUR_S), (young, 60)):
        path.write_bytes(b"film")
        os.utime(path, (time.time() - age_s,) * 2)
    store.sweep()
    assert (old.exists(), young.exists()) == (False, True)
    store.close()


BAD_URLS = {
    "s3://me:geheim@films/desk": "holds a password",
    "/proc/version/films": "CXR_STORAGE_URL: films cannot be stored there",
    "smoke://films": "does not answer",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_storage_that_cannot_be_used_stops_the_start_with_a_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingError, match=BAD_URLS[url]) as told:
        open_storage(url, tmp_path)
    assert "CXR_STORAGE_URL" in str(told.value) and "geheim" not in str(told.value)


def test_a_missing_bucket_stops_the_start(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no such bucket"):
        open_storage(bucket.replace(NAME, "nowhere"), tmp_path)


def test_hosts_with_processes_of_the_same_number_probe_a_bucket_each_for_itself(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed, pipe_file = [], S3FileSystem.pipe_file

    def note(bucket: S3FileSystem, path: str, content: bytes) -> None:
        probed.append(path)
        pipe_file(bucket, path, content)

    monkeypatch.setattr(S3FileSystem, "pipe_file", note)
    for _ in range(2):
        open_storage(bucket, tmp_path)
    assert len(set(probed)) == 2


def test_a_bucket_without_rights_stops_the_start(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr("s3fs.S3FileSystem.pipe_file", refuse)
    with pytest.raises(SettingError, match="gives no right to write, read and delete"):
        open_storage(bucket, tmp_path)
