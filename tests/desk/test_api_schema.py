"""Schemathesis sends what the document allows, and some that it forbids; answers must be as documented."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from argon2 import PasswordHasher
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode, checks

from cxr.desk.openapi import OPERATIONS, path_of
from cxr.desk.people_tables import Role
from cxr.reading.reader import Reader
from tests.desk.department import ADMIN, CLINICIAN, PASSWORD, Department, film_form, form_token, open_department
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
EXAMPLES = 12  # of each operation and mode; about a minute in all
FEW = 3  # of each operation and token, or session
KEPT = ("delete",)  # operations that would take the film away from the others
# what takes a session or a token that manages -> a body that is taken; of those that are drawn some are refused, such
# as weak passwords
MANAGING: dict[str, dict[str, Any]] = {
    "api.make_token": {"name": "archive", "days": 30},
    "api.revoke_token": {},
    "api.add_person": {"password": PASSWORD, "role": "clinician"},
    "api.set_role": {"role": "admin"},
    "api.set_password": {"password": PASSWORD},
    "api.disable": {},
    "api.enable": {},
}
SESSION = "cxr_session"  # the cookie
SUBJECT = "carl"  # whose account is changed, so that the admin and the tokens of the others stay
bounded = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(scope="module", autouse=True)
def _quick_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cxr.desk.people._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[Desk]:
    """A local desk, where everybody is an admin."""
    with open_desk(tmp_path_factory.mktemp("schema"), reader) as desk:
        yield desk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[Department]:
    with open_department(tmp_path_factory.mktemp("shared"), reader) as department:
        department.people.add(SUBJECT, PASSWORD, Role.CLINICIAN)
        yield department


@pytest.fixture(scope="module")
def bearers(shared: Department) -> dict[str, dict[str, str]]:
    return {name: shared.bearer(name) for name in (ADMIN, CLINICIAN)}


@pytest.fixture(scope="module")
def shared_film_id(shared: Department, bearers: dict[str, dict[str, str]]) -> str:
    answer = shared.client.post("/api/v1/films", data=film_form(phantom_png(160)), headers=bearers[CLINICIAN])
    return str(answer.get_json()["id"])


@pytest.fixture(scope="module")
def film_id(served: Desk) -> str:
    return str(served.api_upload("a.png", phantom_png(160)).get_json()["id"])


@pytest.fixture(scope="module")
def schema(served: Desk) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", served.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("endpoint", OPERATIONS)
def test_answers_are_as_documented(
    served: Desk, schema: BaseSchema, film_id: str, endpoint: str, mode: GenerationMode
) -> None:
    try:
        _send(schema, served.app, endpoint, {"film_id": film_id}, mode, EXAMPLES)
    except Unsatisfiable:
        assert mode.is_negative  # any text is a film's id, and a finding's name
        pytest.skip("nothing can be sent that the document forbids")


@pytest.mark.parametrize("name", [ADMIN, CLINICIAN])
@pytest.mark.parametrize("endpoint", OPERATIONS)
def test_answers_to_tokens_are_as_documented(
    shared: Department, bearers: dict[str, dict[str, str]], shared_film_id: str, endpoint: str, name: str
) -> None:
    """A token may do less than a person, and a clinician less than an admin."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", shared.app, headers=bearers[name])
    places = {"film_id": shared_film_id}
    _send(schema, shared.app, endpoint, places, GenerationMode.POSITIVE, FEW, headers=bearers[name])


@pytest.mark.parametrize("by", ["session", "token"])
@pytest.mark.parametrize("endpoint", MANAGING)
def test_answers_to_who_manages_are_as_documented(
    shared: Department, bearers: dict[str, dict[str, str]], endpoint: str, by: str
) -> None:
    """A session sends as the script of a page would, with the token of its form."""
    own, _ = shared.sessions.make_token(shared.people.named(ADMIN).id, "test", 1)
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", shared.app, headers=bearers[ADMIN])
    places = {"name": SUBJECT, "token_id": own.id}
    sent = {"headers": shared.bearer(ADMIN, manages=True)} if by == "token" else _by_session(shared)
    body = {**MANAGING[endpoint]}
    if endpoint == "api.add_person":
        body["name"] = f"dora-{by}"
    taken = _case(schema, shared.app, endpoint, places, body).call_and_validate(checks=CHECKS, **sent)
    assert taken.status_code in (201, 204)
    _send(schema, shared.app, endpoint, places, GenerationMode.POSITIVE, FEW, **sent)
    assert shared.admin.get("/people").status_code == 200


def test_answers_to_who_changes_their_password_are_as_documented(
    tmp_path_factory: pytest.TempPathFactory, reader: Reader
) -> None:
    with open_department(tmp_path_factory.mktemp("password"), reader, sign_in_tries=1) as department:
        bearer = department.bearer(CLINICIAN, manages=True)
        schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", department.app, headers=bearer)
        for current, status in ((PASSWORD, 204), ("not the right one", 400), ("not the right one", 429)):
            body = {"current": current, "new": "another battery"}
            case = _case(schema, department.app, "api.set_own_password", {}, body)
            assert case.call_and_validate(checks=CHECKS, headers=bearer).status_code == status


def _by_session(shared: Department) -> dict[str, dict[str, str]]:
    cookie = shared.admin.get_cookie(SESSION)
    assert cookie
    return {"headers": {"X-CSRFToken": form_token(shared.admin)}, "cookies": {SESSION: cookie.value}}


def _case(schema: BaseSchema, app: Flask, endpoint: str, places: dict[str, str], body: dict[str, Any]) -> Case:
    path, method = _route(app, endpoint)
    own = {name: place for name, place in places.items() if f"{{{name}}}" in path}
    sent = {"body": body, "media_type": "application/json"} if body else {}
    return schema[path][method].Case(path_parameters=own, **sent)


def _send(
    schema: BaseSchema,
    app: Flask,
    endpoint: str,
    places: dict[str, str],
    mode: GenerationMode,
    examples: int,
    **sent: dict[str, str],
) -> None:
    """`places`: what is there, by its name in addresses; `sent`: headers and cookies."""
    path, method = _route(app, endpoint)

    @settings(bounded, max_examples=examples)
    @given(schema[path][method].as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        if mode.is_positive and endpoint == "api.delete_list":
            case.query["taken_before"] = 0.0  # the film of the others came later
        if mode.is_positive and endpoint.partition(".")[2] not in KEPT:
            case.path_parameters.update({name: places[name] for name in case.path_parameters.keys() & places})
        case.call_and_validate(checks=CHECKS, **sent)  # type: ignore[arg-type]

    send()


def _route(app: Flask, endpoint: str) -> tuple[str, str]:
    rule = next(rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint)
    return path_of(rule), next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"})).lower()
