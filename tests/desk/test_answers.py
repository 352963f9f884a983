"""What clinicians say of a film is kept beside the model's report, never in its place."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cxr.desk.answers import TEXT_LENGTH, Answer, latest
from cxr.desk.answers_views import FIELDS
from cxr.desk.instance import open_store
from cxr.desk.store import NewFilm, Store
from cxr.desk.worklist import Wanted
from cxr.errors import NotFound
from cxr.settings import Settings
from tests.desk.department import CLINICIAN, Department, post
from tests.desk.desk import Desk

pytestmark = pytest.mark.both_databases

NEW = NewFilm("a.png", "PNG", "chestxray14", "upload", b"thumbnail", gradcam=False)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[Store]:
    opened = open_store(Settings(instance_path=str(tmp_path), database_url=database_url))
    yield opened
    opened.close()


@pytest.fixture
def film(desk: Desk, film_png: bytes) -> dict[str, Any]:
    answer = desk.api_upload("chest.png", film_png).get_json()
    assert isinstance(answer, dict)
    return answer


def _post(desk: Desk, film: dict[str, Any], **fields: Any) -> Any:
    return desk.client.post(film["links"]["answers"], json=fields)


def _form(desk: Desk, film: dict[str, Any], **fields: str) -> Any:
    sent = {"csrf_token": desk.token(), **dict.fromkeys(FIELDS, ""), **fields}
    return desk.client.post(f"{film['links']['page']}/answers", data=sent)


def _told(answers: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(a["label"], a["verdict"], a["text"], a["by"]) for a in answers]


def test_an_answer_is_kept_and_the_report_stays_as_it_was(desk: Desk, film: dict[str, Any]) -> None:
    told = _post(desk, film, label="Effusion", verdict="disagree", text=" a fold of skin ", by="Dr A").get_json()
    assert _told(told["answers"]) == [("Effusion", "disagree", "a fold of skin", "Dr A")]
    assert told["answers"][0]["at"] == pytest.approx(time.time(), abs=60)
    assert desk.client.get(film["links"]["self"]).get_json() == film


def test_the_latest_answer_of_each_person_counts_and_the_history_is_kept(desk: Desk, film: dict[str, Any]) -> None:
    for by, verdict in (("A", "agree"), ("B", "unsure"), ("A", "disagree")):
        told = _post(desk, film, label="Mass", verdict=verdict, by=by).get_json()
    assert _told(told["answers"]) == [("Mass", "unsure", "", "B"), ("Mass", "disagree", "", "A")]
    assert [a["verdict"] for a in told["history"]] == ["agree", "unsure", "disagree"]
    assert desk.client.get(film["links"]["answers"]).get_json() == told


def test_a_second_click_adds_nothing(desk: Desk, film: dict[str, Any]) -> None:
    for _ in range(2):
        told = _post(desk, film, label="Mass", verdict="agree").get_json()
    assert len(told["history"]) == 1
    assert _post(desk, film, text="").get_json()["history"] == told["history"]  # nothing said, nothing withdrawn


def test_an_answer_can_be_withdrawn(desk: Desk, film: dict[str, Any]) -> None:
    _post(desk, film, label="Mass", verdict="agree")
    told = _post(desk, film, label="Mass").get_json()
    assert told["answers"] == [] and [a["verdict"] for a in told["history"]] == ["agree", None]


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"text": "x" * 1001}, 400, "The text has 1001 characters, the most is 1000"),
        ({"text": "x", "by": "x" * 81}, 400, "The name has 81 characters"),
        ({"label": "Mass", "verdict": "maybe"}, 400, "The verdict 'maybe' is none"),
        ({"verdict": "agree"}, 400, "A verdict needs a finding"),
        (
            {"label": "Broken_Heart", "verdict": "agree"},
            404,
            "no finding 'Broken_Heart' to answer; it has Atelectasis,",
        ),
        ({"label": ["Mass"]}, 400, "The field 'label' of an answer is no text"),
        ({"label": "Mass", "colour": "red"}, 400, "An answer has no field 'colour'"),
    ],
)
def test_an_answer_that_cannot_be_kept_is_told_why(
    desk: Desk, film: dict[str, Any], fields: dict[str, Any], status: int, sentence: str
) -> None:
    answer = _post(desk, film, **fields)
    assert answer.status_code == status
    assert sentence in answer.get_json()["error"]
    assert desk.client.get(film["links"]["answers"]).get_json() == {"answers": [], "history": []}


def test_what_is_no_json_object_is_refused(desk: Desk, film: dict[str, Any]) -> None:
    for body in (b"", b"[]", b"{", b'"agree"'):
        answer = desk.client.post(film["links"]["answers"], data=body, content_type="application/json")
        assert answer.status_code == 400 and "JSON object" in answer.get_json()["error"]


def _main(desk: Desk, address: str) -> str:
    """The page without its head, in which the themes have buttons of their own."""
    return str(desk.client.get(address).text.partition("<main")[2])


def test_a_form_without_a_script_leads_back_to_the_finding(desk: Desk, film: dict[str, Any]) -> None:
    answer = _form(desk, film, label="Effusion", verdict="agree", text="blunt\r\nangle", by="Dr A")
    assert (answer.status_code, answer.location) == (303, f"{film['links']['page']}?finding=Effusion")
    page = _main(desk, answer.location)
    assert page.count('aria-pressed="true"') == 1 and ">blunt\nangle</textarea>" in page
    assert '<span class="said">agree</span>' in page
    assert page.count('name="by" value="Dr A"') == 16  # fourteen findings, the film, and the name itself


def test_a_comment_of_lines_alone_is_as_long_in_a_form_as_in_json(desk: Desk, film: dict[str, Any]) -> None:
    text = "a" + "\r\n" * (TEXT_LENGTH - 2) + "b"
    assert _form(desk, film, text=text).status_code == 303
    (told,) = desk.client.get(film["links"]["answers"]).get_json()["answers"]
    assert told["text"] == text.replace("\r\n", "\n")
    assert "The text has 1001 characters" in unescape(_form(desk, film, text="x" * (TEXT_LENGTH + 1)).text)


def test_the_forms_need_their_token(desk: Desk, film: dict[str, Any]) -> None:
    answer = desk.client.post(f"{film['links']['page']}/answers", data={"label": "Mass", "verdict": "agree"})
    assert answer.status_code == 400


def test_another_person_sees_an_answer_as_somebody_elses(desk: Desk, film: dict[str, Any]) -> None:
    _form(desk, film, label="Effusion", verdict="agree", text=SCRIPT, by="Dr A")
    desk.client.post(f"{film['links']['page']}/answered-by", data={"csrf_token": desk.token(), "by": " Dr  B "})
    page = _main(desk, film["links"]["page"])
    assert 'aria-pressed="true"' not in page and '<span class="said">1 more</span>' in page
    assert f"Dr A (typed name): agree: “{SCRIPT}”" in unescape(page) and SCRIPT not in page
    assert 'name="by" value="Dr B"' in page


def test_those_who_give_no_name_are_told_apart_by_their_browsers(desk: Desk, film: dict[str, Any]) -> None:
    _form(desk, film, label="Mass", verdict="agree")
    desk.client = desk.app.test_client()
    assert 'aria-pressed="true"' not in _main(desk, f"{film['links']['page']}?finding=Mass")
    _form(desk, film, label="Mass", verdict="unsure")
    page = _main(desk, film["links"]["page"])
    assert page.count('aria-pressed="true"') == 1 and "Without a name: agree" in page
    told = desk.client.get(film["links"]["answers"]).get_json()["answers"]
    assert [(a["verdict"], a["signed_in"]) for a in told] == [("agree", False), ("unsure", False)]


def test_a_name_is_the_same_however_its_accents_are_coded(desk: Desk, film: dict[str, Any]) -> None:
    for by in ("Ren\u00e9", " Rene\u0301 "):
        told = _post(desk, film, label="Mass", verdict="agree", by=by).get_json()
    assert _told(told["history"]) == [("Mass", "agree", "", "Ren\u00e9")]


def test_an_account_is_never_taken_for_a_typed_name(department: Department, film_png: bytes) -> None:
    film = department.intake.take_in(film_png, "a.png", "upload")
    assert department.intake.store.answers.add(film, Answer("Mass", "disagree", by=CLINICIAN))
    address = f"/films/{film}/answers"
    post(department.clinician, address, label="Mass", verdict="agree", text="", by="somebody else")
    told = department.clinician.get(f"/api/v1{address}").get_json()["answers"]
    assert [(a["by"], a["verdict"], a["signed_in"]) for a in told] == [
        (CLINICIAN, "disagree", False), (CLINICIAN, "agree", True),
    ]  # fmt: skip
    page = department.clinician.get(f"/films/{film}?finding=Mass").text.partition("<main")[2]
    assert page.count('aria-pressed="true"') == 1 and f"{CLINICIAN} (typed name): disagree" in page
    page = department.admin.get(f"/films/{film}?finding=Mass").text
    assert f"<li>{CLINICIAN}: agree" in page


def test_text_is_cleaned_of_control_characters(desk: Desk, film: dict[str, Any]) -> None:
    told = _post(desk, film, text="a\x00b\r\nc\u202e\ud800", by="Dr\nA").get_json()
    assert _told(told["answers"]) == [(None, None, "ab\nc", "Dr\nA".replace("\n", " "))]


def test_answers_go_with_their_film(desk: Desk, film: dict[str, Any]) -> None:
    _post(desk, film, label="Mass", verdict="agree", text="secret words")
    desk.client.delete(film["links"]["self"])
    late = _post(desk, film, label="Mass", verdict="agree")
    assert late.status_code == 404 and "deleted" in late.get_json()["error"]
    assert desk.client.get(film["links"]["answers"]).status_code == 404
    assert desk.intake.store.answers.history(film["id"]) == []


def test_two_people_who_answer_at_once_both_keep_their_answers(store: Store) -> None:
    film_id = store.add(b"film", NEW, lease_s=60).film_id
    given = [Answer("Mass", verdict, by=by) for verdict in ("agree", "disagree") * 10 for by in ("A", "B")]
    with ThreadPoolExecutor(8) as people:
        assert all(people.map(lambda answer: store.answers.add(film_id, answer) is not None, given))
    history = store.answers.history(film_id)
    assert {a.by for a in latest(history)} == {"A", "B"}
    for by in ("A", "B"):  # no answer follows one that says the same
        verdicts = [a.verdict for a in history if a.by == by]
        assert all(one != other for one, other in pairwise(verdicts))


def test_clicks_of_many_at_once_on_one_answer_make_one_row(store: Store) -> None:
    film_id = store.add(b"film", NEW, lease_s=60).film_id
    with ThreadPoolExecutor(8) as people:
        added = list(people.map(lambda _: store.answers.add(film_id, Answer("Mass", "agree")), range(16)))
    assert sum(added) == 1


def test_an_answer_to_a_film_that_is_gone_is_not_kept(store: Store) -> None:
    with pytest.raises(NotFound, match="deleted meanwhile, so the answer was not saved"):
        store.answers.add("0" * 20, Answer("Mass", "agree"))


def test_a_database_from_before_there_were_answers_opens(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "desk.sqlite3")) as old:
        old.executescript(Path(__file__).with_name("first_release.sql").read_text())
    (tmp_path / "films" / "aa").mkdir(parents=True)
    (tmp_path / "films" / "aa" / "aa").write_bytes(b"film")
    store = Store(f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path)
    assert store.answers.add("f11a", Answer("Mass", "agree"))
    store.close()


def test_neighbours_follow_the_order_of_the_list(store: Store) -> None:
    oldest, middle, newest = (store.add(b"film", NEW, lease_s=60).film_id for _ in range(3))
    beside = [store.worklist.neighbours(Wanted(sort="date"), film_id) for film_id in (newest, middle, oldest)]
    ids = [(b.previous and b.previous.film_id, b.next and b.next.film_id) for b in beside]
    assert ids == [(None, middle), (newest, oldest), (middle, None)]
