"""A database of any released version opens, and one of a version to come is refused."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cxr.desk import audit, binding, people_tables, scores, site_settings_rows, sqlite, tables, worklist_tables
from cxr.desk.migrations import known
from cxr.desk.site_settings_rows import set_value, value_of
from cxr.desk.store import NewFilm, Store
from cxr.desk.tables import Base, open_database, reading, writing
from cxr.desk.worklist import Wanted
from cxr.desk.worklist_tables import WorklistRow
from cxr.errors import SettingError
from tests.desk.desk import Desk

FIRST_RELEASE = Path(__file__).with_name("first_release.sql")
TABLES_OF_0007 = ("worklist", "findings_above", "answered_by", "searches", "site_settings", "pseudonym_key")
SINCE_0007 = "DROP TABLE bound_storage; ALTER TABLE films DROP COLUMN anyway; ALTER TABLE tokens DROP COLUMN manages;"
BACK_TO_0009 = (
    "ALTER TABLE tokens DROP COLUMN manages",
    "DROP INDEX worklist_patients",
    "ALTER TABLE worklist DROP COLUMN study_at",
    "CREATE INDEX worklist_patients ON worklist (patient, study, created_at, film_id)",
    "UPDATE alembic_version SET version_num = '0009'",
)
MODULES_WITH_TABLES = (tables, binding, people_tables, audit, scores, worklist_tables, site_settings_rows)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the first release, with one film."""
    file = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(FIRST_RELEASE.read_text())
    (tmp_path / "films" / "aa").mkdir(parents=True)
    (tmp_path / "films" / "aa" / "aa").write_bytes(b"film")
    return file


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'new.sqlite3'}")
    yield engine
    engine.dispose()


def _schema(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns of each table, and its indexes and triggers, without the words in which they were made."""
    with closing(sqlite3.connect(file)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master ORDER BY name")]
        return {name: database.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall() for name in names}


def test_a_database_of_the_first_release_opens_with_its_films(old: Path, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{old}", tmp_path)
    film = store.film("f11a")
    store.close()
    assert (film.name, film.state, film.read_at, film.report and film.report.top_label) == (
        "old film.png", "read", 101.0, "Effusion",
    )  # fmt: skip


def test_films_of_the_first_release_stand_in_the_worklist(old: Path, tmp_path: Path) -> None:
    finding = {"label": "Effusion", "probability": 0.75, "operating_point": {"threshold": 0.5}, "above": True}
    model = {"task": "chestxray14", "sha256": "ab", "operating_points": "youden", "name": "old"}
    report = {"findings": [finding], "model": model, "check": {"reasons": []}, "milliseconds": {}}
    with closing(sqlite3.connect(old)) as database:
        database.execute("UPDATE reports SET json = ?", (json.dumps(report),))
        database.execute("UPDATE films SET name = 'Old Film.png'")
        database.commit()
    store = Store(f"sqlite:///{old}", tmp_path)
    (line,) = store.worklist.page(Wanted(finding="Effusion", words=("old", "film")), 10).lines
    store.close()
    assert (line.film.id, line.place.state, line.place.unanswered, line.bar) == ("f11a", "read", 1, 75.0)


def test_an_old_database_becomes_what_a_new_one_is(old: Path, fresh: sa.Engine, tmp_path: Path) -> None:
    open_database(f"sqlite:///{old}").dispose()
    assert _schema(old) == _schema(tmp_path / "new.sqlite3")


def test_answers_under_the_name_of_an_account_become_its_own(old: Path) -> None:
    """Those from before there was the account stay a typed name."""
    open_database(f"sqlite:///{old}").dispose()
    with closing(sqlite3.connect(old)) as database:
        for column in ("person_id", "browser"):
            database.execute(f"ALTER TABLE answers DROP COLUMN {column}")
        database.executescript(SINCE_0007)
        for later in (*TABLES_OF_0007, "scores", "reading_models"):
            database.execute(f"DROP TABLE {later}")
        database.execute("UPDATE alembic_version SET version_num = '0004'")
        database.execute("INSERT INTO people VALUES (7, 'anna', '', 'admin', 0, 100.0, NULL)")
        for by, at in (("anna", 99.0), ("anna", 101.0), ("bert", 102.0)):
            given = ("f11a", "Mass", "agree", "", by, at)
            database.execute(
                'INSERT INTO answers (film_id, label, verdict, text, "by", "at") VALUES (?, ?, ?, ?, ?, ?)', given
            )
        database.commit()
    open_database(f"sqlite:///{old}").dispose()
    with closing(sqlite3.connect(old)) as database:
        found = database.execute('SELECT "by", "at", person_id, browser FROM answers').fetchall()
    assert found == [("anna", 99.0, None, ""), ("anna", 101.0, 7, ""), ("bert", 102.0, None, "")]


@pytest.mark.both_databases
def test_studies_and_ranks_of_an_earlier_version_are_made_up_for(tmp_path: Path, database_url: str) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'desk.sqlite3'}"
    new = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False, patient="p", study="s")
    with closing(Store(url, tmp_path)) as store:
        ids = [store.add(content, new, lease_s=60).film_id for content in (b"first", b"second")]
        with writing(store.engine) as session:
            for statement in BACK_TO_0009:
                session.execute(sa.text(statement))
            set_value(session, "ranked_with", {}, 0.0)
    with closing(Store(url, tmp_path)) as store, reading(store.engine) as session:
        first = store.film(ids[0]).created_at
        assert session.scalars(sa.select(WorklistRow.study_at)).all() == [first, first]
        assert value_of(session, "ranked_with") is None


def test_the_steps_make_just_the_tables_that_the_desk_has(fresh: sa.Engine) -> None:
    """Fails when a table or a column was added without a step; docs/upgrade.md says how to write one."""
    with fresh.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_again_changes_nothing(old: Path) -> None:
    open_database(f"sqlite:///{old}").dispose()
    once = _schema(old)
    open_database(f"sqlite:///{old}").dispose()
    assert _schema(old) == once
    assert known() == ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012"]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(old: Path) -> None:
    open_database(f"sqlite:///{old}").dispose()
    with closing(sqlite3.connect(old)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    with pytest.raises(SettingError, match=r"written by a newer version of cxr \(schema 9999; this one knows 0012"):
        open_database(f"sqlite:///{old}")
    with closing(sqlite3.connect(old)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def test_several_processes_that_start_at_once_upgrade_once(old: Path) -> None:
    code = "import sys; from cxr.desk.tables import open_database; open_database(sys.argv[1]).dispose()"
    command = [sys.executable, "-W", "error", "-c", code, f"sqlite:///{old}"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3
    with closing(sqlite3.connect(old)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("0012",)]


def test_a_step_that_fails_leaves_the_database_as_it_was(old: Path) -> None:
    with closing(sqlite3.connect(old)) as database:
        database.execute("CREATE TABLE tokens (something TEXT)")
    before = _schema(old)
    with pytest.raises(SettingError, match="table tokens already exists"):
        open_database(f"sqlite:///{old}")
    assert _schema(old) == before


def test_a_locked_database_stops_the_start_with_a_sentence(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(f"sqlite:///{old}").dispose()
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0)
    with closing(sqlite3.connect(old, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SettingError, match="database is locked"):
            open_database(f"sqlite:///{old}")


def test_a_database_that_is_locked_while_the_desk_runs_is_said_to_be_busy(
    desk: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sa.event.listen(
        desk.intake.store.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout = 0")
    )
    with closing(sqlite3.connect(desk.folder / "instance" / "desk.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = desk.api_upload("a.png", film_png)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "database is busy; nothing was changed" in answer.get_json()["error"]
    assert desk.keeps_nothing()
    assert desk.api_upload("a.png", film_png).status_code == 201


def test_a_damaged_database_is_said_to_be_damaged(desk: Desk, film_png: bytes) -> None:
    desk.api_upload("a.png", film_png)
    desk.intake.store.scrub()
    desk.intake.store.close()
    with (desk.folder / "instance" / "desk.sqlite3").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    answer = desk.client.get("/api/v1/films")
    assert answer.status_code == 500
    assert answer.get_json()["error"] == "The desk's database is damaged. Close the desk and restore its last backup."
