"""The worklist as pages and programs meet it."""

import csv
import io
import re
import time
from html import unescape
from typing import Any

import pytest
from werkzeug.test import TestResponse

from cxr.desk import worklist_chosen, worklist_csv
from cxr.desk.answers import new_answer
from cxr.desk.audit import Entry
from tests.desk.department import CLINICIAN, Department, post
from tests.desk.desk import Desk
from tests.desk.drawn_reports import add, report
from tests.phantom import phantom_dicom

pytestmark = pytest.mark.both_databases

FILTERS = ("sort", "finding", "state", "task", "answered", "from", "to", "patient")


def _choose(desk: Desk, text: str = "", **chosen: str) -> TestResponse:
    """The form above the list."""
    return desk.client.post(
        "/films/list", data={"csrf_token": desk.token(), "text": text, **dict.fromkeys(FILTERS, ""), **chosen}
    )


def _act(desk: Desk, *films: str, **fields: object) -> TestResponse:
    """The form around the list."""
    form = {"csrf_token": desk.token(), "scope": "chosen", "list": "", "shown_at": "9e9", "film": [*films], **fields}
    return desk.client.post("/films/chosen", data=form)


def _names(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [unescape(name) for name in re.findall(r'<h2><a href="/films/[^"]*">(.*?)</a>', answer.text)]


def test_the_form_leads_to_an_address_with_its_filters(desk: Desk) -> None:
    add(desk.intake.store, "mass", report(Mass=0.9))
    add(desk.intake.store, "effusion", report(Effusion=0.9))
    answer = _choose(desk, finding="Mass", sort="date")
    assert (answer.status_code, answer.location) == (303, "/films?sort=date&finding=Mass")
    assert _names(desk.client.get(answer.location)) == ["mass"]


def test_what_was_searched_for_stands_in_no_address_and_only_its_person_sees_it(department: Department) -> None:
    add(department.intake.store, "Doe John.png")
    fields = dict.fromkeys(FILTERS, "")
    address = post(department.clinician, "/films/list", text=" john  DOE ", **fields).location
    assert re.fullmatch(r"/films\?search=[\w-]{16}", address)
    page = department.clinician.get(address)
    assert _names(page) == ["Doe John.png"] and 'value="john DOE"' in page.text
    assert department.admin.get(address).status_code == 404


def test_a_search_is_forgotten_after_hours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    address = _choose(desk, "john").location
    monkeypatch.setattr("cxr.desk.worklist_searches.KEPT_S", -1)
    assert desk.client.get(address).status_code == 404
    assert desk.client.post("/api/v1/searches", json={"text": "other"}).status_code == 201


def test_films_of_a_dicom_patient_are_found_by_the_whole_id_which_is_nowhere_to_be_seen(desk: Desk) -> None:
    film = phantom_dicom(256, 256, PatientID="MRN-0042", StudyInstanceUID="1.2.3")
    film_id = desk.api_upload("film.dcm", film).get_json()["id"]
    found = desk.client.get(_choose(desk, "MRN-0042").location)
    assert _names(found) == ["film.dcm"]
    assert _names(desk.client.get(_choose(desk, "MRN-004").location)) == []
    (listed,) = desk.films()
    assert listed["patient"].startswith("P-") and listed["study"].startswith("S-")
    assert _names(desk.client.get(f"/films?patient={listed['patient']}")) == ["film.dcm"]
    assert "MRN-0042" not in desk.client.get("/films?sort=patient").text + desk.client.get(f"/films/{film_id}").text


def _next(answer: TestResponse) -> str:
    """Where `n` leads from a film's page."""
    (found,) = re.findall(r'<a href="([^"]*)" rel="next"', answer.text)
    return unescape(found)


def _links(answer: TestResponse) -> list[str]:
    return [unescape(link) for link in re.findall(r'<h2><a href="([^"]*)">', answer.text)]


def test_the_way_through_the_list_keeps_its_order_and_filters(desk: Desk) -> None:
    store = desk.intake.store
    last, first = add(store, "b", report(Mass=0.7)), add(store, "a", report(Mass=0.9))
    add(store, "c", report(Effusion=0.9))
    links = _links(desk.client.get("/films?finding=Mass"))
    way = "list=sort%3Durgency%26finding%3DMass"
    assert links[0].startswith(f"/films/{first}?{way}&at=1~5.3999")
    film = unescape(desk.client.get(links[0]).text)
    assert _next(desk.client.get(links[0])) == links[1] and links[1].startswith(f"/films/{last}?{way}&at=")
    assert '<a href="/films?sort=urgency&finding=Mass">List</a>' in film
    assert f"/films/{first}?finding=Mass&{links[0].partition('?')[2]}" in film
    gone = desk.client.post(f"/films/{first}/delete?list=finding%3DMass", data={"csrf_token": desk.token()})
    assert gone.location == "/films?finding=Mass"
    assert desk.client.get(f"/films/{last}?list=nonsense%3D1%26%00").status_code == 200
    assert desk.client.get(f"/films/{last}?{way}&at=nonsense").status_code == 200


def test_an_answer_without_a_script_keeps_list_and_place(desk: Desk) -> None:
    for name, p in (("c", 0.7), ("b", 0.8), ("a", 0.9)):
        add(desk.intake.store, name, report(Mass=p))
    first, second, third = _links(desk.client.get("/films?sort=urgency"))
    form = unescape(re.findall(r'<form class="answer[^>]* action="([^"]*)"', desk.client.get(first).text)[0])
    answer = {"csrf_token": desk.token(), "label": "Mass", "verdict": "agree", "text": "", "by": "Ann"}
    answered = desk.client.post(form, data=answer)
    assert answered.location == first.replace("?", "?finding=Mass&")
    assert _next(desk.client.get(answered.location)) == second
    assert _links(desk.client.get("/films?sort=urgency"))[-1].startswith(first.partition("?")[0])
    named = desk.client.post(first.replace("?", "/answered-by?"), data={"csrf_token": desk.token(), "by": "Bob"})
    assert named.location == first
    deleted = desk.client.post(second.replace("?", "/delete?"), data={"csrf_token": desk.token()})
    assert _links(desk.client.get(deleted.location))[0] == third


def test_films_without_a_reading_are_counted_above_the_list(desk: Desk) -> None:
    for name, read in (("a", None), ("b", report(refused=True)), ("c", report(Mass=0.9))):
        add(desk.intake.store, name, read)
    page = desk.client.get("/films").text
    links = re.findall(r'<a href="(/films\?state=\w+)">([^<]*)</a>', page)
    assert links == [("/films?state=waiting", "1 waiting"), ("/films?state=refused", "1 refused by the film check")]
    assert "Without a reading" not in desk.client.get("/films?finding=Mass").text


def test_a_list_that_ends_behind_a_deleted_film_leads_to_its_beginning(desk: Desk) -> None:
    add(desk.intake.store, "a", report(Mass=0.9))
    (only,) = _links(desk.client.get("/films?finding=Mass"))
    deleted = desk.client.post(only.replace("?", "/delete?"), data={"csrf_token": desk.token()})
    page = unescape(desk.client.get(deleted.location).text)
    assert 'The list ends here. <a href="/films?sort=urgency&finding=Mass">To its beginning</a>' in page


def test_chosen_films_are_deleted_and_others_stay(desk: Desk) -> None:
    one, two, three = (add(desk.intake.store, name, report(Mass=0.9)) for name in ("1", "2", "3"))
    answer = _act(desk, one, two, "0" * 20, action="delete", list="sort=date")
    assert answer.location == "/films?sort=date"
    assert "2 films deleted for good." in desk.client.get(answer.location).text
    assert "deleted for good" not in desk.client.get(answer.location).text  # told once
    assert [film["id"] for film in desk.films()] == [three]


def test_all_films_of_a_list_are_deleted_but_for_those_that_came_after_it_was_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = desk.intake.store
    ids = [add(store, name, report(Mass=0.9)) for name in ("1", "2", "3")]
    other, late = add(store, "other", report(Effusion=0.9)), add(store, "late", report(Mass=0.9))
    monkeypatch.setattr(worklist_chosen, "MOST_DELETED", 2)
    shown_at = store.film(late).created_at
    for left in ({ids[0], other, late}, {other, late}):
        _act(desk, action="delete", scope="all", list="finding=Mass", shown_at=shown_at)
        assert {film["id"] for film in desk.films()} == left


def test_the_table_has_a_line_for_each_film_and_its_probabilities(department: Department) -> None:
    store = department.intake.store
    one = add(store, "=cmd.png", report(Mass=0.9, Effusion=0.2), patient="P-A")
    two = add(store, "two.png")
    store.answers.add(one, new_answer("Mass", "agree", by="Ann"))
    form = {"action": "csv", "scope": "all", "list": "sort=date", "shown_at": "9e9"}
    answer = post(department.clinician, "/films/chosen", **form)
    second, first = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["Content-Disposition"] == "attachment; filename=films.csv"
    assert (first["name"], first["patient"], first["Mass"], first["findings_above"]) == (
        "'=cmd.png",
        "P-A",
        "0.9",
        "Mass",
    )
    assert (first["answered_by"], first["urgency"], first["Hernia"]) == ("Ann", "5.4", "")
    assert (second["name"], second["state"], second["Mass"], second["read_at"]) == ("two.png", "waiting", "", "")
    assert department.told(action="export") == [(CLINICIAN, "export", film) for film in (two, one)]
    api = department.client.get("/api/v1/films.csv?finding=Mass", headers=department.bearer()).text
    assert [row["film"] for row in csv.DictReader(io.StringIO(api))] == [one]


def test_a_film_that_is_answered_while_the_table_is_saved_stands_in_it_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist_csv, "CHUNK", 1)
    _, second, first = (add(desk.intake.store, str(n), report(Mass=0.7 + n / 10)) for n in range(3))
    saved = iter(desk.client.get("/api/v1/films.csv?sort=urgency", buffered=False).response)
    lines = [next(saved), next(saved)]
    desk.intake.store.answers.add(first, new_answer("Mass", "agree", by="Ann"))
    desk.intake.store.delete(Entry("anna", "delete", second))
    text = b"".join([*lines, *saved]).decode()  # type: ignore[list-item]
    assert [row["name"] for row in csv.DictReader(io.StringIO(text))] == ["2", "0"]


@pytest.mark.parametrize("fields", [
    {"action": "delete"}, {"action": "delete", "scope": "all", "film": "a"}, {"action": "burn", "film": "a"},
    {"action": "delete", "scope": "every"},
    {"action": "delete", "scope": "all", "list": "findnig=Mass"}, {"action": "delete", "scope": "all", "shown_at": "x"},
    {"action": ["csv", "delete"], "scope": "all"}, {"action": "delete", "scope": "all", "shown_at": "nan"},
])  # fmt: skip
def test_a_form_that_asks_for_nonsense_deletes_nothing(desk: Desk, fields: dict[str, object]) -> None:
    add(desk.intake.store, "a", report(Mass=0.9))
    assert _act(desk, **fields).status_code == 400
    assert len(desk.films()) == 1


@pytest.mark.parametrize("query", [
    "sort=size", "state=reading", "from=yesterday", "to=2026-13-01", "answered=Ann", "finding=Mass&finding=Mass",
    "findnig=Mass", "findnig=", f"task={'x' * 101}",
])  # fmt: skip
def test_a_filter_that_is_none_is_refused_on_pages_and_to_programs(desk: Desk, query: str) -> None:
    assert desk.client.get(f"/films?{query}").status_code == 400
    assert desk.client.get(f"/api/v1/films?{query}").status_code == 400
    assert desk.client.get(f"/api/v1/films.csv?{query}").status_code == 400


def test_a_limit_that_is_there_twice_is_refused(desk: Desk) -> None:
    answer = desk.client.get("/api/v1/films?limit=1&limit=2")
    assert (answer.status_code, answer.get_json()["error"][:38]) == (400, "The parameter limit is there 2 times; ")


def test_script_tags_stay_text(desk: Desk) -> None:
    add(desk.intake.store, "<script>alert(1)</script>.png", patient="<b>")
    for address in ("/films", "/films?sort=patient", "/films?finding=<script>", _choose(desk, "<script>").location):
        assert "<script>" not in desk.client.get(address).text.replace('<script type="module"', "")


def test_a_form_of_yesterday_and_a_search_too_long_are_refused(desk: Desk) -> None:
    assert _choose(desk, "x" * 201).status_code == 400
    assert _choose(desk, csrf_token="old").status_code == 400
    assert _act(desk, action="delete", scope="all", csrf_token="old").status_code == 400
    assert desk.client.post("/api/v1/searches", json={"text": " "}).status_code == 400


def test_programs_get_the_same_pages_and_filters(desk: Desk) -> None:
    for number in range(5):
        add(desk.intake.store, str(number), report(Mass=0.5 + number / 20))
    add(desk.intake.store, "other", report(Effusion=0.9))
    seen, address = [], "/api/v1/films?limit=2&sort=urgency&finding=Mass"
    while address:
        page = desk.client.get(address).get_json()
        seen += [film["name"] for film in page["films"]]
        address = page["next"]
    assert seen == ["4", "3", "2", "1", "0"]
    word = desk.client.post("/api/v1/searches", json={"text": "othe"}).get_json()["search"]
    (film,) = desk.client.get(f"/api/v1/films?search={word}").get_json()["films"]
    assert (film["above"], film["answered_by"], film["urgency"], film["patient"]) == (["Effusion"], [], 4.5, None)


def test_programs_that_ask_for_them_get_the_numbers_above_the_list(desk: Desk) -> None:
    for number in range(3):
        answered = add(desk.intake.store, str(number), report(Mass=0.9))
    add(desk.intake.store, "other", report(refused=True))
    desk.intake.store.answers.add(answered, new_answer("Mass", "agree", by="Ann"))
    listed = desk.client.get("/api/v1/films?limit=1&finding=Mass&totals=yes").get_json()
    assert listed["totals"] == {"films": 3, "without_reading": {"refused": 1}, "answerers": ["Ann"]}
    assert "totals" not in desk.client.get(listed["next"]).get_json()
    assert desk.client.get("/api/v1/films?totals=1").status_code == 400


def test_programs_choose_films_for_a_table_and_for_deletion(desk: Desk) -> None:
    one, two, three = (add(desk.intake.store, name, report(Mass=0.9)) for name in ("1", "2", "3"))
    chosen = {"films": [one, two, "0" * 20, one]}
    table = list(csv.DictReader(io.StringIO(desk.client.post("/api/v1/films.csv", json=chosen).text)))
    assert {line["film"] for line in table} == {one, two}
    deleted = desk.client.post("/api/v1/films/delete", json=chosen)
    assert (deleted.status_code, deleted.get_json()) == (200, {"deleted": [one, two]})
    assert [film["id"] for film in desk.films()] == [three]


def test_programs_delete_all_of_a_list_but_what_came_since(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist_chosen, "MOST_DELETED", 2)
    for name in ("1", "2", "3"):
        add(desk.intake.store, name, report(Mass=0.9))
    other = add(desk.intake.store, "4", report(Effusion=0.9))
    moment = desk.client.get("/api/v1/films?finding=Mass").get_json()["listed_at"]
    later = add(desk.intake.store, "5", report(Mass=0.9))
    address = f"/api/v1/films?finding=Mass&taken_before={moment}"
    told = [desk.client.delete(address).get_json() for _ in range(3)]
    assert [(len(each["deleted"]), each["left"]) for each in told] == [(2, 1), (1, 0), (0, 0)]
    assert {film["id"] for film in desk.films()} == {other, later}


NOW = "taken_before={now}"


@pytest.mark.parametrize(
    "asked",
    [
        "", "finding=Mass", "taken_before=&finding=Mass", "taken_before=nan&finding=Mass",
        "taken_before=2026-01-01&finding=Mass", "taken_before=9e9&finding=Mass", NOW, f"{NOW}&{NOW}&finding=Mass",
        f"{NOW}&findnig=Mass", f"{NOW}&patient=", f"{NOW}&finding=Mass&state=", f"{NOW}&all=no", f"{NOW}&all=",
        f"{NOW}&all=yes&finding=Mass",
    ],
)  # fmt: skip
def test_a_program_that_does_not_say_which_list_deletes_nothing(desk: Desk, asked: str) -> None:
    """An empty filter is one whose value a script had not."""
    add(desk.intake.store, "1", report(Mass=0.9))
    answer = desk.client.delete(f"/api/v1/films?{asked.format(now=time.time())}")
    assert (answer.status_code, len(answer.get_json()["error"]) > 20, len(desk.films())) == (400, True, 1)


def test_programs_delete_all_films_by_saying_so(desk: Desk) -> None:
    add(desk.intake.store, "1", report(Mass=0.9))
    for days_before_all, left in (("to=1969-12-31", 1), ("all=yes", 0)):
        answer = desk.client.delete(f"/api/v1/films?{days_before_all}&taken_before={time.time()}")
        assert (answer.status_code, len(desk.films())) == (200, left)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {},
        {"films": "all"},
        {"films": []},
        {"films": [1]},
        {"films": ["x"] * 501},
        {"film": ["x"]},
        {"films": ["\ud800"]},
    ],
)
def test_a_program_that_chooses_nonsense_deletes_nothing(desk: Desk, sent: Any) -> None:
    add(desk.intake.store, "1", report(Mass=0.9))
    answer = desk.client.post("/api/v1/films/delete", json=sent)
    assert (answer.status_code, len(answer.get_json()["error"]) > 20, len(desk.films())) == (400, True, 1)


def test_somebody_who_is_not_signed_in_acts_on_nothing(department: Department) -> None:
    add(department.intake.store, "a", report(Mass=0.9))
    form = {"action": "delete", "scope": "all", "list": "", "shown_at": "9e9"}
    assert post(department.client, "/films/chosen", **form).status_code == 401
    assert department.client.get("/api/v1/films.csv").status_code == 401
    assert len(department.client.get("/api/v1/films", headers=department.bearer()).get_json()["films"]) == 1
