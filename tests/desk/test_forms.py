"""Every form of the pages has just its own fields, each once; another one changes nothing."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from werkzeug.routing import Rule

from cxr.desk.looks import COOKIE
from cxr.desk.site_settings import CALIBRATION
from cxr.desk.site_settings_values import weight_titles
from tests.desk.department import ADMIN, CLINICIAN, PASSWORD, Department, form_token, post
from tests.desk.site_calibrations import site_calibration
from tests.phantom import draw_phantom, phantom_png

TASK, NEW_PASSWORD = "chestxray14", "another battery"
MANY = ("film",)  # fields that a form may have several times

File = Callable[[Department], bytes]


def _calibration(department: Department) -> bytes:
    return site_calibration(department.reader).to_json().encode()


# endpoint -> the fields of a form that is taken
FORMS: dict[str, dict[str, str | File]] = {
    "pages.upload": {
        "film": lambda _: phantom_png(256), "task": TASK, "anyway": "0", "upload_key": "0123456789abcdef",
    },
    "pages.read_anyway": {},
    "pages.delete": {},
    "pages.choose_films": {
        "sort": "date", "finding": "", "state": "", "task": "", "answered": "", "from": "", "to": "", "patient": "",
        "text": "a nipple",
    },
    "pages.act_on_films": {"action": "delete", "scope": "all", "list": "", "shown_at": "9e9"},
    "answers.answer": {"label": "", "verdict": "", "text": "inverted", "by": ""},
    "answers.answered_by": {"by": "Dr A"},
    "looks.theme": {"theme": "dim"},
    "site.change": {"default_task": "", "operating_point": "", "keep_days": "30", "theme": "", "confirmed": ""},
    "site.change_weights": {},  # see `_fields`
    "site.add_calibration": {"calibration": _calibration},
    "site.remove_calibration": {},
    "people.try_sign_in": {"name": CLINICIAN, "password": PASSWORD, "next": "/films"},
    "people.sign_out": {},
    "people.set_own_password": {"current": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD},
    "people.make_token": {"name": "archive", "days": "30", "manages": ""},
    "people.revoke_token": {},
    "people.add": {"name": "carl", "role": "clinician", "password": PASSWORD, "again": PASSWORD},
    "people.set_role": {"role": "admin"},
    "people.disable": {},
    "people.enable": {},
    "people.set_password": {"password": NEW_PASSWORD, "again": NEW_PASSWORD},
}  # fmt: skip


def test_every_form_is_named_here(department: Department) -> None:
    rules = [rule for rule in department.app.url_map.iter_rules() if not rule.rule.startswith("/api/")]
    assert {rule.endpoint for rule in rules if "POST" in (rule.methods or ())} == set(FORMS)


@pytest.mark.parametrize("endpoint", FORMS)
def test_a_stray_or_doubled_field_changes_nothing_and_without_it_the_form_is_taken(
    department: Department, endpoint: str
) -> None:
    address, fields = _address(department, endpoint), _fields(department, endpoint)
    before = _state(department)
    for wrong in _wrong(fields, form_token(department.admin)):
        answer = _send(department, address, wrong)
        assert answer.status_code == 400 and "field" in answer.text, wrong
        assert _state(department) == before, wrong
    assert _send(department, address, fields).status_code in (200, 201, 303)
    assert _state(department) != before


def _address(department: Department, endpoint: str) -> str:
    """The address of the form, of things that are there: a film that was refused, a token, a calibration."""
    negative = cv2.imencode(".png", np.round((1 - draw_phantom(256, 256)) * 255).astype(np.uint8))[1].tobytes()
    department.intake.site.change({CALIBRATION + TASK: _calibration(department).decode()})
    there = {
        "film_id": department.intake.take_in(negative, "a.png", "upload"),
        "token_id": department.sessions.make_token(department.people.named(ADMIN).id, "test", 1)[0].id,
        "task": TASK,
        "name": CLINICIAN,
    }
    if endpoint == "people.enable":
        department.people.disable(CLINICIAN)
    rule: Rule = next(department.app.url_map.iter_rules(endpoint))
    built = rule.build(there, append_unknown=False)
    assert built
    return built[1]


def _fields(department: Department, endpoint: str) -> dict[str, Any]:
    if endpoint == "site.change_weights":
        return dict.fromkeys(weight_titles(department.intake.readers), "3")
    return FORMS[endpoint]


def _wrong(fields: dict[str, Any], token: str) -> Iterator[dict[str, Any]]:
    yield {**fields, "colour": "red"}
    yield {**fields, "letter": lambda _: b"hello"}
    for name, value in {**fields, "csrf_token": token}.items():
        if name not in MANY:
            yield {**fields, name: [value, value]}


def _send(department: Department, address: str, fields: dict[str, Any]) -> Any:
    def sent(value: Any) -> Any:
        if isinstance(value, list):
            return [sent(each) for each in value]
        return (BytesIO(value(department)), "file") if callable(value) else value

    return post(department.admin, address, **{name: sent(value) for name, value in fields.items()})


def _state(department: Department) -> tuple[object, ...]:
    """All that a form could change. The log may tell of one that was refused."""
    with department.admin.session_transaction() as session:
        kept = dict(session)
    return department.all_rows("audit"), kept, department.admin.get_cookie(COOKIE)
