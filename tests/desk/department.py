"""A shared desk with accounts, and people who work at it."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cxr.desk.audit import AuditLog, AuditRow, Wanted
from cxr.desk.people import People
from cxr.desk.people_tables import Role
from cxr.desk.sessions import Sessions
from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk

ADMIN, CLINICIAN, PASSWORD = "anna", "bert", "correct horse battery"


class Department(Desk):
    """`client` belongs to nobody, `admin` and `clinician` are signed in."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.app, desk.folder)
        self.people: People = desk.app.extensions["people"]
        self.sessions: Sessions = desk.app.extensions["sessions"]
        self.log: AuditLog = desk.app.extensions["audit"]
        self.people.add(ADMIN, PASSWORD, Role.ADMIN)
        self.people.add(CLINICIAN, PASSWORD, Role.CLINICIAN)
        self.admin, self.clinician = self.browser(ADMIN), self.browser(CLINICIAN)

    def browser(self, name: str) -> FlaskClient:
        client = self.app.test_client()
        assert sign_in(client, name).status_code == 303
        return client

    def bearer(self, name: str = CLINICIAN, *, manages: bool = False) -> dict[str, str]:
        """Header of a new token of a person."""
        _, secret = self.sessions.make_token(self.people.named(name).id, "test", 1, manages=manages)
        return {"Authorization": f"Bearer {secret}"}

    def told(self, **wanted: Any) -> list[tuple[str, str, str]]:
        """The audit log, oldest first: person, action, film or detail."""
        return [(row.person, row.action, row.film_id or row.detail) for row in self.rows(**wanted)]

    def rows(self, **wanted: Any) -> list[AuditRow]:
        return list(self.log.rows(Wanted(**wanted)))


@contextmanager
def open_department(folder: Path, reader: Reader, **settings: Any) -> Iterator[Department]:
    with open_desk(folder, reader, local=False, secret_key="k", **settings) as desk:
        yield Department(desk)


def sign_in(client: FlaskClient, name: str, password: str = PASSWORD, target: str = "") -> TestResponse:
    return post(client, "/sign-in", name=name, password=password, next=target)


def post(client: FlaskClient, address: str, **fields: Any) -> TestResponse:
    """Send a form of the desk's own pages; a list sends a field several times."""
    return client.post(address, data={"csrf_token": form_token(client), **fields})


def form_token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert found
    return found[1]


def film_form(content: bytes, name: str = "a.png", **fields: str) -> dict[str, Any]:
    return {"film": (io.BytesIO(content), name), **fields}


def problem_of(answer: TestResponse) -> str:
    """What stands above the form."""
    found = re.search(r'<p class="problem" role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert found, answer.text
    return found[1].replace("&#39;", "'")
