"""What PostgreSQL alone can do to a desk; tests marked `both_databases` hold the rest."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cxr.desk.audit import AuditLog, AuditRow, Entry
from cxr.desk.backup import BackupError, back_up
from cxr.desk.store import NewFilm, Store
from cxr.desk.tables import Base, open_database, writing
from cxr.errors import Conflict, SettingError
from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk

NEW = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)


@pytest.fixture
def engine(postgresql_url: str) -> Iterator[sa.Engine]:
    opened = open_database(postgresql_url)
    yield opened
    opened.dispose()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader, postgresql_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path, reader, database_url=postgresql_url) as opened:
        yield opened


def test_the_steps_make_just_the_tables_that_the_desk_has(engine: sa.Engine) -> None:
    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return (kind, name) != ("table", "audit_last")  # what sqlite_sequence is to SQLite

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, Base.metadata) == []


def test_hosts_that_start_at_once_upgrade_once(postgresql_url: str) -> None:
    with ThreadPoolExecutor(4) as hosts:
        engines = list(hosts.map(open_database, [postgresql_url] * 4))
    with engines[0].connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 1
    for engine in engines:
        engine.dispose()


def test_a_wrong_password_is_told_and_never_shown(postgresql_url: str) -> None:
    url = sa.make_url(postgresql_url).set(password="geheim")
    with pytest.raises(SettingError, match="password authentication failed") as told:
        open_database(url)
    assert "geheim" not in str(told.value) and "CXR_DATABASE_URL" in str(told.value)


def test_a_user_without_rights_is_told(engine: sa.Engine, postgresql_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS looks_on"))
        connection.execute(sa.text("CREATE ROLE looks_on LOGIN PASSWORD 'geheim'"))
    url = sa.make_url(postgresql_url).set(username="looks_on", password="geheim")
    with pytest.raises(SettingError, match="permission denied"):
        open_database(url)


@pytest.mark.parametrize("change", ["UPDATE audit SET person = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_log_refuses_changes(engine: sa.Engine, change: str) -> None:
    AuditLog(engine).record(Entry("anna", "see"))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(change))


def test_rows_cut_off_at_the_end_of_the_log_are_missed(engine: sa.Engine) -> None:
    log = AuditLog(engine)
    log.record(Entry("anna", "see"), Entry("anna", "delete"))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        connection.execute(sa.delete(AuditRow).where(AuditRow.id == 2))
    assert log.verify().trouble == "row 2 is missing"


def test_a_row_that_was_not_committed_leaves_no_gap_in_the_log(engine: sa.Engine) -> None:
    log = AuditLog(engine)
    with suppress(RuntimeError), writing(engine) as session:
        session.add(AuditRow(id=1, at=0, person="a", action="b", film_id="", detail="", hash=""))
        session.flush()
        raise RuntimeError
    log.record(Entry("anna", "see"))
    assert log.verify().trouble == ""


def test_hosts_write_to_the_log_at_once_and_it_stays_whole(engine: sa.Engine, postgresql_url: str) -> None:
    others = [open_database(postgresql_url) for _ in range(3)]
    with ThreadPoolExecutor(4) as hosts:
        list(hosts.map(lambda e: [AuditLog(e).record(Entry("anna", "see", str(n))) for n in range(10)], others))
    assert (AuditLog(engine).verify().rows, AuditLog(engine).verify().trouble) == (30, "")
    for other in others:
        other.dispose()


def test_a_film_that_another_host_is_taking_is_passed_over(tmp_path: Path, postgresql_url: str) -> None:
    store = Store(postgresql_url, tmp_path)
    first, second = (store.add(b"film %d" % n, NEW, -1).film_id for n in range(2))
    with store.engine.begin() as other:
        other.execute(sa.text("SELECT id FROM films WHERE id = :id FOR UPDATE"), {"id": first})
        claim = store.claim_stale(60)
    assert claim and claim.film_id == second
    store.close()


def test_a_host_whose_clock_is_an_hour_ahead_takes_no_film_from_another(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(postgresql_url, tmp_path)
    film_id = store.add(b"film", NEW, 60).film_id
    late = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: late)
    assert store.claim_stale(60) is None
    assert not store.is_left(store.film(film_id))
    with pytest.raises(Conflict, match="is being read"):
        store.delete(Entry("(desk)", "expire", film_id), spare_reading=True)
    store.close()


def _connected(url: str) -> tuple[dict[str, str], list[str]]:
    """How the client keeps the connection, and lock_timeout and search_path of the server."""
    engine = open_database(url)
    with engine.connect() as connection:
        client = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        server = [str(connection.execute(sa.text(f"SHOW {name}")).scalar()) for name in ("lock_timeout", "search_path")]
    engine.dispose()
    return client, server


def test_a_connection_notices_a_server_that_vanished_unless_the_url_says_otherwise(postgresql_url: str) -> None:
    client, _ = _connected(postgresql_url)
    assert (client["keepalives"], client["keepalives_idle"], client["tcp_user_timeout"]) == ("1", "30", "45000")
    client, _ = _connected(f"{postgresql_url}?keepalives_idle=7&connect_timeout=9")
    assert (client["keepalives_idle"], client["connect_timeout"]) == ("7", "9")


def test_options_of_the_url_go_before_those_of_the_desk(postgresql_url: str) -> None:
    assert _connected(postgresql_url)[1] == ["30s", '"$user", public']
    mine = f"{postgresql_url}?options=-c%20search_path%3Dpublic%20-c%20lock_timeout%3D7s"
    assert _connected(mine)[1] == ["7s", "public"]


def test_a_lock_that_is_not_given_is_told_as_busy(desk: Desk, film_png: bytes) -> None:
    engine = desk.intake.store.engine
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("SET LOCAL lock_timeout = '50ms'"))
    other = sa.create_engine(engine.url)
    with other.begin() as connection:
        connection.execute(sa.text("LOCK TABLE films IN EXCLUSIVE MODE"))
        answer = desk.api_upload("a.png", film_png)
    other.dispose()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "database is busy" in answer.get_json()["error"]
    assert desk.keeps_nothing()


def test_a_server_that_goes_away_is_told_and_found_again(desk: Desk, film_png: bytes) -> None:
    engine = desk.intake.store.engine

    def cut_off(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    sa.event.listen(engine, "begin", cut_off)
    answer = desk.client.get("/api/v1/films")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "database does not answer" in answer.get_json()["error"]
    assert desk.client.get("/readyz").status_code == 503
    sa.event.remove(engine, "begin", cut_off)
    assert desk.api_upload("a.png", film_png).get_json()["state"] == "read"


@pytest.mark.parametrize("address", ["/films/%00", "/films?upload=%00"])
def test_a_character_that_cannot_be_stored_is_refused(desk: Desk, address: str) -> None:
    answer = desk.client.get(address)
    assert answer.status_code == 400
    assert "cannot be stored" in answer.text


def test_a_backup_names_the_tool_of_the_database(tmp_path: Path, postgresql_url: str) -> None:
    store = Store(postgresql_url, tmp_path)
    with pytest.raises(BackupError, match="run pg_dump"):
        back_up(store, tmp_path / "desk.zip")
    store.close()
