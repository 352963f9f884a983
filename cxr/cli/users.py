"""Add, list and change the people who may sign in to a shared desk."""

import argparse
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cxr.errors import BadRequest
from cxr.settings import Settings

if TYPE_CHECKING:
    from cxr.desk.people import People

ROLES = ("clinician", "admin")


def add_flags(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    commands.add_parser("list", help="name everybody, with role and last sign-in")
    add = commands.add_parser("add", help="add a person; the password is asked for")
    add.add_argument("--admin", action="store_true", help="an admin: may also change people and see the log")
    role = commands.add_parser("role", help="make a person a clinician or an admin")
    password = commands.add_parser("password", help="set a person's password; all browsers and programs are signed out")
    disable = commands.add_parser("disable", help="end a person's sessions and tokens, and let nobody in by that name")
    enable = commands.add_parser("enable", help="let a person in again, also one locked after wrong passwords")
    for command in (add, role, password, disable, enable):
        command.add_argument("name", metavar="NAME")
    role.add_argument("role", choices=ROLES, metavar="ROLE", help=" or ".join(ROLES))
    for command in (add, password):
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def run(options: argparse.Namespace) -> int:
    """0; what was changed stands in the audit log."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog, Entry
    from cxr.desk.instance import open_store, resolve
    from cxr.desk.people import People, clean_name

    with closing(open_store(resolve(Settings.from_environment()))) as store:
        said, told, detail = COMMANDS[options.what](People(store.engine), options)
        if told:
            AuditLog(store.engine).record(Entry(COMMAND_LINE, told, detail=clean_name(options.name) + detail))
    print(said)
    return 0


# Each: what is printed, and what the audit log tells: action and the rest of its detail after the name.
Outcome = tuple[str, str, str]


def _list(people: "People", _: argparse.Namespace) -> Outcome:
    lines = [
        f"{person.name}  {person.role}  {'disabled' if person.disabled else _last_seen(person.signed_in_at)}"
        for person in people.all()
    ]
    return "\n".join(lines) or "No accounts yet; `python -m cxr users add NAME --admin` makes the first.", "", ""


def _add(people: "People", options: argparse.Namespace) -> Outcome:
    from cxr.desk.people_tables import Role

    person = people.add(options.name, _password(options), Role.ADMIN if options.admin else Role.CLINICIAN)
    return f"{person.name} may sign in as {person.role}.", "add person", ""


def _role(people: "People", options: argparse.Namespace) -> Outcome:
    from cxr.desk.people_tables import Role

    people.set_role(options.name, Role(options.role))
    return f"{options.name} is {options.role} now.", "change role", f" {options.role}"


def _set_password(people: "People", options: argparse.Namespace) -> Outcome:
    people.named(options.name)
    people.set_password(options.name, _password(options))
    return f"{options.name} has a new password; all sessions and tokens of that name are gone.", "set password", ""


def _disable(people: "People", options: argparse.Namespace) -> Outcome:
    people.disable(options.name)
    return f"{options.name} cannot sign in any more; all sessions and tokens of it are gone.", "disable person", ""


def _enable(people: "People", options: argparse.Namespace) -> Outcome:
    people.enable(options.name)
    return f"{options.name} may sign in again.", "enable person", ""


COMMANDS: dict[str, Callable[["People", argparse.Namespace], Outcome]] = {
    "list": _list,
    "add": _add,
    "role": _role,
    "password": _set_password,
    "disable": _disable,
    "enable": _enable,
}


def _password(options: argparse.Namespace) -> str:
    """From standard input, or typed twice. Raises BadRequest."""
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadRequest("There is no terminal to ask for a password at; give it with --password-stdin.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise BadRequest("The two passwords differ; nothing was changed. Type the same twice.")
    return password


def _last_seen(signed_in_at: float | None) -> str:
    if signed_in_at is None:
        return "has not signed in yet"
    return f"last signed in {datetime.fromtimestamp(signed_in_at, UTC):%Y-%m-%d %H:%M} UTC"
