import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
from argon2 import PasswordHasher

from cxr.reading.reader import Reader
from tests.desk.department import Department, open_department
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png


@pytest.fixture(scope="session")
def reader() -> Reader:
    """The shipped model, loaded once."""
    return Reader.load()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader) -> Iterator[Desk]:
    """The local desk, as main.py opens it."""
    with open_desk(tmp_path, reader, heatmap_files=True) as opened:
        yield opened


@pytest.fixture
def desk_address(desk: Desk) -> Iterator[str]:
    """Where the desk is served."""
    server = waitress.create_server(desk.app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join()


@pytest.fixture
def department(tmp_path: Path, reader: Reader, quick_hashes: None) -> Iterator[Department]:
    """A shared desk with an admin and a clinician."""
    with open_department(tmp_path, reader) as opened:
        yield opened


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with costs that a test can pay many times."""
    monkeypatch.setattr("cxr.desk.people._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def film_png() -> bytes:
    return phantom_png(256)
