import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`pytest.mark.both_databases`: each test that asks for a database runs on SQLite and on PostgreSQL."""
    if metafunc.definition.get_closest_marker("both_databases") and "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """CXR_DATABASE_URL of a new database; empty: the desk's own, of SQLite."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield ""
    else:
        with new_postgresql() as url:
            yield url


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    with new_postgresql() as url:
        yield url


@contextmanager
def new_postgresql() -> Iterator[str]:
    """A new database on the server that CXR_TEST_DATABASE_URL names."""
    server = os.environ.get("CXR_TEST_DATABASE_URL", "")
    if not server:
        pytest.skip("set CXR_TEST_DATABASE_URL (`.ci/postgresql start FOLDER` prints one) to test on PostgreSQL")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"cxr_{secrets.token_hex(6)}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader, database_url: str) -> Iterator[Desk]:
    """The local desk, as main.py opens it."""
    with open_desk(tmp_path, reader, heatmap_files=True, database_url=database_url) as opened:
        yield opened


@pytest.fixture
def desk_address(desk: Desk) -> Iterator[str]:
    """Where the desk is served."""
    with _served(desk) as address:
        yield address


@pytest.fixture
def department_address(department: Department) -> Iterator[str]:
    with _served(department) as address:
        yield address


@contextmanager
def _served(desk: Desk) -> Iterator[str]:
    server = waitress.create_server(desk.app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.task_dispatcher.shutdown()  # a thread that has just answered still needs the server
    server.close()
    thread.join()


@pytest.fixture
def department(tmp_path: Path, reader: Reader, quick_hashes: None, database_url: str) -> Iterator[Department]:
    """A shared desk with an admin and a clinician."""
    with open_department(tmp_path, reader, database_url=database_url) as opened:
        yield opened


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with costs that a test can pay many times."""
    monkeypatch.setattr("cxr.desk.people._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def film_png() -> bytes:
    return phantom_png(256)
