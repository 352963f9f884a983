"""Who may sign in, for how long, and what a person may do."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from cxr.desk import people as accounts
from cxr.desk.people_tables import Role, SignIn, SignInTry
from cxr.desk.tables import writing
from cxr.desk.tries import TooManyTries, Tries
from cxr.desk.visitors import OPEN
from cxr.errors import BadRequest, SettingError
from cxr.reading.reader import Reader
from tests.desk.department import (
    ADMIN,
    CLINICIAN,
    PASSWORD,
    Department,
    film_form,
    form_token,
    open_department,
    post,
    problem_of,
    sign_in,
)
from tests.desk.desk import Desk, open_desk, sentence_of

pytestmark = pytest.mark.both_databases

WRONG = "The name or the password is not right; type both again."


def _change(department: Department, statement: Any) -> None:
    with writing(department.intake.store.engine) as session:
        session.execute(statement)


# --- who has to sign in ---


def test_the_local_desk_asks_nobody_to_sign_in(desk: Desk) -> None:
    assert desk.client.get("/").status_code == 200
    assert desk.client.get("/account").status_code == 404


def test_a_shared_desk_asks_nobody_until_it_has_accounts(tmp_path: Path, reader: Reader, quick_hashes: None) -> None:
    with open_desk(tmp_path, reader, local=False, secret_key="k") as desk:
        assert desk.client.get("/films").status_code == 200
        assert [desk.client.get(page).status_code for page in ("/people", "/audit", "/audit.csv", "/account")] == [
            403, 403, 403, 404,
        ]  # fmt: skip
        desk.app.extensions["people"].add(ADMIN, PASSWORD, Role.ADMIN)
        assert desk.client.get("/films").status_code == 302


def test_every_address_but_a_few_asks_who_it_is(department: Department) -> None:
    for rule in department.app.url_map.iter_rules():
        address = re.sub("<[^>]+>", "x", rule.rule)
        method = "POST" if "POST" in rule.methods else "DELETE" if "DELETE" in rule.methods else "GET"
        answer = department.client.open(address, method=method, headers={"Accept": "application/json"})
        assert (answer.status_code == 401) == (rule.endpoint not in OPEN), rule
    assert department.client.get("/nowhere").status_code == 302
    assert set(OPEN) == {
        "static", "api.healthz", "api.readyz", "looks.theme", "people.sign_in", "people.try_sign_in",
    }  # fmt: skip


def test_whoever_opens_a_page_signs_in_and_is_led_back_to_it(department: Department) -> None:
    asked = department.client.get("/films?upload=x")
    assert (asked.status_code, asked.location) == (302, "/sign-in?next=/films?upload%3Dx")
    assert 'value="/films?upload=x"' in department.client.get(asked.location).text
    assert sign_in(department.client, "Anna ", target="/films?upload=x").location == "/films?upload=x"
    assert department.client.get("/films").status_code == 200


def test_a_script_of_a_page_is_told_and_not_led_to_the_form(department: Department) -> None:
    answer = department.client.get("/films/x/pixels", headers={"Sec-Fetch-Mode": "cors"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil", "javascript:alert(1)",
     "/\t/evil.example", "///evil.example", "http:/evil", "", "/\n/evil.example"],
)  # fmt: skip
def test_nobody_is_led_out_of_the_desk(department: Department, target: str) -> None:
    assert sign_in(department.client, ADMIN, target=target).location == "/"


# --- names and passwords ---


def test_wrong_passwords_unknown_names_and_disabled_people_are_told_the_same(department: Department) -> None:
    department.people.disable(CLINICIAN)
    for name, password in ((ADMIN, "wrong"), ("nobody", PASSWORD), (CLINICIAN, PASSWORD), ("", ""), ("x" * 999, "")):
        answer = sign_in(department.client, name, password)
        assert (answer.status_code, problem_of(answer)) == (401, WRONG)
    assert department.client.get("/").status_code == 302


@pytest.mark.parametrize("name", [ADMIN, "nobody"])
def test_an_unknown_name_takes_one_hash_as_a_known_one_does(department: Department, name: str) -> None:
    with mock.patch.object(accounts, "_hasher", wraps=accounts._hasher) as hasher:
        sign_in(department.client, name, "wrong")
    assert len(hasher.method_calls) == 1


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("carl", "short", "12 to 256 characters"),
        ("carl", "x" * 257, "12 to 256 characters"),
        ("carl", "aaaaaaaaaaaaaa", "too easily guessed"),
        ("carl", "Carl and Carla", "too easily guessed"),
        ("", PASSWORD, "A name has"),
        ("a b", PASSWORD, "A name has"),
        ("(local)", PASSWORD, "A name has"),
        ("<script>", PASSWORD, "A name has"),
        ("=cmd", PASSWORD, "A name has"),
        ("x" * 65, PASSWORD, "A name has"),
    ],
)
def test_a_name_or_a_password_that_cannot_be_used_is_told(
    department: Department, name: str, password: str, why: str
) -> None:
    with pytest.raises(BadRequest, match=why):
        department.people.add(name, password, Role.CLINICIAN)


def test_a_refused_form_keeps_the_name_and_not_the_passwords(department: Department) -> None:
    typed = {"name": "carl", "role": "admin", "password": "one good password", "again": "another good one"}
    page = post(department.admin, "/people", **typed).text
    assert 'value="carl"' in page and '<option value="admin" selected>' in page and "good" not in page
    assert 'value="carl"' in sign_in(department.client, "carl", "one good password").text
    assert 'value="archive"' in post(department.admin, "/account/tokens", name="archive", days="0", manages="").text


def test_names_that_look_the_same_are_the_same_and_need_not_be_latin(department: Department) -> None:
    department.people.add("Мария", PASSWORD, Role.CLINICIAN)
    assert department.people.named("МАРИЯ").name == "мария"
    answer = post(department.admin, "/people", name="МАРИЯ", role="clinician", password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, problem_of(answer)) == (
        409, "There is a person 'мария' already; choose another name.",
    )  # fmt: skip


def test_a_password_is_kept_as_a_hash_of_argon2id(tmp_path: Path, reader: Reader) -> None:
    assert accounts.hash_password("anna", PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


# --- too many tries ---


def test_a_name_is_locked_after_five_wrong_passwords_over_all_processes(
    department: Department, reader: Reader, database_url: str
) -> None:
    with open_desk(department.folder, reader, local=False, secret_key="k", database_url=database_url) as other:
        for client in (department.client, other.client, department.client, other.client, department.client):
            assert sign_in(client, ADMIN, "wrong").status_code == 401
        locked = sign_in(other.client, ADMIN)
    assert locked.status_code == 429
    assert problem_of(locked).startswith("Too many tries to sign in; wait 15 minutes")
    assert 880 < int(locked.headers["Retry-After"]) <= 900
    assert sign_in(department.client, CLINICIAN).status_code == 303
    assert department.admin.get("/").status_code == 200


def test_an_unknown_name_is_locked_as_a_known_one_is(department: Department) -> None:
    told = [sign_in(department.client, "nobody", "wrong").status_code for _ in range(6)]
    assert told == [401] * 5 + [429]


def test_a_lock_ends_by_itself_and_by_an_admin(department: Department) -> None:
    for _ in range(5):
        sign_in(department.client, ADMIN, "wrong")
    department.people.enable(ADMIN)
    assert sign_in(department.client, ADMIN).status_code == 303
    for _ in range(5):
        sign_in(department.client, CLINICIAN, "wrong")
    _change(department, sa.update(SignInTry).values(at=time.time() - 901))
    assert sign_in(department.client, CLINICIAN).status_code == 303


def test_many_tries_at_once_are_all_counted(department: Department) -> None:
    tries = Tries(department.intake.store.engine, most=5, wait_s=900)

    def attempt(_: int) -> bool:
        try:
            tries.begin(ADMIN, "10.0.0.1")
        except TooManyTries:
            return False
        return True

    with ThreadPoolExecutor(8) as guessers:
        assert sum(guessers.map(attempt, range(40))) == 5


def test_an_address_that_tries_many_names_is_locked(department: Department) -> None:
    told = [sign_in(department.client, f"name{n}", "wrong").status_code for n in range(51)]
    assert told == [401] * 50 + [429]


def test_tries_are_kept_without_what_was_typed(department: Department) -> None:
    sign_in(department.client, "my secret password", "wrong")
    database = department.all_rows()
    assert "secret password" not in database and PASSWORD not in database and ADMIN in database


@pytest.mark.parametrize("name", ["sign_in_tries", "sign_in_wait_s", "session_idle_s", "session_most_s"])
def test_a_limit_of_nothing_stops_the_start(tmp_path: Path, reader: Reader, name: str) -> None:
    with pytest.raises(SettingError, match=f"CXR_{name.upper()} is 0"), open_desk(tmp_path, reader, **{name: 0}):
        pass


# --- sessions ---


@pytest.mark.parametrize(
    ("ended", "status"), [({"seen_at": 1801}, 302), ({"created_at": 43_201}, 302), ({"seen_at": 1700}, 200)]
)
def test_a_session_ends_when_idle_and_in_any_case(department: Department, ended: dict[str, int], status: int) -> None:
    _change(department, sa.update(SignIn).values({name: time.time() - age_s for name, age_s in ended.items()}))
    assert department.clinician.get("/films").status_code == status
    assert department.clinician.get("/films").status_code == status


def test_a_cookie_is_worth_nothing_after_signing_out(department: Department) -> None:
    cookie = department.clinician.get_cookie("cxr_session")
    assert cookie and post(department.clinician, "/sign-out").status_code == 303
    department.client.set_cookie("cxr_session", cookie.value)
    assert department.client.get("/films").status_code == 302


def test_a_disabled_person_is_out_at_once(department: Department) -> None:
    headers = department.bearer()
    assert post(department.admin, f"/people/{CLINICIAN}/disable").status_code == 303
    assert department.clinician.get("/films").status_code == 302
    assert department.client.get("/api/v1/films", headers=headers).status_code == 401
    post(department.admin, f"/people/{CLINICIAN}/enable")
    assert sign_in(department.client, CLINICIAN).status_code == 303


def test_a_session_that_ends_in_the_middle_of_an_upload_costs_nothing(department: Department, film_png: bytes) -> None:
    token = form_token(department.clinician)
    _change(department, sa.delete(SignIn))
    answer = department.clinician.post(
        "/films", data=film_form(film_png, csrf_token=token), headers={"Accept": "application/json"}
    )
    assert answer.status_code == 401
    assert answer.get_json() == {
        "error": "Nobody is signed in, or the session has ended; nothing was changed. Sign in, then send it again.",
        "status": 401,
        "sign_in": "/sign-in?next=/",
    }
    assert not department.stored_files()
    assert sign_in(department.clinician, CLINICIAN).status_code == 303  # in another tab
    assert department.clinician.post("/films", data=film_form(film_png, csrf_token=token)).status_code == 303


def test_a_form_without_a_session_shows_the_sign_in_form(department: Department, film_png: bytes) -> None:
    answer = department.client.post(
        "/films", data=film_form(film_png), headers={"Referer": "http://localhost/films?upload=1"}
    )
    assert answer.status_code == 401
    assert "nothing was changed" in problem_of(answer) and 'name="next" value="/films"' in answer.text


def test_a_form_of_another_session_is_refused(department: Department) -> None:
    yesterday = form_token(department.clinician)
    answer = department.admin.post("/people/bert/disable", data={"csrf_token": yesterday})
    assert answer.status_code == 400 and "reload the page" in sentence_of(answer)


# --- one's own account ---


def test_a_new_password_signs_out_everybody_else(department: Department) -> None:
    elsewhere, headers = department.browser(CLINICIAN), department.bearer()
    new = "another battery, horse"
    answer = post(department.clinician, "/account/password", current=PASSWORD, new=new, again=new)
    assert answer.location == "/account?changed=1"
    assert department.clinician.get(answer.location).status_code == 200
    assert elsewhere.get("/").status_code == 302
    assert department.client.get("/api/v1/films", headers=headers).status_code == 401
    assert sign_in(department.client, CLINICIAN).status_code == 401
    assert sign_in(department.client, CLINICIAN, new).status_code == 303


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"current": "wrong"}, "Your password of now is not right"),
        ({"again": "another"}, "The two new passwords differ"),
        ({"new": "short", "again": "short"}, "12 to 256 characters"),
        ({"current": [PASSWORD, PASSWORD]}, "the field current 2 times"),
        ({"current": []}, "lacks the field current"),
        ({"new": "x" * 1025}, "longer than 1024"),
        ({"role": "admin"}, "a field that was not asked for"),
    ],
)
def test_a_password_form_that_is_wrong_changes_nothing(
    department: Department, fields: dict[str, Any], why: str
) -> None:
    whole = {"current": PASSWORD, "new": "another battery", "again": "another battery", **fields}
    answer = post(department.clinician, "/account/password", **whole)
    assert answer.status_code == 400 and why in problem_of(answer)
    assert sign_in(department.client, CLINICIAN).status_code == 303


# --- roles ---


def test_a_clinician_sees_films_and_neither_people_nor_the_log(department: Department) -> None:
    statuses = {
        page: department.clinician.get(page).status_code for page in ("/films", "/people", "/audit", "/audit.csv")
    }
    assert statuses == {"/films": 200, "/people": 403, "/audit": 403, "/audit.csv": 403}
    assert post(department.clinician, "/people/bert/role", role="admin").status_code == 403
    assert "/people" not in department.clinician.get("/").text


def test_an_admin_adds_people_and_changes_their_roles(department: Department) -> None:
    post(department.admin, "/people", name="Carl", role="clinician", password=PASSWORD, again=PASSWORD)
    post(department.admin, "/people/carl/role", role="admin")
    assert "carl" in department.admin.get("/people").text
    assert department.browser("carl").get("/people").status_code == 200
    post(department.admin, "/people/carl/password", password="a whole new one", again="a whole new one")
    assert sign_in(department.client, "carl", "a whole new one").status_code == 303


@pytest.mark.parametrize("way", ["role", "disable"])
def test_the_only_admin_stays_one(department: Department, way: str) -> None:
    answer = post(department.admin, f"/people/anna/{way}", **({"role": "clinician"} if way == "role" else {}))
    assert (answer.status_code, problem_of(answer)) == (
        409,
        "anna is the only admin; make somebody else an admin first.",
    )


def test_a_person_that_nobody_knows_is_not_found(department: Department) -> None:
    assert post(department.admin, "/people/nobody/disable").status_code == 404
    assert post(department.admin, "/people/anna/role", role="<script>").status_code == 400


def test_a_desk_behind_a_proxy_counts_tries_by_the_address_that_it_names(
    tmp_path: Path, reader: Reader, quick_hashes: None
) -> None:
    with open_department(tmp_path, reader, proxies=1, sign_in_tries=1) as department:
        tries = [
            department.client.post(
                "/sign-in",
                data={"csrf_token": form_token(department.client), "name": f"n{n}", "password": "x", "next": ""},
                headers={"X-Forwarded-For": address},
            ).status_code
            for n, address in enumerate(["10.0.0.1"] * 11 + ["10.0.0.2"])
        ]
    assert tries == [401] * 10 + [429, 401]
