"""Settings that admins make in the desk: they hold, everywhere, and what is wrong is refused."""

import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy.exc import OperationalError

from cxr.desk import site_settings
from cxr.desk.site_settings import SiteSettings
from cxr.desk.tables import writing
from cxr.errors import SettingError
from cxr.modelfile import Platt
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.department import ADMIN, Department, post, problem_of
from tests.desk.desk import Desk, open_desk
from tests.desk.drawn_reports import add, report
from tests.desk.site_calibrations import site_calibration
from tests.reading.tiny import tiny_model

pytestmark = pytest.mark.both_databases

PLAIN = {"default_task": "", "operating_point": "", "keep_days": "", "theme": "", "confirmed": ""}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process looks whenever it is asked."""
    monkeypatch.setattr(site_settings, "FRESH_S", 0.0)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Desk]:
    """A local desk with two models."""
    children = tiny_model(tmp_path / "children.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 0.0])
    with open_desk(tmp_path, Readers.find(Settings(), [children])) as opened:
        yield opened


def _put(desk: Desk, **settings: Any) -> Any:
    return desk.client.put("/api/v1/settings", json=settings).get_json()


def _send(desk: Desk, text: str) -> Any:
    form = {"csrf_token": desk.token(), "calibration": (io.BytesIO(text.encode()), "site.json")}
    return desk.client.post("/settings/calibration", data=form)


@pytest.fixture
def eight_days_old(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The desk has a film of eight days ago."""
    add(desk.intake.store, "old", report(Mass=0.9))
    in_8_days = time.time() + 8 * 86_400
    monkeypatch.setattr("cxr.desk.retention.time.time", lambda: in_8_days)


@pytest.mark.usefixtures("eight_days_old")
def test_programs_may_ask_how_many_films_a_shorter_retention_would_delete(desk: Desk) -> None:
    told = [desk.client.get(f"/api/v1/settings?keep_days={days}").get_json() for days in (7, 9, 0)]
    assert [(each["would_delete"], each["keep_days"]) for each in told] == [(1, 0), (0, 0), (0, 0)]
    for stray in ("keep_days=-1", "keep_days=99999", "keep_day=7"):
        assert desk.client.get(f"/api/v1/settings?{stray}").status_code == 400
    assert len(desk.films()) == 1


def test_settings_go_before_the_environment_and_can_be_taken_back(several: Desk) -> None:
    assert several.intake.readers.default == "pneumonia3"
    told = _put(several, default_task="chestxray14", operating_point="sensitivity90", keep_days=30, theme="dim")
    assert (told["keep_days"], told["set_here"]) == (
        30, ["default_task", "operating_point", "keep_days", "theme"],
    )  # fmt: skip
    assert several.intake.readers.of().identity.operating_points == "sensitivity90"
    page = several.client.get("/").text
    assert page.index('value="chestxray14"') < page.index('value="pneumonia3"') and 'data-theme="dim"' in page
    told = _put(several, default_task=None, operating_point=None, keep_days=None, theme=None)
    assert (told["default_task"], told["keep_days"], told["set_here"]) == ("pneumonia3", 0, [])


def test_a_film_that_was_read_keeps_its_points_and_one_engine_serves_both(desk: Desk, film_png: bytes) -> None:
    first = desk.api_upload("a.png", film_png).get_json()
    engine = desk.reader._engine
    _put(desk, operating_point="specificity90")
    second = desk.api_upload("b.png", film_png).get_json()
    points = [[f["operating_point"]["threshold"] for f in film["findings"]] for film in (first, second)]
    assert points[0] != points[1]
    assert desk.client.get(first["links"]["self"]).get_json()["findings"] == first["findings"]
    assert desk.reader._engine is engine


def test_a_change_holds_in_other_processes(desk: Desk, reader: Reader) -> None:
    other = SiteSettings(desk.intake.store.engine, Settings(keep_days=7), Readers.holding(reader))
    assert other.now.keep_days == 7
    _put(desk, keep_days=30)
    assert other.now.keep_days == 30
    _put(desk, keep_days=None)
    assert other.now.keep_days == 7


def test_a_change_is_seen_whatever_the_clock_says(desk: Desk, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.desk.site_settings.time.time", lambda: 1e9)
    other = SiteSettings(desk.intake.store.engine, Settings(), Readers.holding(reader))
    for days in (30, 40):
        _put(desk, keep_days=days)
        assert other.now.keep_days == days


def test_settings_of_a_database_that_does_not_answer_delete_nothing(
    desk: Desk, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(desk.intake.store, "old", report(Mass=0.9))
    _put(desk, keep_days=30)
    in_8_days = time.time() + 8 * 86_400
    monkeypatch.setattr("cxr.desk.retention.time.time", lambda: in_8_days)
    desk.intake.site = SiteSettings(desk.intake.store.engine, Settings(keep_days=7), Readers.holding(reader))
    with monkeypatch.context() as broken:
        broken.setattr(site_settings, "reading", mock.Mock(side_effect=OperationalError("", {}, Exception())))
        assert desk.intake.site.now.keep_days == 30
        with pytest.raises(OperationalError):
            desk.intake.sweep()
    desk.intake.sweep()
    assert len(desk.films()) == 1


def test_settings_are_told_while_a_change_waits_for_the_database(desk: Desk) -> None:
    site = desk.intake.site
    with ThreadPoolExecutor(2) as threads:
        with writing(site._engine):
            change = threads.submit(site.change, {"keep_days": 30})
            with pytest.raises(TimeoutError):
                change.result(0.3)
            assert threads.submit(lambda: site.now.keep_days).result(5) == 0
        change.result(30)
    assert site.now.keep_days == 30


@pytest.mark.usefixtures("eight_days_old")
def test_a_shorter_retention_says_how_many_films_would_go_and_waits_for_a_yes(desk: Desk) -> None:
    form = {"csrf_token": desk.token(), **PLAIN, "theme": "dim", "keep_days": "7"}
    asked = desk.client.post("/settings", data=form)
    assert "1 film is older than 7 days" in asked.text and _put(desk)["set_here"] == []
    question = asked.text.split("Delete 1 film?")[1].split("</form>")[0]
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', question))
    assert desk.client.post("/settings", data=form | {"confirmed": "6"}).status_code == 200
    assert "change settings" not in desk.client.get("/audit.csv").text
    assert desk.client.post("/settings", data=form | sent).status_code == 303
    assert _put(desk)["set_here"] == ["keep_days", "theme"]
    assert desk.client.post("/settings", data=form | {"keep_days": "9"}).status_code == 303


def test_weights_rank_the_films_that_are_there(desk: Desk) -> None:
    add(desk.intake.store, "mass", report(Mass=0.9))
    add(desk.intake.store, "hernia", report(Hernia=0.9))
    sent = dict.fromkeys(_put(desk)["urgency_weights"], 3) | {"Hernia": 10}
    answer = desk.client.post("/settings/weights", data={"csrf_token": desk.token(), **sent})
    assert answer.location == "/settings?saved=1"
    listed = desk.client.get("/api/v1/films?sort=urgency").get_json()["films"]
    assert [(film["name"], film["urgency"]) for film in listed] == [("hernia", 9.0), ("mass", 2.7)]


def test_each_change_stands_in_the_log_with_old_and_new(department: Department) -> None:
    assert post(department.admin, "/settings", **PLAIN | {"keep_days": "30", "theme": "dark"}).status_code == 303
    assert post(department.admin, "/settings", **PLAIN | {"keep_days": "30", "theme": "dark"}).status_code == 303
    weights = {"urgency_weights": {"Pneumothorax": 4}}
    department.client.put("/api/v1/settings", json=weights, headers=department.bearer(ADMIN))
    assert department.told(action="change settings") == [
        (ADMIN, "change settings", "keep_days: 0 -> 30"),
        (ADMIN, "change settings", "theme: system -> dark"),
        (ADMIN, "change settings", "weight of Pneumothorax: 10 -> 4"),
    ]


def test_a_calibration_for_this_model_is_used_and_removed(desk: Desk, film_png: bytes) -> None:
    assert _send(desk, site_calibration(desk.reader).to_json()).status_code == 303
    film = desk.api_upload("a.png", film_png).get_json()
    assert film["model"]["calibration"]["date"] == "2026-11-01"
    assert next(f for f in film["findings"] if f["label"] == "Mass")["above"]
    assert "on 120 films of 100 patients" in desk.client.get("/settings").text
    gone = "/settings/calibration/chestxray14/remove"
    assert desk.client.post(gone, data={"csrf_token": desk.token()}).status_code == 303
    assert desk.client.post(gone, data={"csrf_token": desk.token()}).status_code == 404
    assert desk.api_upload("b.png", film_png).get_json()["model"]["calibration"] is None


@pytest.mark.parametrize(("change", "sentence"), [
    ({"sha256": "00" * 32}, "made for the model model (SHA-256 000000000000), but chestxray14 is read here by another"),
    ({"task": "covid3"}, "calibrates the task 'covid3'; served are chestxray14"),
    ({"platt": {"Mass": Platt(-1.0, 0.0)}}, "slope of Mass is -1"),
])  # fmt: skip
def test_a_calibration_of_something_else_is_refused(desk: Desk, change: dict[str, Any], sentence: str) -> None:
    answer = _send(desk, site_calibration(desk.reader, **change).to_json())
    assert answer.status_code == 400 and sentence in problem_of(answer)
    assert _put(desk)["calibrations"] == {}


@pytest.mark.parametrize("text", ["", "{}", "[]", "no", "[" * 100_000, '{"schema": 1}'])
def test_what_is_no_calibration_is_refused(desk: Desk, text: str) -> None:
    assert _send(desk, text).status_code == 400
    assert desk.client.put("/api/v1/settings/calibration", data=text).status_code == 400


def test_a_calibration_that_is_too_large_is_not_parsed(desk: Desk) -> None:
    answer = desk.client.put("/api/v1/settings/calibration", data=" " * (3 * 2**20))
    assert (answer.status_code, "larger than 2 MiB" in answer.get_json()["error"]) == (400, True)


def test_a_desk_whose_model_was_exchanged_says_so_and_starts(tmp_path: Path, reader: Reader) -> None:
    with open_desk(tmp_path, reader) as desk:
        _send(desk, site_calibration(reader).to_json())
        _put(desk, keep_days=30)
    other = tiny_model(tmp_path / "other.onnx", "chestxray14", [1.0] * 14)
    with open_desk(tmp_path, Readers.find(Settings(), [other])) as desk:
        told = _put(desk)
        assert (told["keep_days"], "was made for the model" in told["trouble"]) == (30, True)
        assert "Some settings are passed over" in desk.client.get("/settings").text


@pytest.mark.parametrize("sent", [
    {"keep_days": -1}, {"keep_days": "30"}, {"keep_days": True}, {"keep_days": 10**9}, {"theme": "pink"},
    {"default_task": "toothache"}, {"default_task": ["chestxray14"]}, {"operating_point": "luck"},
    {"secret_key": "x"}, {"urgency_weights": {"Mass": 11}}, {"urgency_weights": {"Toothache": 1}},
    {"urgency_weights": [1]}, {"urgency_weights": {"Mass": 0.5}}, {"keep_days": 30, "theme": "pink"},
])  # fmt: skip
def test_a_wrong_setting_changes_nothing(desk: Desk, sent: dict[str, Any]) -> None:
    assert desk.client.put("/api/v1/settings", json=sent).status_code == 400
    assert _put(desk)["set_here"] == []


@pytest.mark.parametrize("fields", [
    {"keep_days": "x"}, {"keep_days": "1e3"}, {"keep_days": "9" * 2000}, {"theme": "<script>"},
    {"theme": ["dim", "dark"]}, {"extra": "1"}, {"csrf_token": "old"}, {"default_task": None},
])  # fmt: skip
def test_a_wrong_form_changes_nothing(desk: Desk, fields: dict[str, Any]) -> None:
    form = {"csrf_token": desk.token(), **PLAIN, "theme": "dim", **fields}
    answer = desk.client.post("/settings", data={name: value for name, value in form.items() if value is not None})
    assert answer.status_code == 400 and "<script>" not in answer.text.replace('<script type="module"', "")
    assert _put(desk)["set_here"] == []


def test_a_refused_form_keeps_what_was_typed(desk: Desk) -> None:
    fields = {**PLAIN, "theme": "dim", "keep_days": '99999"><script>'}
    page = desk.client.post("/settings", data={"csrf_token": desk.token(), **fields}).text
    assert 'value="99999&#34;&gt;&lt;script&gt;"' in page
    assert '<option value="dim" selected>' in page
    assert "The number of days that films are kept is no whole number" in page
    assert 'value="99999"' not in desk.client.get("/settings").text


def test_refused_weights_are_kept_as_they_were_typed(desk: Desk) -> None:
    typed = dict.fromkeys(_put(desk)["urgency_weights"], "3") | {"Hernia": "11", "Mass": '7"><script>'}
    answer = desk.client.post("/settings/weights", data={"csrf_token": desk.token(), **typed})
    assert answer.status_code == 400 and "The weight of Mass is no whole number" in problem_of(answer)
    kept = dict(re.findall(r'<input type="number" name="(\w+)".*? value="([^"]*)">', answer.text))
    assert {label: unescape(value) for label, value in kept.items()} == typed
    assert _put(desk)["set_here"] == []


def test_settings_are_for_admins(department: Department) -> None:
    bearer = department.bearer()
    assert department.clinician.get("/settings").status_code == 403
    assert post(department.clinician, "/settings", **PLAIN).status_code == 403
    assert department.client.get("/api/v1/settings", headers=bearer).status_code == 403
    assert department.client.put("/api/v1/settings", json={"keep_days": 1}, headers=bearer).status_code == 403
    assert department.admin.get("/settings").status_code == 200


def test_readers_cannot_be_adjusted_to_what_they_lack(reader: Reader) -> None:
    readers = Readers.holding(reader)
    with pytest.raises(SettingError, match="There is no model of the task 'covid3'"):
        readers.adjusted("covid3", "youden", {})
    with pytest.raises(SettingError, match="no operating points 'luck'"):
        readers.adjusted("chestxray14", "luck", {})


def test_the_json_of_a_calibration_is_kept_as_it_came(desk: Desk) -> None:
    text = site_calibration(desk.reader).to_json()
    answer = desk.client.put("/api/v1/settings/calibration", data=text, content_type="application/json").get_json()
    assert answer["calibrations"]["chestxray14"]["films"] == 120
    assert json.loads(desk.intake.site.now.stored["calibration:chestxray14"]) == json.loads(text)
    assert desk.client.delete("/api/v1/settings/calibration/chestxray14").status_code == 204
    assert desk.client.delete("/api/v1/settings/calibration/chestxray14").status_code == 404


def test_labels_of_one_name_are_told_apart_and_healthy_ones_have_no_weight(several: Desk) -> None:
    page = several.client.get("/settings").text
    assert "<span>Pneumonia (chestxray14)</span>" in page
    assert "<span>COVID-19</span>" in page
    assert 'name="normal"' not in page
