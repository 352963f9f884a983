"""What programs sign in with."""

import time

import pytest
import sqlalchemy as sa

from cxr.desk.people_tables import Token
from cxr.desk.tables import writing
from tests.desk.department import ADMIN, CLINICIAN, Department, film_form, form_token, post, problem_of

pytestmark = pytest.mark.both_databases


def _make(department: Department, **fields: object) -> str:
    answer = post(department.clinician, "/account/tokens", **{"name": "archive", "days": "90", "manages": "", **fields})
    assert answer.status_code == 201
    return answer.text.split('class="secret">')[1].split("<")[0]


def test_a_token_is_shown_once_and_kept_as_a_hash(department: Department) -> None:
    secret = _make(department)
    assert secret.startswith("cxr_") and len(secret) == 47
    assert secret not in department.clinician.get("/account").text
    assert secret not in department.all_rows()


def test_a_program_works_with_films_and_needs_no_form_token(department: Department, film_png: bytes) -> None:
    headers = {"Authorization": f"Bearer {_make(department)}"}
    taken = department.client.post("/api/v1/films", data=film_form(film_png), headers=headers)
    assert taken.status_code == 201 and "Set-Cookie" not in taken.headers
    address = taken.get_json()["links"]["self"]
    assert department.client.get(address, headers=headers).get_json()["state"] == "read"
    assert department.client.delete(address, headers=headers).status_code == 204


@pytest.mark.parametrize("change", [{"revoked_at": 1.0}, {"expires_at": 1.0}, {"sha256": "0" * 64}])
def test_a_token_that_is_no_good_any_more_is_refused(department: Department, change: dict[str, object]) -> None:
    headers = department.bearer()
    assert department.client.get("/api/v1/films", headers=headers).status_code == 200
    with writing(department.intake.store.engine) as session:
        session.execute(sa.update(Token).values(change))
    answer = department.client.get("/api/v1/films", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.get_json()["error"] == "The token is wrong, revoked or expired; make another on your account's page."


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic YTpi", "Bearer cxr_" + "x" * 9999, "cxr_x", "Bearer \u00e9"]
)
def test_what_is_no_token_is_refused(department: Department, header: str) -> None:
    assert department.client.get("/api/v1/films", headers={"Authorization": header}).status_code == 401


def test_a_revoked_token_is_gone(department: Department) -> None:
    headers = department.bearer()
    (token,) = department.sessions.tokens(department.people.named(CLINICIAN).id)
    assert post(department.clinician, f"/account/tokens/{token.id}/revoke").status_code == 303
    assert department.client.get("/api/v1/films", headers=headers).status_code == 401
    assert post(department.clinician, f"/account/tokens/{token.id}/revoke").status_code == 404


def test_another_persons_token_is_not_found(department: Department) -> None:
    headers = department.bearer(ADMIN)
    (token,) = department.sessions.tokens(department.people.named(ADMIN).id)
    assert post(department.clinician, f"/account/tokens/{token.id}/revoke").status_code == 404
    assert department.client.get("/api/v1/films", headers=headers).status_code == 200


def test_a_token_opens_no_page_of_accounts(department: Department) -> None:
    headers = department.bearer(ADMIN)
    form = {"csrf_token": form_token(department.client)}
    assert department.client.get("/account", headers=headers).status_code == 403
    assert department.client.get("/people", headers=headers).status_code == 403
    for address in ("/people", "/account/tokens", "/account/password", "/people/bert/password"):
        assert department.client.post(address, data=form, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "1 to 64 characters"),
        ({"name": "x" * 65}, "1 to 64 characters"),
        ({"days": "0"}, "1 to 366 days"),
        ({"days": "367"}, "1 to 366 days"),
        ({"days": "-1"}, "no whole number"),
        ({"days": "²"}, "no whole number"),
        ({"days": "9" * 30}, "no whole number"),
        ({"days": ["1", "2"]}, "2 times"),
        ({"manages": "yes"}, "manages is 'yes'"),
    ],
)
def test_a_token_form_that_is_wrong_makes_none(department: Department, fields: dict[str, object], why: str) -> None:
    answer = post(department.clinician, "/account/tokens", **{"name": "archive", "days": "90", "manages": "", **fields})
    assert answer.status_code == 400 and why in problem_of(answer)
    assert department.sessions.tokens(department.people.named(CLINICIAN).id) == []


@pytest.mark.parametrize(("manages", "status"), [("", 403), ("1", 201)])
def test_a_token_makes_others_where_it_was_made_for_that(department: Department, manages: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {_make(department, manages=manages)}"}
    answer = department.client.post("/api/v1/tokens", json={"name": "child", "days": 1}, headers=headers)
    assert answer.status_code == status
    assert ("your password and tokens</td>" in department.clinician.get("/account").text) == bool(manages)


def test_a_name_of_a_token_is_shown_and_never_run(department: Department) -> None:
    _make(department, name="<script>alert(1)</script>")
    assert "<script>alert" not in department.clinician.get("/account").text


def test_a_person_has_fifty_tokens_at_most(department: Department) -> None:
    for _ in range(50):
        department.bearer()
    answer = post(department.clinician, "/account/tokens", name="one more", days="1", manages="")
    assert "50 tokens, which is the most" in problem_of(answer)


def test_a_session_writes_through_the_api_with_a_form_token_alone(department: Department, film_png: bytes) -> None:
    """Browsers send its cookie by themselves, to whichever page asks them to."""
    refused = department.clinician.post("/api/v1/films", data=film_form(film_png))
    assert refused.status_code == 400 and not department.stored_files()
    headers = {"X-CSRFToken": form_token(department.clinician)}
    assert department.clinician.post("/api/v1/films", data=film_form(film_png), headers=headers).status_code == 201


def test_a_token_is_noted_as_used_once_a_minute(department: Department) -> None:
    headers, before = department.bearer(), time.time()
    department.client.get("/api/v1/films", headers=headers)
    (token,) = department.sessions.tokens(department.people.named(CLINICIAN).id)
    assert token.used_at and before <= token.used_at
