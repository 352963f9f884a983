"""A storage of films that is opened with another database than its own keeps its films."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from cxr import cli
from cxr.desk.audit import Entry
from cxr.desk.backup import back_up, restore
from cxr.desk.binding import BoundStorage, NotBound
from cxr.desk.faults import StorageAway
from cxr.desk.storage import TOKEN, Folder
from cxr.desk.store import HOUR_S, NewFilm, Store
from cxr.desk.tables import open_database, writing
from cxr.errors import SettingError
from tests.desk.buckets import open_bucket

NEW = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with open_bucket() as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def films(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """CXR_STORAGE_URL of a new storage."""
    if request.param == "folder":
        return str(tmp_path / "films")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def _open(folder: Path, films: str, database: str = "desk", *, adopt: bool = False) -> Store:
    return Store(f"sqlite:///{folder / database}.sqlite3", folder, films, adopt=adopt)


def _fill(store: Store) -> str:
    """The hash of a film."""
    return store.add(b"film", NEW, 60).sha256


def _unbind(store: Store) -> None:
    """As a version of cxr left it that bound none."""
    with writing(store.engine) as session:
        session.execute(sa.delete(BoundStorage))
    if (token := Path(store.storage.root) / TOKEN).exists():
        token.unlink()
    else:
        store.storage._bucket.rm_file(f"{store.storage.root}/{TOKEN}")  # type: ignore[attr-defined]


def test_a_storage_opens_with_its_own_database_alone(tmp_path: Path, films: str) -> None:
    with closing(_open(tmp_path, films)) as store:
        sha256 = _fill(store)
    with pytest.raises(NotBound, match=r"belongs to another database than the database .*/new\.sqlite3") as told:
        _open(tmp_path, films, "new")
    assert films.removeprefix("s3://") in str(told.value) and "python -m cxr adopt" in str(told.value)
    with closing(_open(tmp_path, films)) as store:
        assert store.storage.read(sha256) == b"film"


def test_films_and_database_of_an_older_version_are_bound_without_asking(tmp_path: Path, films: str) -> None:
    with closing(_open(tmp_path, films)) as store:
        sha256 = _fill(store)
        _unbind(store)
    with closing(_open(tmp_path, films)) as store:
        assert len(store.storage.token()) == 32
        assert store.storage.read(sha256) == b"film"


def test_films_without_an_id_are_kept_from_a_database_that_names_none_of_them(tmp_path: Path, films: str) -> None:
    with closing(_open(tmp_path, films)) as store:
        _fill(store)
        _unbind(store)
    with pytest.raises(NotBound, match="holds films, and none of those of the database"):
        _open(tmp_path, films, "new")


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_storage_that_is_not_mounted_stops_the_start(tmp_path: Path, upgraded: bool) -> None:
    with closing(_open(tmp_path, str(tmp_path / "films"))) as store:
        _fill(store)
        if upgraded:
            _unbind(store)
    (tmp_path / "films").rename(tmp_path / "elsewhere")
    with pytest.raises(NotBound, match="is empty or not mounted"):
        _open(tmp_path, str(tmp_path / "films"))


def test_no_film_is_taken_in_by_a_storage_that_was_unmounted_meanwhile(tmp_path: Path) -> None:
    """It would vanish under the mount, and make the folder look like the desk's own."""
    with closing(_open(tmp_path, str(tmp_path / "films"))) as store:
        film = store.film(store.add(b"film", NEW, 60).film_id)
        (tmp_path / "films").rename(tmp_path / "elsewhere")
        (tmp_path / "films").mkdir()
        with pytest.raises(StorageAway):
            store.add(b"another", NEW, 60)
        with pytest.raises(StorageAway):
            store.content(film)
        assert not any((tmp_path / "films").iterdir())


def test_a_storage_that_cannot_be_read_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "films" / TOKEN).mkdir(parents=True)
    with pytest.raises(SettingError, match=r"films cannot be used \(Is a directory\)"):
        _open(tmp_path, str(tmp_path / "films"))


def test_a_desk_whose_films_were_all_deleted_opens_again(tmp_path: Path, films: str) -> None:
    with closing(_open(tmp_path, films)) as store:
        store.delete(Entry("anna", "delete", store.add(b"film", NEW, 60).film_id))
    _open(tmp_path, films).close()


def test_whoever_adopts_a_storage_keeps_it_from_a_desk_that_still_runs(
    tmp_path: Path, films: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(_open(tmp_path, films)) as before, closing(_open(tmp_path, films, "new", adopt=True)) as now:
        sha256 = _fill(now)
        monkeypatch.setattr(type(before.storage), "is_older", lambda *_: True)
        monkeypatch.setattr(type(before.storage), "names", lambda _: [sha256])
        with pytest.raises(NotBound, match="belongs to another database"):
            before.sweep()
        assert now.storage.read(sha256) == b"film"
        now.sweep()


def test_a_sweep_of_a_storage_that_went_away_meanwhile_deletes_nothing(tmp_path: Path) -> None:
    with closing(_open(tmp_path, str(tmp_path / "films"))) as store:
        _fill(store)
        shutil.rmtree(tmp_path / "films")
        stray = tmp_path / "films" / "aa" / ("aa" + "0" * 62)
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"another's")
        os.utime(stray, (time.time() - 2 * HOUR_S,) * 2)
        with pytest.raises(NotBound):
            store.sweep()
        assert stray.exists()


def test_a_restored_database_does_not_open_the_storage_of_the_desk_it_was_made_from(tmp_path: Path) -> None:
    """Films that came after the backup would be swept there."""
    with closing(_open(tmp_path, str(tmp_path / "films"))) as store:
        _fill(store)
        back_up(store, tmp_path / "desk.zip")
    restored = tmp_path / "restored"
    restore(tmp_path / "desk.zip", restored)
    Store(f"sqlite:///{restored / 'desk.sqlite3'}", restored).close()
    with pytest.raises(NotBound, match="belongs to another database"):
        _open(restored, str(tmp_path / "films"))


def test_the_command_adopts_a_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _open(tmp_path, str(tmp_path / "films")).close()
    monkeypatch.setenv("CXR_INSTANCE_PATH", str(tmp_path / "new"))
    monkeypatch.setenv("CXR_STORAGE_URL", str(tmp_path / "films"))
    assert cli.main(["audit", "verify"]) == 1
    assert "belongs to another database" in capsys.readouterr().err
    assert cli.main(["adopt"]) == 0
    assert cli.main(["audit", "verify"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'films'} belongs to this database now.")


@pytest.mark.both_databases
def test_desks_that_open_at_once_are_bound_to_one_id(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'desk.sqlite3'}"
    open_database(url).dispose()  # processes upgrade it one after the other; threads share Alembic's context
    look, both_looked, looked = Folder.token, threading.Barrier(2, timeout=60), threading.local()

    def token(folder: Folder) -> str:
        found = look(folder)
        if not getattr(looked, "once", False):
            looked.once = True
            both_looked.wait()  # neither has an id yet
        return found

    monkeypatch.setattr(Folder, "token", token)
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda name: Store(url, tmp_path / name, str(tmp_path / "films")), ("one", "two")))
    monkeypatch.undo()
    for store in stores:
        store.sweep()
        store.close()
