"""Which films the worklist shows, and in which order."""

import itertools
import math
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cxr.desk import worklist_rows
from cxr.desk.answers import new_answer
from cxr.desk.audit import Entry
from cxr.desk.site_settings_rows import RANKED_WITH, set_value
from cxr.desk.store import Store
from cxr.desk.tables import writing
from cxr.desk.worklist import Beside, Line, Neighbours, Wanted, page_query
from cxr.desk.worklist_patients import Pseudonyms
from cxr.desk.worklist_tables import SEARCH_LENGTH
from cxr.desk.worklist_urgency import WEIGHTS, rank_all, urgency_of
from cxr.errors import NotFound
from cxr.reading.reader import Reader
from tests.desk.desk import open_desk
from tests.desk.drawn_reports import add, report
from tests.desk.plans import plans, selects

pytestmark = pytest.mark.both_databases

ALL = 1000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Store]:
    """A second lies between two films."""
    clock = itertools.count(time.time())
    monkeypatch.setattr("cxr.desk.store.time.time", lambda: next(clock))
    made = Store(database_url or f"sqlite:///{tmp_path / 'desk.sqlite3'}", tmp_path)
    yield made
    made.close()


def _lines(store: Store, **wanted: object) -> list[Line]:
    return store.worklist.page(Wanted(**wanted), ALL).lines  # type: ignore[arg-type]


def _names(store: Store, **wanted: object) -> list[str]:
    return [line.film.name for line in _lines(store, **wanted)]


def _beside(store: Store, wanted: Wanted, film_id: str) -> tuple[str | None, str | None]:
    found = store.worklist.neighbours(wanted, film_id)
    return found.previous and found.previous.film_id, found.next and found.next.film_id


def _place(wanted: Wanted, line: Line) -> Beside:
    return Beside(line.film.id, wanted.cursor(line.place))


def test_the_most_urgent_film_comes_first_and_equal_ones_newest_first(store: Store) -> None:
    add(store, "nothing", report(Mass=0.1, Pneumothorax=0.2))
    add(store, "mass", report(Mass=0.9, Pneumothorax=0.2))
    add(store, "pneumothorax", report(Mass=0.1, Pneumothorax=0.6))
    add(store, "healthy", report(Mass=0.2))
    add(store, "refused", report(refused=True))
    add(store, "waiting")
    assert _names(store) == ["pneumothorax", "mass", "waiting", "refused", "healthy", "nothing"]
    assert [round(line.place.urgency, 3) for line in _lines(store)] == [6.0, 5.4, 2.0, 2.0, 0.0, 0.0]
    assert store.worklist.without_reading() == {"waiting": 1, "refused": 1}


def test_a_film_that_somebody_answered_comes_after_all_others_until_the_answer_is_withdrawn(store: Store) -> None:
    urgent = add(store, "urgent", report(Pneumothorax=0.9))
    add(store, "calm", report(Pneumothorax=0.1))
    store.answers.add(urgent, new_answer("Pneumothorax", "agree", by="Ann"))
    assert _names(store) == ["calm", "urgent"]
    assert [line.answered_by for line in _lines(store)] == [(), ("Ann",)]
    store.answers.add(urgent, new_answer("Pneumothorax", by="Ann"))
    assert _names(store) == ["urgent", "calm"]


def test_the_bar_of_a_line_has_its_middle_at_the_operating_point(store: Store) -> None:
    add(store, "at", report(Mass=0.5))
    add(store, "class", report("multiclass", viral=0.9, normal=0.1))
    at, classes = _lines(store, sort="date")[::-1]
    assert (at.bar, at.point, at.above) == (50.0, pytest.approx(0.5), ("Mass",))
    assert (classes.bar, classes.point, classes.above) == (None, None, ("viral",))


def test_each_filter_leaves_what_it_says(store: Store) -> None:
    one = add(store, "one", report(Mass=0.9, Effusion=0.8), patient="P-A", upload="first")
    add(store, "two", report(Mass=0.1), upload="second")
    add(store, "three", report(refused=True))
    add(store, "four")
    store.answers.add(one, new_answer("", text="Seen", by="Ann"))
    taken_in = {line.film.name: line.film.created_at for line in _lines(store)}
    expected: dict[tuple[str, object], list[str]] = {
        ("finding", "Effusion"): ["one"],
        ("finding", "Hernia"): [],
        ("state", "waiting"): ["four"],
        ("state", "read"): ["two", "one"],
        ("state", "refused"): ["three"],
        ("task", "covid3"): [],
        ("answered", "no"): ["four", "three", "two"],
        ("answered", "yes"): ["one"],
        ("answered", "by:Ann"): ["one"],
        ("answered", "by:Bob"): [],
        ("since", taken_in["three"]): ["four", "three"],
        ("until", taken_in["two"]): ["one"],
        ("patient", "P-A"): ["one"],
        ("upload", "second"): ["two"],
    }
    assert {each: _names(store, sort="date", **dict([each])) for each in expected} == expected
    assert [store.worklist.count(Wanted(**dict([each]))) for each in expected] == list(map(len, expected.values()))


def test_a_failed_film_and_one_that_is_read_anew_change_their_state(store: Store) -> None:
    failed, refused = add(store, "failed"), add(store, "refused", report(refused=True))
    claim = store.reopen(Entry("anna", "read anyway", refused), 60)
    assert {line.film.id for line in _lines(store, state="waiting")} == {failed, refused}
    store.fail(claim, "It failed.")
    assert _names(store, state="failed") == ["refused"]


def test_a_name_that_grows_when_it_is_normalised_is_stored_and_its_patient_is_found(store: Store) -> None:
    name = 200 * "\ufdfa"  # 18 letters each
    add(store, name, patient="P-ABCDE")
    assert _names(store, words=("p-abcde",)) == [name]
    assert len(_lines(store)[0].place.search) <= SEARCH_LENGTH


def test_a_search_finds_all_its_words_in_any_part_of_the_name(store: Store) -> None:
    add(store, "Ångström 50%_a.PNG")
    add(store, "chest_0042.png", patient="P-ABCDE")
    assert _names(store, words=("ångström", "png")) == ["Ångström 50%_a.PNG"]
    assert _names(store, words=("50%_",)) == ["Ångström 50%_a.PNG"]
    assert _names(store, words=("4%",)) == []
    assert _names(store, words=("p-abc", "chest")) == ["chest_0042.png"]
    assert _names(store, words=("unknown",), or_patient="P-ABCDE") == ["chest_0042.png"]


@pytest.mark.parametrize("sort", ["urgency", "date", "patient"])
def test_pages_show_each_film_once_and_the_way_through_them_is_their_order(store: Store, sort: str) -> None:
    for number in range(7):
        add(store, str(number), report(Mass=(number % 3) / 2.5), patient=f"P-{number % 2}", study=f"S-{number % 3}")
    wanted, seen, cursor = Wanted(sort=sort), [], ""
    while cursor is not None:
        page = store.worklist.page(wanted, 3, cursor)
        seen += [line.film.id for line in page.lines]
        cursor = page.next
    assert seen == [line.film.id for line in _lines(store, sort=sort)] and len(set(seen)) == 7
    beside = [_beside(store, wanted, film_id) for film_id in seen]
    assert beside == list(zip([None, *seen[:-1]], [*seen[1:], None], strict=True))


def test_films_of_a_patient_and_of_a_study_stand_together(store: Store) -> None:
    for name, patient, study in (("a", "P-1", "S-1"), ("b", "P-2", "S-1"), ("c", "", ""), ("d", "P-1", "S-2")):
        add(store, name, patient=patient, study=study)
    add(store, "e", patient="P-1", study="S-1")
    add(store, "f", patient="P-1", study="S-0")
    assert _names(store, sort="patient") == ["b", "f", "d", "e", "a", "c"]


def test_the_next_film_of_a_list_that_an_answer_left_is_still_known(store: Store) -> None:
    last, here, first = (add(store, name, report(Mass=p)) for name, p in (("c", 0.7), ("b", 0.8), ("a", 0.9)))
    wanted = Wanted(answered="no", sort="date")
    store.answers.add(here, new_answer("Mass", "agree"))
    assert _beside(store, wanted, here) == (first, last)


@pytest.mark.parametrize("filters", [{}, {"answered": "no"}, {"state": "read"}])
@pytest.mark.parametrize("sort", ["urgency", "date", "patient"])
def test_the_way_goes_on_from_where_one_was_when_the_film_was_answered_or_deleted(
    store: Store, sort: str, filters: dict[str, str]
) -> None:
    for number in range(6):
        add(store, str(number), report(Mass=0.5 + number / 20), patient=f"P-{number}")
    wanted = Wanted(sort=sort, **filters)
    lines = _lines(store, sort=sort)
    ids = [line.film.id for line in lines]
    for here in (1, 2):
        at = wanted.cursor(lines[here].place)
        store.answers.add(ids[here], new_answer("Mass", "agree", by="Ann"))
        assert store.worklist.neighbours(wanted, ids[here], at).next == _place(wanted, lines[here + 1])
    store.delete(Entry("anna", "delete", ids[3]))
    found = store.worklist.neighbours(wanted, ids[3], wanted.cursor(lines[3].place))
    assert found.next == _place(wanted, lines[4])
    assert store.worklist.neighbours(wanted, ids[3]) == Neighbours(None, None)


def test_weights_of_a_site_rank_all_films_anew_and_later_ones_too(store: Store) -> None:
    add(store, "mass", report(Mass=0.9, Hernia=0.1))
    add(store, "hernia", report(Mass=0.1, Hernia=0.9))
    with writing(store.engine) as session:
        rank_all(session)
        set_value(session, WEIGHTS, {"Hernia": 10, "Mass": 0}, 1.0)
        assert rank_all(session)
        assert not rank_all(session)
    add(store, "later", report(Mass=0.1, Hernia=0.95))
    assert _names(store) == ["later", "hernia", "mass"]


def test_one_film_ranks_as_all_are_ranked(store: Store) -> None:
    reports = [report(Mass=0.9, Pneumothorax=0.71), report(Hernia=0.8), report(Mass=0.1), report(refused=True), None]
    for number, read in enumerate(reports):
        add(store, str(number), read)
    one_by_one = {line.film.name: line.place.urgency for line in _lines(store)}
    with writing(store.engine) as session:
        set_value(session, RANKED_WITH, {}, 1.0)
        assert rank_all(session)
    assert {line.film.name: line.place.urgency for line in _lines(store)} == one_by_one
    assert len(set(one_by_one.values())) > 2


def test_a_film_that_is_finished_while_all_are_ranked_anew_ranks_by_the_new_weights(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> float:
        urgency = urgency_of(*given)
        ranked.set()
        assert go_on.wait(20)
        return urgency

    def new_weights() -> None:
        with writing(store.engine) as session:
            set_value(session, WEIGHTS, {"Mass": 1}, 1.0)
            assert rank_all(session)

    monkeypatch.setattr(worklist_rows, "urgency_of", slowly)
    with ThreadPoolExecutor(2) as threads:
        finished = threads.submit(add, store, "mass", report(Mass=0.9))
        assert ranked.wait(20)
        changed = threads.submit(new_weights)
        time.sleep(0.3)
        go_on.set()
        finished.result(20), changed.result(20)
    assert [line.place.urgency for line in _lines(store)] == [pytest.approx(0.9)]


@pytest.mark.parametrize(("wanted", "plan"), [
    ({}, ["SCAN worklist USING INDEX worklist_urgent"]),
    ({"sort": "date"}, ["SCAN worklist USING INDEX worklist_newest"]),
    ({"sort": "patient"}, ["SCAN worklist USING INDEX worklist_patients"]),
    ({"state": "read", "sort": "date"}, ["SEARCH worklist USING INDEX worklist_states (state=?)"]),
    ({"state": "read"}, ["SCAN worklist", "USE TEMP B-TREE FOR ORDER BY"]),
    ({"words": ("chest",)}, ["SCAN worklist", "USE TEMP B-TREE FOR ORDER BY"]),
    ({"words": ("a",), "state": "read", "answered": "no", "sort": "date", "since": 1.0},
     ["SCAN worklist", "USE TEMP B-TREE FOR ORDER BY"]),
    ({"since": 1.0, "task": "covid3", "sort": "patient"}, ["SCAN worklist", "USE TEMP B-TREE FOR ORDER BY"]),
])  # fmt: skip
def test_a_list_goes_by_the_index_of_its_order_or_takes_one_pass(
    tmp_path: Path, wanted: dict[str, Any], plan: list[str]
) -> None:
    sqlite = Store(f"sqlite:///{tmp_path / 'plans.sqlite3'}", tmp_path)
    text = page_query(Wanted(**wanted), 51).compile(sqlite.engine, compile_kwargs={"literal_binds": True}).string
    with sqlite.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}".replace("%", "%%")).all()
    sqlite.close()
    assert [row.detail for row in rows] == plan


AT_LARGE = re.compile("(SCAN|SEARCH) (films|reports)(?!.*(sqlite_autoindex|ix_films_upload))")  # not by their keys
LISTS = (
    "", "sort=date", "sort=patient", "finding=Mass", "state=read", "state=read&sort=date", "task=chestxray14",
    "answered=no", "answered=by:Ann", "from=2024-01-01", "patient=P-1", "upload=u",
)  # fmt: skip


def test_lists_reach_films_and_reports_by_their_keys_alone(tmp_path: Path, reader: Reader) -> None:
    """Those rows hold thumbnails and maps; a pass is taken over the narrow rows of the worklist."""
    with open_desk(tmp_path, reader) as desk:
        engine = desk.intake.store.engine
        film_id = add(desk.intake.store, "a", report(Mass=0.9))
        lists = [f"{page}{query}" for page in ("/films?", "/api/v1/films?totals=yes&") for query in LISTS]
        for address in (*lists, *(f"/films/{film_id}?{urlencode({'list': query})}" for query in LISTS)):
            with selects(engine) as sent:
                assert desk.client.get(address).status_code == 200
            steps = [step for plan in plans(engine, sent) for step in plan.split("; ")]
            assert len(steps) > 4 and not list(filter(AT_LARGE.match, steps)), address


@pytest.mark.parametrize("cursor", ["yesterday", "1.0", "1.0~2.0~a~b", "nan~a", f"{'9' * 400}~a", "1.0~a~"])
def test_a_cursor_that_is_none_is_not_found(store: Store, cursor: str) -> None:
    with pytest.raises(NotFound, match="no such page"):
        store.worklist.page(Wanted(sort="date"), 3, cursor)


@pytest.mark.parametrize("cursor", ["1e9~1~1~a", "99999999999~1~1~a", "1~1~1~\0", "1~1e400~1~a"])
def test_a_cursor_that_a_database_cannot_compare_is_not_found(store: Store, cursor: str) -> None:
    with pytest.raises(NotFound, match="no such page"):
        store.worklist.neighbours(Wanted(), "a", cursor)


def test_a_deleted_film_leaves_the_worklist(store: Store) -> None:
    film_id = add(store, "a", report(Mass=0.9))
    store.answers.add(film_id, new_answer("Mass", "agree", by="Ann"))
    store.delete(Entry("anna", "delete", film_id))
    assert (_names(store), store.worklist.answerers()) == ([], [])


def test_a_patient_id_leads_to_one_label_that_tells_nothing(store: Store, tmp_path: Path) -> None:
    labels, other = Pseudonyms(store.engine), Store(f"sqlite:///{tmp_path / 'other.sqlite3'}", tmp_path / "other")
    label = labels.patient("0042")
    assert label.startswith("P-") and len(label) == 12 and "0042" not in label
    assert labels.patient(" 0042\0") == label != labels.patient("0043")
    assert Pseudonyms(other.engine).patient("0042") != label
    assert (labels.patient(None), labels.patient("  ")) == ("", "")
    other.close()


def test_a_margin_is_in_log_odds(store: Store) -> None:
    add(store, "a", report(Mass=0.75))
    assert _lines(store)[0].place.margin == pytest.approx(math.log(3))
