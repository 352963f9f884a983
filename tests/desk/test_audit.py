"""Everything that concerns a film or a person is told, and what was told stays."""

import csv
import io
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cxr.desk.audit import GENESIS, AuditLog, AuditRow, Entry, Wanted, to_csv
from cxr.desk.audit_pages import ACTIONS
from cxr.desk.tables import open_database, writing
from cxr.desk.trail import AUDITED, NOT_AUDITED
from cxr.reading.reader import Reader
from tests.desk.department import ADMIN, CLINICIAN, PASSWORD, Department, film_form, post, sign_in
from tests.desk.desk import Desk, open_desk
from tests.desk.test_refused import NEGATIVE

pytestmark = pytest.mark.both_databases

JSON = {"Accept": "application/json"}


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[[], AuditLog]]:
    """Opens the log as another process would."""
    engines = []

    def open_log() -> AuditLog:
        engines.append(open_database(f"sqlite:///{tmp_path / 'desk.sqlite3'}"))
        return AuditLog(engines[-1])

    yield open_log
    for engine in engines:
        engine.dispose()


@pytest.fixture
def log(open_log: Callable[[], AuditLog]) -> AuditLog:
    return open_log()


def _alter(folder: Path, *statements: str) -> None:
    """By hand, past the triggers, as somebody would who owns the machine."""
    with closing(sqlite3.connect(folder / "desk.sqlite3")) as database:
        database.executescript(
            ";".join(("DROP TRIGGER audit_refuses_UPDATE", "DROP TRIGGER audit_refuses_DELETE", *statements))
        )


# --- the chain ---


def test_each_row_is_bound_to_the_one_before(log: AuditLog) -> None:
    log.record(Entry("anna", "see", "f1"), Entry("bert", "delete", "f1"))
    first, second = log.rows(Wanted())
    assert first.hash == first.bound_to(GENESIS) and second.hash == second.bound_to(first.hash)
    assert log.verify().trouble == "" and log.verify().rows == 2 and log.verify().head == second.hash


@pytest.mark.parametrize(
    ("statement", "trouble"),
    [
        ("UPDATE audit SET person = 'bert' WHERE id = 2", "row 2 is not as it was written"),
        ("UPDATE audit SET at = at + 0.001 WHERE id = 3", "row 3 is not as it was written"),
        ("UPDATE audit SET film_id = '' WHERE id = 1", "row 1 is not as it was written"),
        ("UPDATE audit SET hash = '0' WHERE id = 4", "row 4 is not as it was written"),
        ("DELETE FROM audit WHERE id = 1", "row 1 is missing"),
        ("DELETE FROM audit WHERE id = 3", "row 3 is missing"),
        ("DELETE FROM audit WHERE id = 4", "row 4 is missing"),
        ("DELETE FROM audit", "row 1 is missing"),
        ("INSERT INTO audit VALUES (9, 1.0, 'anna', 'see', 'f', '', 'x')", "row 5 is missing"),
    ],
)
def test_a_log_altered_by_hand_is_found(log: AuditLog, tmp_path: Path, statement: str, trouble: str) -> None:
    for film in ("f1", "f2", "f3", "f4"):
        log.record(Entry("anna", "see", film))
    _alter(tmp_path, statement)
    assert log.verify().trouble == trouble


@pytest.mark.parametrize("at", ["1e20", "'yesterday'", "x'ff'"])
def test_a_log_with_a_moment_that_is_none_is_exported_and_found_altered(log: AuditLog, tmp_path: Path, at: str) -> None:
    log.record(Entry("anna", "see", "f1"))
    _alter(tmp_path, f"UPDATE audit SET at = {at}")
    assert log.verify().trouble == "row 1 is not as it was written"
    (row,) = csv.DictReader(io.StringIO("".join(to_csv(log.rows(Wanted())))))
    assert (row["film_id"], row["time"]) == ("f1", "")


def test_rows_cut_off_at_the_end_are_missed_although_others_came_after_them(log: AuditLog, tmp_path: Path) -> None:
    log.record(Entry("anna", "see", "f1"), Entry("anna", "delete", "f1"))
    _alter(tmp_path, "DELETE FROM audit WHERE id = 2")
    log.record(Entry("anna", "see", "f2"))
    assert log.verify().trouble == "row 2 is missing"


def test_a_log_forged_from_its_beginning_lacks_the_hash_that_was_kept_elsewhere(log: AuditLog, tmp_path: Path) -> None:
    log.record(Entry("anna", "delete", "f1"))
    kept = log.verify().head
    _alter(tmp_path, "DELETE FROM audit", "DELETE FROM sqlite_sequence")
    log.record(Entry("bert", "delete", "f1"))
    assert log.verify().trouble == ""
    assert log.verify(kept).trouble == f"no row has the hash {kept}"


@pytest.mark.parametrize("change", [sa.update(AuditRow).values(person="x"), sa.delete(AuditRow)])
def test_the_database_itself_refuses_changes(log: AuditLog, change: sa.Update | sa.Delete) -> None:
    log.record(Entry("anna", "see"))
    with pytest.raises(IntegrityError, match="append-only"), writing(log._engine) as session:
        session.execute(change)


def test_many_processes_write_one_chain(open_log: Callable[[], AuditLog]) -> None:
    logs = [open_log() for _ in range(4)]

    def write(number: int) -> None:
        for n in range(25):
            logs[number].record(Entry(f"p{number}", "see", f"f{n}"))

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(write, range(4)))
    assert (logs[0].verify().rows, logs[0].verify().trouble) == (100, "")


# --- what is told ---


def test_every_address_is_told_or_said_not_to_need_it(desk: Desk) -> None:
    endpoints = {rule.endpoint for rule in desk.app.url_map.iter_rules()}
    assert endpoints == {*AUDITED, *NOT_AUDITED}
    assert not set(AUDITED) & set(NOT_AUDITED)


def test_what_people_do_with_a_film_is_told(department: Department, film_png: bytes) -> None:
    client = department.client = department.clinician
    film_id = department.upload(("Doe^Jane.png", film_png)).location.rpartition("/")[2]
    for part in ("", "/pixels", "/film.png", "/heatmaps/Mass.png", "/thumbnail.jpg"):
        assert client.get(f"/films/{film_id}{part}").status_code == 200
    department.admin.get(f"/films/{film_id}")
    client.get("/films")
    assert client.post(f"/films/{film_id}/read-anyway", data={"csrf_token": department.token()}).status_code == 409
    post(client, f"/films/{film_id}/delete")
    assert client.get(f"/films/{film_id}").status_code == 404
    assert department.told()[2:] == [
        (CLINICIAN, "upload", film_id),
        (CLINICIAN, "see", film_id),
        (ADMIN, "see", film_id),
        (CLINICIAN, "see list", ""),
        (CLINICIAN, "delete", film_id),
    ]
    assert "Doe" not in str([vars(row) for row in department.rows()])


def test_each_film_of_an_upload_is_told(department: Department, film_png: bytes) -> None:
    department.client = department.clinician
    department.upload(("a.png", film_png), ("b.png", film_png), ("letter.txt", b"letter"))
    department.client.post("/films", data=film_form(b"letter", csrf_token=department.token()), headers=JSON)
    assert [bool(film) for _, action, film in department.told() if action == "upload"] == [True, True]


def test_that_a_film_is_to_be_read_anyway_is_told_of_its_upload(department: Department) -> None:
    form = film_form(NEGATIVE, anyway="1")
    film = department.client.post("/api/v1/films", data=form, headers=department.bearer()).get_json()
    assert film["check"]["read_anyway"]
    department.client = department.clinician
    department.upload(("a.png", NEGATIVE), anyway="1")
    assert [row.detail for row in department.rows(action="upload")] == ["to be read anyway"] * 2


def test_a_film_that_is_sent_again_is_told_once(department: Department, film_png: bytes) -> None:
    headers = department.bearer() | {"Idempotency-Key": "k" * 16}
    for _ in range(2):
        department.app.test_client().post("/api/v1/films", data=film_form(film_png), headers=headers)
    assert [told[:2] for told in department.told(action="upload")] == [(CLINICIAN, "upload")]


def test_what_a_program_does_is_told_under_its_persons_name(department: Department, film_png: bytes) -> None:
    headers = department.bearer()
    film = department.client.post("/api/v1/films", data=film_form(film_png), headers=headers).get_json()
    department.client.delete(film["links"]["self"], headers=headers)
    assert [told[:2] for told in department.told(film_id=film["id"])] == [(CLINICIAN, "upload"), (CLINICIAN, "delete")]


def test_a_crash_in_the_middle_of_many_deletions_leaves_a_true_log(
    department: Department, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    department.client = department.clinician
    department.upload(*((f"{n}.png", film_png) for n in range(3)))
    films = [film["id"] for film in department.films()]
    heatmaps_gone = iter([None])

    def crash_at_the_second(_: str) -> None:
        next(heatmaps_gone)

    monkeypatch.setattr(department.intake.heatmaps, "delete", crash_at_the_second)
    form = {"action": "delete", "scope": "chosen", "list": "", "shown_at": "9e9", "film": films}
    answer = post(department.clinician, "/films/chosen", **form)
    assert answer.status_code == 503 and "failed before all of these films were deleted" in answer.text
    left = [film["id"] for film in department.films()]
    assert len(left) == 1
    assert {film for _, action, film in department.told() if action == "delete"} == set(films) - set(left)


def test_a_film_whose_deletion_cannot_be_told_stays(
    department: Department, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    department.client = department.clinician
    film_id = department.upload(("a.png", film_png)).location.rpartition("/")[2]
    monkeypatch.setattr("cxr.desk.audit._last_number", lambda _: 0)  # a number that the log has already
    assert post(department.clinician, f"/films/{film_id}/delete").status_code == 500
    monkeypatch.undo()
    assert [film["id"] for film in department.films()] == [film_id]
    assert department.log.verify().trouble == ""


def test_an_answer_stands_under_the_name_of_the_account_and_is_told(department: Department, film_png: bytes) -> None:
    department.client = department.clinician
    film_id = department.upload(("a.png", film_png)).location.rpartition("/")[2]
    answer = {"label": "Mass", "verdict": "agree", "text": "", "by": "somebody else"}
    post(department.clinician, f"/films/{film_id}/answers", **answer)
    (told,) = department.clinician.get(f"/api/v1/films/{film_id}/answers").get_json()["answers"]
    assert (told["by"], told["verdict"]) == (CLINICIAN, "agree")
    department.clinician.get(f"/films/{film_id}/report.csv")
    assert [action for _, action, _ in department.told(film_id=film_id)] == ["upload", "answer", "see", "export"]


def test_the_local_desk_tells_too(desk: Desk, film_png: bytes) -> None:
    film_id = desk.api_upload("a.png", film_png).get_json()["id"]
    assert f"{film_id}</code>" in desk.client.get("/audit").text
    row = next(csv.DictReader(io.StringIO(desk.client.get("/audit.csv?action=upload").text)))
    assert (row["person"], row["film_id"]) == ("local", film_id)
    assert datetime.fromisoformat(row["time"]).timestamp() == int(float(row["at"]))


def test_a_program_that_looks_at_thumbnails_alone_is_told(department: Department, film_png: bytes) -> None:
    department.client = department.admin
    film_id = department.upload(("a.png", film_png)).location.rpartition("/")[2]
    bearer = department.bearer()
    for _ in range(2):
        department.app.test_client().get(f"/api/v1/films/{film_id}/thumbnail.jpg", headers=bearer)
    assert department.told(person=CLINICIAN, action="see") == [(CLINICIAN, "see", film_id)]


def test_signing_in_and_failing_to_is_told_and_a_name_that_nobody_has_is_not(department: Department) -> None:
    sign_in(department.client, ADMIN, "wrong")
    sign_in(department.client, "my password by mistake", "wrong")
    sign_in(department.client, ADMIN)
    post(department.client, "/sign-out")
    assert department.told()[2:] == [
        (ADMIN, "sign-in refused", ""),
        ("(unknown)", "sign-in refused", ""),
        (ADMIN, "sign in", ""),
        (ADMIN, "sign out", ""),
    ]


def test_whoever_tries_too_often_does_not_fill_the_log(department: Department) -> None:
    answers = [sign_in(department.client, "nobody", "wrong").status_code for _ in range(9)]
    assert answers.count(429) > 2
    assert len(department.told(action="sign-in refused")) == answers.count(401)


def test_whoever_is_turned_away_has_seen_nothing(department: Department, film_png: bytes) -> None:
    department.client.get("/films")
    department.client.get("/films/x")
    department.client.post("/api/v1/films", data=film_form(film_png))
    assert len(department.told()) == 2  # signing in, by the fixture


def test_changes_of_people_are_told(department: Department) -> None:
    post(department.admin, "/people", name="Carl", role="clinician", password=PASSWORD, again=PASSWORD)
    post(department.admin, "/people/Carl/role", role="admin")
    post(department.admin, "/people/carl/disable")
    post(department.admin, "/people/anna/role", role="nonsense")
    assert department.told()[2:] == [
        (ADMIN, "add person", "carl"),
        (ADMIN, "change role", "carl admin"),
        (ADMIN, "disable person", "carl"),
    ]


def test_settings_are_told_when_they_change_and_secrets_never(tmp_path: Path, reader: Reader) -> None:
    for days in (0, 30, 30, 0):
        with open_desk(tmp_path, reader, keep_days=days, secret_key="geheim") as desk:
            rows = desk.app.extensions["audit"].rows(Wanted())
            told = [(row.person, row.action, row.detail) for row in rows]
    assert told == [("(desk)", "settings", "keep_days=30"), ("(desk)", "settings", "")]


def test_a_film_whose_being_seen_cannot_be_told_is_not_shown(
    department: Department, film_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    department.client = department.clinician
    page = department.upload(("secret.png", film_png)).location

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(department.log, "record", fail)
    answer = department.clinician.get(page)
    assert answer.status_code == 500 and "secret.png" not in answer.text


# --- looking at it ---


def test_the_log_is_shown_page_by_page_and_filtered(department: Department, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.desk.audit_pages.PAGE_SIZE", 2)
    for film in ("f1", "f2", "f3"):
        department.log.record(Entry("carl", "see", film))
    first = department.admin.get("/audit?person=Carl").text
    assert "f3</code>" in first and "f2</code>" in first and "f1</code>" not in first
    assert "before=4&amp;person=Carl" in first
    assert "f1</code>" in department.admin.get("/audit?before=4&person=carl").text
    assert "f2</code>" in department.admin.get("/audit?film=f2&action=see&since=2026-01-01&until=2999-12-31").text
    assert "Nothing of that kind" in department.admin.get("/audit?until=2026-01-01").text
    assert department.admin.get("/audit.csv?film=f2").text.splitlines()[1].split(",")[2:5] == ["carl", "see", "f2"]


@pytest.mark.parametrize(
    "query",
    [
        "flim=f2",
        "person=a&person=b",
        "since=yesterday",
        "until=2026-13-01",
        "before=x",
        "before=-1",
        f"before={'9' * 30}",
    ],
)
def test_a_page_of_the_log_that_cannot_be_is_told(department: Department, query: str) -> None:
    assert department.admin.get(f"/audit?{query}").status_code == 400


def test_the_log_shows_what_was_asked_for_and_never_runs_it(department: Department) -> None:
    page = department.admin.get("/audit?person=<script>alert(1)</script>&until=9999-12-31")
    assert page.status_code == 200 and "<script>alert" not in page.text


def test_all_actions_can_be_chosen() -> None:
    assert {"see", "upload", "read anyway", "delete", "expire", "sign-in refused", "settings"} <= set(ACTIONS)
