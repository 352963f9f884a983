"""What the films of a desk amount to."""

import csv
import dataclasses
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from cxr.desk.migrations import scores as step
from cxr.desk.scores import ReadingModel, ScoresRow, unpacked
from cxr.desk.statistics import DAY_S, LookedAt, Opinion, agreement, reading_time, refusals, shares_above, volume
from cxr.desk.statistics_drift import Reference, drift, reference
from cxr.desk.storage import TOKEN
from cxr.desk.tables import reading
from cxr.modelfile import OperatingPoint
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk
from tests.desk.test_migrations import SINCE_0007, TABLES_OF_0007
from tests.desk.test_refused import NEGATIVE
from tests.phantom import phantom_png
from tests.reading.tiny import tiny_info, tiny_model

pytestmark = pytest.mark.both_databases

SAMPLE = Reference(films=100, thresholds=(0.2, 0.5), above=(40, 10))  # bins of 60, 30 and 10 films


def _seen(**given: Any) -> LookedAt:
    """Three films of one finding: read, refused, refused and read anyway."""
    usual = {
        "taken_at": np.array([0.5, 1.5, 1.6]) * DAY_S,
        "milliseconds": np.array([10.0, 30.0, np.nan]),
        "refused_for": ("", "inverted rotated", "inverted"),
        "is_read": np.array([True, False, True]),
        "scores": np.array([[0.1], [0.9]], np.float32),
        "labels": ("Mass",),
    }
    return LookedAt(**usual | given)


def test_films_are_counted_by_day() -> None:
    told = volume(_seen(), since=0, now=2.5 * DAY_S, unread={"waiting": 1, "reading": 1, "failed": 3})
    assert [(span.start / DAY_S, span.read, span.refused) for span in told.spans] == [(0, 1, 0), (1, 0, 2), (2, 0, 0)]
    assert (told.days, told.waiting, told.failed) == (1, 2, 3)


def test_a_long_time_is_told_by_weeks() -> None:
    told = volume(_seen(), since=0, now=100 * DAY_S, unread={})
    assert (told.days, len(told.spans), told.spans[0].read) == (7, 15, 1)


def test_reasons_of_refusals_are_counted() -> None:
    found = refusals(_seen())
    assert found.reasons == {"inverted": 2, "rotated": 1}
    assert (found.films, found.read_anyway) == (2, 1)


def test_reading_time_leaves_out_films_that_do_not_tell_it() -> None:
    found = reading_time(_seen())
    assert found and (found.films, found.median, found.p95) == (2, 20.0, 29.0)


def test_films_read_against_the_film_check_say_nothing_of_scores() -> None:
    np.testing.assert_allclose(_seen().accepted_scores, [[0.1]])


def test_the_share_above_stands_beside_that_of_the_sample() -> None:
    points = {"youden": {"Mass": OperatingPoint(0.2, 0.8, 0.7, 20)}}
    (found,) = shares_above(np.array([0.1, 0.2, 0.3, 0.4]), "Mass", points, SAMPLE)
    assert (found.above, found.films, found.sample_share) == (3, 4, 0.4)
    assert str(found.share) == "0.750 (0.301 to 0.954)"


def test_a_model_file_tells_how_many_films_of_its_sample_were_above() -> None:
    info = dataclasses.replace(
        tiny_info("pneumonia"),
        operating_points={"youden": {"pneumonia": OperatingPoint(0.3, 0.8, 0.75, 10)}},
        training={"recipe": {}, "films": {"validation": 50}},
    )
    assert reference(info, "pneumonia") == Reference(50, (0.3,), (8 + 10,))


def test_shares_that_are_none_of_so_many_films_are_no_sample() -> None:
    info = dataclasses.replace(
        tiny_info("pneumonia"),
        operating_points={"youden": {"pneumonia": OperatingPoint(0.3, 0.8, 0.75, 10)}},
        training={"recipe": {}, "films": {"validation": 51}},
    )
    assert reference(info, "pneumonia") is None


def test_the_shipped_model_tells_its_sample_of_all_findings(reader: Reader) -> None:
    found = {label: reference(reader.info, label) for label in reader.info.labels}
    assert {one.films for one in found.values() if one} == {1164}
    assert None not in found.values()


def test_scores_like_those_of_the_sample_do_not_drift() -> None:
    found = drift(np.repeat([0.1, 0.3, 0.6], [120, 60, 20]), SAMPLE)
    assert found and found.index < 0.001 < found.chance
    assert found.sentence.startswith("As in the calibration sample")


def test_scores_that_moved_drift() -> None:
    """By hand, of shares with half a film in each bin: 10.5, 60.5, 130.5 of 201.5; 60.5, 30.5, 10.5 of 101.5."""
    found = drift(np.repeat([0.1, 0.3, 0.6], [10, 60, 130]), SAMPLE)
    assert found and found.index == pytest.approx(2.3238, abs=1e-4)
    assert found.chance == pytest.approx((1 / 200 + 1 / 100) * 9.210)
    assert found.sentence.startswith("Very different")


def test_a_bin_with_few_films_of_the_sample_is_merged() -> None:
    found = drift(np.full(200, 0.1), Reference(films=100, thresholds=(0.2, 0.5), above=(40, 4)))
    assert found and found.edges == (0.2,)


def test_of_few_films_nothing_is_said() -> None:
    assert drift(np.full(99, 0.1), SAMPLE) is None


def test_agreement_is_told_apart_above_and_below() -> None:
    told = [Opinion("Mass", "agree", True), Opinion("Mass", "disagree", False), Opinion("Mass", "unsure", False)]
    found = agreement(told)
    assert found.above == {"agree": 1, "disagree": 0, "unsure": 0}
    assert found.below == {"agree": 0, "disagree": 1, "unsure": 1}
    assert found.agree and found.agree.value == 0.5
    assert agreement([]).agree is None


# --- at the desk ---


@pytest.fixture
def child(tmp_path: Path) -> Readers:
    """A model that finds each film viral, with a probability of 0.66."""
    return Readers.find(Settings(), [tiny_model(tmp_path / "t.onnx", "pneumonia3", [0.0, 2.0, 1.0])], shipped=None)


def _told(desk: Desk, **asked: str) -> Any:
    return desk.client.get("/api/v1/statistics", query_string=asked).get_json()


def _page(desk: Desk) -> str:
    return " ".join(desk.client.get("/statistics?days=all").text.split())


def _rows(desk: Desk) -> int:
    with reading(desk.intake.store.engine) as session:
        return session.scalar(select(func.count()).select_from(ScoresRow)) or 0


def test_before_the_first_film_there_is_nothing_to_count(desk: Desk) -> None:
    assert _told(desk)["figures"] is None
    assert "No film was read yet" in desk.client.get("/statistics").text
    assert desk.client.get("/statistics.csv").text == "figure,finding,detail,value,low,high,films\n"


def test_scores_are_those_of_the_report(desk: Desk, film_png: bytes) -> None:
    film = desk.api_upload("a.png", film_png).get_json()
    with reading(desk.intake.store.engine) as session:
        row = session.scalars(select(ScoresRow)).one()
        model = session.scalars(select(ReadingModel)).one()
    assert json.loads(model.labels) == [finding["label"] for finding in film["findings"]]
    told = [finding["probability"] for finding in film["findings"]]
    np.testing.assert_allclose(unpacked([row.scores], len(told))[0], told, rtol=1e-6)
    assert row.milliseconds == pytest.approx(sum(film["milliseconds"].values()))
    assert row.taken_at == film["created_at"]


def test_a_read_film_is_in_all_figures_and_a_deleted_one_in_none(tmp_path: Path, child: Readers) -> None:
    with open_desk(tmp_path, child) as desk:
        film = desk.api_upload("a.png", phantom_png(160)).get_json()
        desk.client.post(f"/api/v1/films/{film['id']}/answers", json={"label": "viral", "verdict": "agree"})
        told = _told(desk)
        desk.client.delete(f"/api/v1/films/{film['id']}")
        after, rows = _told(desk), _rows(desk)
    viral = told["figures"]["findings"][1]
    assert told["model"].startswith("pneumonia3:") and told["sample_known"]
    assert told["figures"]["volume"]["read"] == 1
    assert (viral["label"], viral["shares"][0]["above"], viral["drift"]) == ("viral", 1, None)
    assert viral["agreement"]["above"] == {"agree": 1, "disagree": 0, "unsure": 0}
    assert after["figures"]["volume"]["read"] == 0
    assert rows == 0


def test_a_film_that_was_refused_and_is_read_anyway_has_one_row(desk: Desk) -> None:
    film = desk.api_upload("negative.png", NEGATIVE).get_json()
    assert film["state"] == "refused"
    before = _told(desk)["figures"]
    desk.client.post(f"/api/v1/films/{film['id']}/read-anyway")
    after = _told(desk)["figures"]
    assert before["volume"] == after["volume"]
    assert (after["volume"]["read"], after["volume"]["refused"], _rows(desk)) == (0, 1, 1)
    assert "<dt>read</dt><dd>0</dd>" in desk.client.get("/statistics").text
    assert (before["refusals"]["read_anyway"], after["refusals"]["read_anyway"]) == (0, 1)
    assert after["refusals"]["reasons"]["inverted"] == 1
    assert [finding["shares"][0]["films"] for finding in after["findings"]] == [0] * 14


def test_only_the_latest_answer_of_a_person_counts(tmp_path: Path, child: Readers) -> None:
    with open_desk(tmp_path, child) as desk:
        film = desk.api_upload("a.png", phantom_png(160)).get_json()
        for by, verdict in (("a", "agree"), ("a", "disagree"), ("b", "unsure"), ("c", "agree"), ("c", "")):
            answer = {"label": "viral", "verdict": verdict, "by": by}
            desk.client.post(f"/api/v1/films/{film['id']}/answers", json=answer)
        viral = _told(desk)["figures"]["findings"][1]
    assert viral["agreement"]["above"] == {"agree": 0, "disagree": 1, "unsure": 1}


def test_the_table_has_a_figure_in_each_row(desk: Desk, film_png: bytes) -> None:
    desk.api_upload("a.png", film_png)
    rows = list(csv.DictReader(io.StringIO(desk.client.get("/api/v1/statistics.csv?days=7").text)))
    shares = [row for row in rows if (row["figure"], row["finding"]) == ("share above", "Effusion")]
    assert [row["films"] for row in shares] == ["1", "1164"] * 3
    assert {"films read", "reading time", "share above", "answers"} <= {row["figure"] for row in rows}


def test_the_page_tells_what_the_films_amount_to(desk: Desk, film_png: bytes) -> None:
    desk.api_upload("a.png", film_png)
    page = _page(desk)
    assert "<dt>read</dt><dd>1</dd>" in page
    assert "Nothing is said of any finding: that takes 100 films that were read" in page
    assert 'aria-label="Films by day: 1 read, 0 refused, at most 1 at once"' in page
    assert "style=" not in page


def test_shares_go_by_the_operating_points_that_the_settings_page_chose(desk: Desk, film_png: bytes) -> None:
    desk.api_upload("a.png", film_png)
    desk.client.put("/api/v1/settings", json={"operating_point": "sensitivity90"})
    assert "sensitivity 0.90, by which findings count as above" in _page(desk)


@pytest.mark.parametrize("asked", [
    {"days": "8"}, {"days": ""}, {"dayz": "7"}, {"days": ["7", "7"]}, {"model": "covid3"}, {"model": "<script>"},
])  # fmt: skip
def test_what_there_is_not_is_refused(desk: Desk, film_png: bytes, asked: dict[str, Any]) -> None:
    desk.api_upload("a.png", film_png)
    for path in ("/statistics", "/statistics.csv", "/api/v1/statistics"):
        answer = desk.client.get(path, query_string=asked)
        assert answer.status_code == (404 if "model" in asked else 400)
        assert "<script>" not in answer.text or answer.is_json


def test_scores_of_older_films_are_taken_from_their_reports(tmp_path: Path, reader: Reader, film_png: bytes) -> None:
    with open_desk(tmp_path, reader) as desk:
        for content in (NEGATIVE, film_png):
            desk.api_upload("a.png", content)
        before, told = _tables(desk), _told(desk)
    with closing(sqlite3.connect(tmp_path / "instance" / "desk.sqlite3")) as database:
        database.executescript(
            SINCE_0007
            + "".join(f"DROP TABLE {name};" for name in ("scores", "reading_models", *TABLES_OF_0007))
            + f"UPDATE alembic_version SET version_num = '{step.down_revision}';"
        )
    (tmp_path / "instance" / "films" / TOKEN).unlink()  # came with a later step, too
    with open_desk(tmp_path, reader) as desk:
        assert _tables(desk) == before
        assert _told(desk) == told


def _tables(desk: Desk) -> list[tuple[Any, ...]]:
    tables = (ReadingModel.__table__, ScoresRow.__table__)
    with desk.intake.store.engine.connect() as connection:
        return [
            tuple(row) for table in tables for row in connection.execute(select(table).order_by(*table.primary_key))
        ]


def test_a_model_file_that_is_served_no_more_keeps_its_figures(tmp_path: Path, child: Readers) -> None:
    with open_desk(tmp_path, child) as desk:
        desk.api_upload("a.png", phantom_png(160))
    other = tiny_model(tmp_path / "other.onnx", "pneumonia3", [0.0, 0.0, 1.0])
    with open_desk(tmp_path, Readers.find(Settings(), [other], shipped=None)) as desk:
        old = _told(desk)
        desk.api_upload("b.png", phantom_png(170))
        new = _told(desk)
        page = desk.client.get("/statistics", query_string={"model": old["model"]}).text
    assert (old["sample_known"], new["sample_known"]) == (False, True)
    assert len(new["models"]) == 2
    assert new["model"] != old["model"]
    assert "This model file is not served here now" in page
