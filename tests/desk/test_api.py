"""What programs get, and whether the document that describes it is true."""

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from cxr.desk.openapi import OPERATIONS, described_methods, document, path_of
from cxr.desk.people_tables import Role
from cxr.desk.sessions import validate_stands
from cxr.desk.store import NewFilm
from cxr.errors import SignInNeeded
from cxr.reading.reader import Reader
from tests.desk.department import ADMIN, CLINICIAN, PASSWORD, Department, form_token, open_department, sign_in
from tests.desk.desk import Desk


@pytest.fixture
def film(desk: Desk, film_png: bytes) -> dict[str, Any]:
    found = desk.api_upload("a.png", film_png).get_json()
    assert isinstance(found, dict)
    return found


def test_the_document_and_the_routes_name_the_same(desk: Desk) -> None:
    """Fails when a route of the API was added without its operation, or the other way round."""
    rules = [
        rule for rule in desk.app.url_map.iter_rules() if rule.rule.startswith("/api/") or rule.endpoint in OPERATIONS
    ]
    assert {rule.endpoint for rule in rules} == set(OPERATIONS)
    served = {(path_of(rule), method) for rule in rules for method in described_methods(rule)}
    told = document(desk.app)["paths"]
    assert {(path, method) for path, methods in told.items() for method in methods} == served
    assert desk.client.get("/openapi.json").get_json() == desk.client.get("/api/v1/openapi.json").get_json()


def test_films_have_the_fields_of_the_document(desk: Desk, film: dict[str, Any]) -> None:
    schemas = document(desk.app)["components"]["schemas"]
    assert set(film) == set(schemas["Film"]["properties"])
    assert set(desk.films()[0]) == set(schemas["ListedFilm"]["properties"])


def test_all_references_of_the_document_lead_somewhere(desk: Desk) -> None:
    told = document(desk.app)
    text = json.dumps(told)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/')[1:]}:
        kind, name = reference.split("/")
        assert name in told["components"][kind]


def test_pixels_pictures_and_maps_are_those_of_the_pages(desk: Desk, film: dict[str, Any]) -> None:
    links, label = film["links"], film["findings"][0]["label"]
    pixels = desk.client.get(links["pixels"])
    heat = desk.client.get(links["heatmap"].replace("LABEL", label)).data
    maps = desk.client.get(links["maps"]).get_json()
    assert len(gzip.decompress(pixels.data)) == 2 * 256 * 256
    assert cv2.imdecode(np.frombuffer(heat, np.uint8), cv2.IMREAD_UNCHANGED).shape == (448, 448, 4)
    assert len(base64.b64decode(maps["maps"][label])) == maps["height"] * maps["width"]
    for part in ("film.png", "thumbnail.jpg", "report.pdf", "report.csv"):
        assert desk.client.get(f"{links['self']}/{part}").status_code == 200


def test_a_film_that_is_not_read_yet_says_when_to_ask_again(desk: Desk, film: dict[str, Any]) -> None:
    new = NewFilm("b.png", "PNG", "chestxray14", "u", b"", gradcam=False)
    waiting = desk.client.get(f"/api/v1/films/{desk.intake.store.add(b'x', new, 60).film_id}")
    assert (waiting.get_json()["state"], waiting.headers["Retry-After"]) == ("waiting", "1")
    assert "Retry-After" not in desk.client.get(film["links"]["self"]).headers


def test_models_are_told_with_what_was_measured(desk: Desk) -> None:
    listed = desk.client.get("/api/v1/models").get_json()
    one = desk.client.get("/api/v1/models/chestxray14").get_json()
    assert listed["default"] == "chestxray14"
    assert {key: one[key] for key in listed["models"][0]} == listed["models"][0]
    assert len(one["operating_points"]["youden"]) == 14
    assert desk.client.get("/api/v1/models/covid3").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/v1/nothing", 404),
        ("get", "/api/v1/films/nobody", 404),
        ("put", "/api/v1/films", 405),
        ("post", "/api/v1/films", 400),
        ("get", "/api/v1/films?limit=0", 400),
        ("get", "/api/v1/audit?since=yesterday", 400),
        ("get", "/api/v1/audit?before=x", 400),
        ("post", "/api/v1/people", 400),
        ("delete", "/api/v1/tokens/x", 404),
    ],
)
def test_errors_have_one_form(desk: Desk, method: str, path: str, status: int) -> None:
    answer = desk.client.open(path, method=method.upper())
    assert (answer.status_code, answer.get_json()["status"]) == (status, status)
    assert len(answer.get_json()["error"]) > 20
    assert ("Allow" in answer.headers) == (status == 405)


# --- people ---


Send = Callable[..., TestResponse]  # (path, body)


@pytest.fixture(params=["session", "token"])
def send(request: pytest.FixtureRequest, department: Department) -> Send:
    """As an admin: as a script of a page does, or with a token that manages."""
    if request.param == "session":
        client, headers = department.admin, {"X-CSRFToken": form_token(department.admin)}
    else:
        client, headers = department.client, department.bearer(ADMIN, manages=True)
    return lambda path, body=None: client.post(path, json=body, headers=headers)


def test_an_admin_changes_people(department: Department, send: Send) -> None:
    made = send("/api/v1/people", {"name": "Cleo", "password": PASSWORD, "role": "clinician"})
    assert (made.status_code, made.get_json()["name"]) == (201, "cleo")
    assert send("/api/v1/people/cleo/role", {"role": "admin"}).status_code == 204
    assert send("/api/v1/people/cleo/password", {"password": "another good one"}).status_code == 204
    assert send("/api/v1/people/cleo/disable").status_code == 204
    told = {person["name"]: person for person in department.admin.get("/api/v1/people").get_json()["people"]}
    assert (told["cleo"]["role"], told["cleo"]["disabled"]) == ("admin", True)
    assert "password" not in told["cleo"]
    assert send("/api/v1/people/cleo/enable").status_code == 204
    actions = [action for person, action, what in department.told(person=ADMIN) if what.startswith("cleo")]
    assert actions == ["add person", "change role", "set password", "disable person", "enable person"]


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"name": "x"}, {"name": 1, "password": PASSWORD, "role": "admin"},
        {"name": "x", "password": PASSWORD, "role": "king"}, {"name": "x", "password": "short", "role": "admin"},
        {"name": "<script>", "password": PASSWORD, "role": "admin"},
        {"name": "x", "password": PASSWORD + "\ud800", "role": "admin"},
        {"name": "x", "password": PASSWORD, "role": "admin", "more": 1},
    ],
)  # fmt: skip
def test_a_person_that_cannot_be_made_is_refused(department: Department, send: Send, body: Any) -> None:
    before = department.people.all()
    assert send("/api/v1/people", body).status_code == 400
    assert len(department.people.all()) == len(before)


def test_a_token_looks_but_changes_no_people(department: Department) -> None:
    bearer, client = department.bearer(ADMIN), department.client
    assert client.get("/api/v1/people", headers=bearer).status_code == 200
    assert client.get("/api/v1/audit", headers=bearer).status_code == 200
    assert client.get("/api/v1/audit.csv", headers=bearer).mimetype == "text/csv"


def _changes_people(rule: Rule) -> bool:
    return "POST" in (rule.methods or ()) and rule.rule.startswith(
        ("/api/v1/people", "/api/v1/tokens", "/api/v1/account")
    )


def test_a_plain_token_changes_nobody(department: Department) -> None:
    """It revokes tokens, itself among them, and does nothing else of this kind."""
    bearer = department.bearer(ADMIN)
    rules = [rule for rule in department.app.url_map.iter_rules() if _changes_people(rule)]
    assert len(rules) > 6
    for rule in rules:
        address = rule.rule.replace("<name>", CLINICIAN)
        answer = department.client.post(address, json={}, headers=bearer)
        assert answer.status_code == 403 and "make one that may at /account" in answer.get_json()["error"], rule


@pytest.mark.parametrize("end", ["revoke", "password", "disable", "demote"])
def test_whoever_was_shut_out_changes_nothing_more(department: Department, end: str) -> None:
    """A request that the door let in before may wait for the lock of the database."""
    people, sessions, owner = department.people, department.sessions, department.people.named(ADMIN)
    people.add("dora", PASSWORD, Role.ADMIN)
    token, secret = sessions.make_token(owner.id, "leaked", 1, manages=True)
    asking = sessions.by_token(secret)
    assert asking
    {
        "revoke": lambda: sessions.revoke(owner.id, token.id),
        "password": lambda: people.set_password(ADMIN, "another battery"),
        "disable": lambda: people.disable(ADMIN),
        "demote": lambda: people.set_role(ADMIN, Role.CLINICIAN),
    }[end]()
    guard = partial(validate_stands, visitor=asking)
    for change in (
        lambda: sessions.make_token(owner.id, "child", 1, manages=True, guard=guard),
        lambda: people.add("mallory", PASSWORD, Role.ADMIN, guard),
        lambda: people.set_role(CLINICIAN, Role.ADMIN, guard),
        lambda: people.set_password(CLINICIAN, "another battery", guard),
        lambda: people.disable(CLINICIAN, guard),
        lambda: people.enable(ADMIN, guard),
    ):
        with pytest.raises(SignInNeeded, match="ended meanwhile; nothing was changed"):
            change()


def test_the_log_tells_which_token_did_it_and_what_it_made(department: Department) -> None:
    bearer = department.bearer(ADMIN, manages=True)
    (asking,) = department.sessions.tokens(department.people.named(ADMIN).id)
    made = department.client.post(
        "/api/v1/tokens", json={"name": "child", "days": 1, "manages": True}, headers=bearer
    ).get_json()
    department.client.post("/api/v1/people/bert/disable", headers=bearer)
    told = [what for _, action, what in department.told(person=ADMIN) if action in ("make token", "disable person")]
    assert told == [f"{made['id']} manages by token {asking.id}", f"bert by token {asking.id}"]


def test_a_clinicians_token_manages_no_others(department: Department) -> None:
    bearer = department.bearer(CLINICIAN, manages=True)
    answer = department.client.post(f"/api/v1/people/{ADMIN}/disable", headers=bearer)
    assert (answer.status_code, "for admins" in answer.get_json()["error"]) == (403, True)


def test_somebody_changes_their_own_password(department: Department, send: Send) -> None:
    """All sessions and tokens end but for that which asked."""
    other, path, new = department.bearer(ADMIN), "/api/v1/account/password", "another battery"
    assert send(path, {"current": "not the right one", "new": new}).status_code == 400
    assert send(path, {"current": PASSWORD, "new": "short"}).status_code == 400
    assert department.client.get("/api/v1/account", headers=other).status_code == 200
    assert send(path, {"current": PASSWORD, "new": new}).status_code == 204
    assert department.client.get("/api/v1/account", headers=other).status_code == 401
    assert send("/api/v1/people/bert/role", {"role": "admin"}).status_code == 204
    assert sign_in(department.app.test_client(), ADMIN, new).status_code == 303
    actions = [action for _, action, _ in department.told(person=ADMIN)[1:4]]
    assert actions == ["password change refused", "password change refused", "change own password"]


def test_who_guesses_a_password_by_a_token_has_to_wait(tmp_path: Path, reader: Reader, quick_hashes: None) -> None:
    with open_department(tmp_path, reader, sign_in_tries=2) as department:
        bearer, guess = department.bearer(manages=True), {"current": "not the right one", "new": "another battery"}
        path = "/api/v1/account/password"
        answers = [department.client.post(path, json=guess, headers=bearer) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [400, 400, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize("path", ["people", "audit", "audit.csv"])
def test_what_is_for_admins_is_not_for_clinicians(department: Department, path: str) -> None:
    answer = department.client.get(f"/api/v1/{path}", headers=department.bearer())
    assert (answer.status_code, answer.get_json()["status"]) == (403, 403)


def test_a_token_can_revoke_itself(department: Department) -> None:
    bearer = department.bearer()
    (token,) = department.client.get("/api/v1/tokens", headers=bearer).get_json()["tokens"]
    assert department.client.get("/api/v1/account", headers=bearer).get_json()["name"] == CLINICIAN
    assert department.client.delete(f"/api/v1/tokens/{token['id']}", headers=bearer).status_code == 204
    assert department.client.get("/api/v1/account", headers=bearer).status_code == 401


@pytest.mark.parametrize("wanted", [{}, {"manages": False}, {"manages": True}])
def test_a_token_is_made_and_told_once(department: Department, send: Send, wanted: dict[str, bool]) -> None:
    made = send("/api/v1/tokens", {"name": "nightly", "days": 7, **wanted}).get_json()
    told = department.client.get("/api/v1/account", headers={"Authorization": f"Bearer {made['token']}"})
    manages = wanted.get("manages", False)
    account = {"name": ADMIN, "role": "admin", "has_account": True, "manages": manages, "token_id": made["id"]}
    assert told.get_json() == account
    assert made["token"] not in department.admin.get("/api/v1/tokens").text


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": True}, {"manages": 1}, {"manages": None}, {"more": 1}])
def test_a_token_that_cannot_be_made_is_refused(department: Department, send: Send, wrong: dict[str, Any]) -> None:
    before = len(department.sessions.tokens(department.people.named(ADMIN).id))
    assert send("/api/v1/tokens", {"name": "nightly", "days": 7, **wrong}).status_code == 400
    assert len(department.sessions.tokens(department.people.named(ADMIN).id)) == before


def test_the_log_is_read_page_by_page(department: Department, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.desk.audit_pages.PAGE_SIZE", 2)
    first = department.admin.get("/api/v1/audit?action=sign in").get_json()
    assert [row["person"] for row in first["rows"]] == [CLINICIAN, ADMIN]
    everything = department.admin.get("/api/v1/audit").get_json()
    older = department.admin.get(f"/api/v1/audit?before={everything['before']}").get_json()
    assert older["rows"][0]["id"] < everything["rows"][-1]["id"]


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_documents_lines_for_people_work(department: Department, department_address: str) -> None:
    """Those of docs/api.md that take a token that manages, word for word."""
    lines = _document().split("```bash\n")[1].split("```")[0].replace("curl -s", "curl -s --fail-with-body")
    (bearer,) = department.bearer(ADMIN, manages=True).items()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        env={"PATH": os.environ["PATH"], "DESK": department_address, "AUTH": ": ".join(bearer)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [(action, what) for _, action, what in department.told(person=ADMIN)[1:]]
    whom = [what.partition(" by token ")[0] for _, what in told[:-1]]
    assert whom == ["carl", "carl admin", "carl", "carl", "carl"]
    assert told[-1][0] == "make token" and '"token":"cxr_' in done.stdout.replace(" ", "")


def _document() -> str:
    return (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def test_the_documents_python_client_works(desk_address: str, film_png: bytes, tmp_path: Path) -> None:
    """That of docs/api.md, word for word, against a desk that is served."""
    client = _document().split("```python\n")[1].split("```")[0]
    (tmp_path / "film.png").write_bytes(film_png)
    told: dict[str, Any] = {}
    client = client.replace("https://desk.example", desk_address).replace("film.png", str(tmp_path / "film.png"))
    exec(compile(client, "docs/api.md", "exec"), told)  # the document is ours
    assert told["film"]["state"] == "read"
    assert len(told["film"]["findings"]) == 14
