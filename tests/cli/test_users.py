"""People and the audit log, from the command line."""

import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from cxr import cli

Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on an instance of its own: exit status, output, and what went wrong."""
    monkeypatch.setenv("CXR_INSTANCE_PATH", str(tmp_path / "instance"))
    monkeypatch.setattr("cxr.desk.people._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))

    def run(*words: str, typed: str = "", stdin: type[io.StringIO] = io.StringIO) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", stdin(typed))
        status = cli.main(list(words))
        return (status, *capsys.readouterr())

    return run


def _add(run: Run, name: str, *flags: str) -> None:
    assert run("users", "add", name, *flags, "--password-stdin", typed="correct horse battery\n")[0] == 0


def test_the_first_admin_is_made_and_listed(run: Run) -> None:
    assert "makes the first" in run("users", "list")[1]
    _add(run, "Anna", "--admin")
    _add(run, "bert")
    assert run("users", "list")[1] == "anna  admin  has not signed in yet\nbert  clinician  has not signed in yet\n"


def test_a_first_account_that_is_no_admins_is_refused_and_leaves_the_desk_open(run: Run) -> None:
    status, _, trouble = run("users", "add", "bert", "--password-stdin", typed="correct horse battery\n")
    assert (status, trouble.startswith("cxr: There is no account yet, and the first one must be an admin's")) == (
        1,
        True,
    )
    assert run("users", "list")[1].startswith("No accounts yet")


def test_people_are_changed_and_each_change_is_told(run: Run) -> None:
    _add(run, "anna", "--admin")
    _add(run, "bert")
    for words in (("role", "Bert", "admin"), ("disable", "anna"), ("enable", "anna")):
        assert run("users", words[0], *words[1:])[0] == 0
    assert run("users", "password", "bert", "--password-stdin", typed="a whole new one\n")[0] == 0
    lines = run("audit", "csv")[1].splitlines()[1:]
    assert [line.split(",")[2:6] for line in lines] == [
        ["(command line)", "add person", "", "anna"],
        ["(command line)", "add person", "", "bert"],
        ["(command line)", "change role", "", "bert admin"],
        ["(command line)", "disable person", "", "anna"],
        ["(command line)", "enable person", "", "anna"],
        ["(command line)", "set password", "", "bert"],
        ["(command line)", "export audit log", "", ""],
    ]


def test_what_cannot_be_done_is_told_in_a_sentence(run: Run) -> None:
    _add(run, "anna", "--admin")
    assert "only admin" in run("users", "disable", "anna")[2]
    assert "There is no such person" in run("users", "enable", "nobody")[2]
    assert "There is no such person" in run("users", "password", "nobody", "--password-stdin", typed="x\n")[2]
    assert "12 to 256 characters" in run("users", "add", "bert", "--password-stdin", typed="")[2]
    assert "--password-stdin" in run("users", "add", "bert")[2]
    assert run("users", "list")[1].count("\n") == 1


def test_a_password_is_asked_for_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["correct horse battery", "correct horse", "correct horse battery", "correct horse battery"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
    assert "differ" in run("users", "add", "anna", "--admin", stdin=Terminal)[2]
    assert run("users", "add", "anna", "--admin", stdin=Terminal)[0] == 0


def test_a_log_altered_by_hand_is_named_by_its_first_broken_row(run: Run, tmp_path: Path) -> None:
    _add(run, "anna", "--admin")
    _add(run, "bert")
    status, said, _ = run("audit", "verify")
    assert status == 0 and said.startswith("2 rows, all as they were written. Hash of the last one: ")
    head = said.split()[-1]
    with closing(sqlite3.connect(tmp_path / "instance" / "desk.sqlite3")) as database:
        database.executescript("DROP TRIGGER audit_refuses_UPDATE; UPDATE audit SET detail = 'carl' WHERE id = 2")
    status, _, trouble = run("audit", "verify", "--head", head)
    assert status == 1
    assert trouble == "The audit log was altered: row 2 is not as it was written. The 1 rows before are whole.\n"


def test_a_damaged_database_is_told_in_a_sentence(run: Run, tmp_path: Path) -> None:
    _add(run, "anna", "--admin")
    file = tmp_path / "instance" / "desk.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)
    status, _, trouble = run("audit", "verify")
    assert status == 1
    assert trouble == "cxr: The desk's database is damaged. Close the desk and restore its last backup.\n"
