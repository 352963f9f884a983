"""What is deleted is gone: no byte of it is left in the instance folder."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cxr import cli
from cxr.desk.audit import Wanted
from cxr.desk.retention import expired
from cxr.desk.store import NewFilm
from cxr.desk.tables import FilmRow, State, writing
from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk

DAY_S = 86_400


@pytest.fixture
def keeper(tmp_path: Path, reader: Reader, database_url: str) -> Iterator[Desk]:
    """A desk that keeps films for 30 days."""
    with open_desk(tmp_path, reader, keep_days=30, heatmap_files=True, database_url=database_url) as opened:
        yield opened


def _age(desk: Desk, film_id: str, days: float) -> None:
    with writing(desk.intake.store.engine) as session:
        session.execute(sa.update(FilmRow).where(FilmRow.id == film_id).values(created_at=time.time() - days * DAY_S))


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.both_databases
def test_films_go_when_they_are_too_old_and_others_stay(keeper: Desk, film_png: bytes) -> None:
    old, young = (keeper.api_upload(name, film_png).get_json()["id"] for name in ("old.png", "young.png"))
    _age(keeper, old, 30.1)
    _age(keeper, young, 29.9)
    keeper.intake.sweep()
    assert [film["id"] for film in keeper.films()] == [young]
    assert ("(desk)", "expire", old) in [
        (row.person, row.action, row.film_id) for row in keeper.app.extensions["audit"].rows(Wanted())
    ]


@pytest.mark.both_databases
def test_films_are_kept_for_ever_without_the_setting(desk: Desk, film_png: bytes) -> None:
    _age(desk, desk.api_upload("old.png", film_png).get_json()["id"], 9999)
    desk.intake.sweep()
    assert len(desk.films()) == 1


@pytest.mark.both_databases
def test_a_film_that_is_being_read_stays_until_it_is_read(keeper: Desk, film_png: bytes) -> None:
    store = keeper.intake.store
    claim = store.add(film_png, NewFilm("a.png", "PNG", "chestxray14", "u", b"", gradcam=False), lease_s=60)
    assert store.begin(claim, 60)
    _age(keeper, claim.film_id, 31)
    keeper.intake.sweep()
    assert store.film(claim.film_id).state == State.READING
    store.fail(claim, "It could not be read.")
    keeper.intake.sweep()
    assert keeper.keeps_nothing()


@pytest.mark.parametrize("way", ["delete", "expire"])
def test_a_deleted_film_leaves_no_byte_behind(keeper: Desk, film_png: bytes, way: str) -> None:
    film = keeper.api_upload("Doe^Jane 1962.png", film_png).get_json()
    keeper.intake.write_heatmaps()
    row = keeper.intake.store.film(film["id"])
    assert row.report
    traces = {
        "film": film_png[100:164], "film's end": film_png[-64:], "name": b"Doe^Jane 1962", "hash": row.sha256.encode(),
        "thumbnail": keeper.intake.store.thumbnail(film["id"])[200:264], "report": row.report.json.encode()[100:164],
        "maps": row.report.maps[100:164],
    }  # fmt: skip
    assert [name for name, trace in traces.items() if trace not in _on_disk(keeper.folder)] == []
    if way == "delete":
        keeper.intake.delete(film["id"], "anna")
        keeper.intake.scrub()
    else:
        _age(keeper, film["id"], 31)
        keeper.intake.sweep()
    assert [name for name, trace in traces.items() if trace in _on_disk(keeper.folder)] == []
    assert keeper.heatmap_files() == []


def test_somebody_who_reads_meanwhile_puts_the_cleaning_off(keeper: Desk, film_png: bytes) -> None:
    film = keeper.api_upload("Doe^Jane.png", film_png).get_json()
    with keeper.intake.store.engine.connect() as other:
        other.execute(sa.text("SELECT count(*) FROM films"))
        keeper.intake.delete(film["id"], "anna")
        keeper.intake.scrub()
        assert b"Doe^Jane" in _on_disk(keeper.folder)
    keeper.intake.scrub()
    assert b"Doe^Jane" not in _on_disk(keeper.folder)


def test_the_command_says_what_would_go_and_then_deletes_it(
    keeper: Desk, film_png: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _age(keeper, keeper.api_upload("old.png", film_png).get_json()["id"], 31)
    monkeypatch.setenv("CXR_INSTANCE_PATH", str(keeper.folder / "instance"))
    assert cli.main(["retention"]) == 1
    assert "CXR_KEEP_DAYS is 0" in capsys.readouterr().err
    monkeypatch.setenv("CXR_KEEP_DAYS", "30")
    monkeypatch.setattr("cxr.desk.instance.HEATMAPS", keeper.folder / "gradcam")
    assert cli.main(["retention", "--dry-run"]) == 0
    assert capsys.readouterr().out == "1 films are older than 30 days.\n"
    assert len(expired(keeper.intake.store, 30)) == 1
    assert cli.main(["retention"]) == 0
    assert keeper.keeps_nothing()


def test_a_log_that_grew_is_cut_off_by_the_housekeeper(tmp_path: Path, reader: Reader, film_png: bytes) -> None:
    with open_desk(tmp_path, reader, housekeeping=True) as desk:
        desk.client.delete(desk.api_upload("Doe^Jane.png", film_png).get_json()["links"]["self"])
        deadline = time.monotonic() + 30
        while b"Doe^Jane" in _on_disk(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert b"Doe^Jane" not in _on_disk(tmp_path)
