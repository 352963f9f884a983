"""A desk that serves several tasks: which one reads a film, and what people are told."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cxr.desk.store import NewFilm, Store
from cxr.desk.tables import FilmRow, State
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk, sentence_of
from tests.reading.tiny import tiny_info, tiny_model, without_calibration, write_model

LONG_AGO_S = -1.0
VIRAL, HEALTHY = (0.0, 2.0, 1.0), (0.0, 0.0, 3.0)


def _readers(folder: Path, *, children: tuple[float, ...] | None = VIRAL) -> Readers:
    """Of adults' eight findings, and of a child's pneumonia where logits are given for it."""
    folder.mkdir(exist_ok=True)
    files = [tiny_model(folder / "adults.onnx", "chestxray8", [-9.0] * 8)]
    if children:
        files.append(tiny_model(folder / "children.onnx", "pneumonia3", children, (0.0, 2.0, 3.0)))
    return Readers.find(Settings(), files, shipped=None)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, _readers(tmp_path / "models"), heatmap_files=True) as desk:
        yield desk


@pytest.fixture
def healthy(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, _readers(tmp_path / "models", children=HEALTHY)) as desk:
        yield desk


def _leave_waiting(folder: Path, content: bytes, task: str, lease_s: float = LONG_AGO_S) -> str:
    """A film that a crashed desk took in and did not read, or that another one is reading."""
    folder.mkdir(exist_ok=True)
    store = Store(f"sqlite:///{folder / 'desk.sqlite3'}", folder)
    claim = store.add(content, NewFilm("child.png", "PNG", task, "upload", b"thumbnail", gradcam=False), lease_s)
    assert store.begin(claim, lease_s)
    store.close()
    return claim.film_id


def _page(desk: Desk, film: dict[str, Any], query: str = "") -> str:
    text = re.sub(r"<[^>]*>", " ", desk.client.get(film["links"]["page"] + query).text)
    return " ".join(text.split())


def test_the_upload_page_offers_each_task_with_its_title_and_for_whom_it_is(several: Desk) -> None:
    page = several.client.get("/").text
    assert re.findall(r'name="task" value="(\w+)" form="upload" (\w*)', page) == [
        ("chestxray8", "checked"), ("pneumonia3", ""), ("pneumonia", ""),
    ]  # fmt: skip
    assert "Adult chest film, eight findings" in page and "for children of one to five years" in page


def test_one_task_is_no_choice(desk: Desk) -> None:
    page = desk.client.get("/").text
    assert 'name="task"' not in page
    assert "fourteen findings" in page and "adults, frontal films" in page


@pytest.mark.parametrize(("task", "labels"), [("chestxray8", 8), ("pneumonia3", 3), ("pneumonia", 1)])
def test_a_film_is_read_for_the_task_that_the_form_or_the_program_names(
    several: Desk, film_png: bytes, task: str, labels: int
) -> None:
    sent = several.upload(("a.png", film_png), task=task)
    film = several.client.get(f"/api/v1{sent.location}").get_json()
    assert film["task"] == film["model"]["task"] == task
    assert len(film["findings"]) == labels
    assert several.api_upload("a.png", film_png, task=task).get_json()["findings"] == film["findings"]


def test_a_desk_holds_only_the_models_that_were_asked_for(several: Desk, film_png: bytes) -> None:
    assert [file.name for file in several.intake.readers._engines] == ["adults.onnx"]  # the default task's
    several.api_upload("a.png", film_png, task="pneumonia")
    several.api_upload("a.png", film_png, task="pneumonia3")
    assert [file.name for file in several.intake.readers._engines] == ["adults.onnx", "children.onnx"]


def test_a_film_without_a_task_is_read_for_the_default_one(several: Desk, film_png: bytes) -> None:
    assert several.api_upload("a.png", film_png).get_json()["task"] == "chestxray8"
    several.upload(("a.png", film_png))
    assert [film["task"] for film in several.films()] == ["chestxray8", "chestxray8"]


@pytest.mark.parametrize("task", ["covid3", "toothache", "", "x" * 5000, "\x00<b>"])
def test_a_task_that_is_not_served_is_refused_with_those_that_are(several: Desk, film_png: bytes, task: str) -> None:
    page, answer = several.upload(("a.png", film_png), task=task), several.api_upload("a.png", film_png, task=task)
    assert [page.status_code, answer.status_code] == [400, 400]
    assert answer.get_json()["error"].endswith("choose one of: chestxray8, pneumonia3, pneumonia.")
    assert "choose one of: chestxray8, pneumonia3, pneumonia." in sentence_of(page)
    assert len(answer.get_json()["error"]) < 300
    assert several.keeps_nothing()


def test_two_tasks_for_one_film_are_refused(several: Desk, film_png: bytes) -> None:
    answer = several.api_upload("a.png", film_png, task=["pneumonia3", "chestxray8"])  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert "the field task 2 times" in answer.get_json()["error"]


def test_the_page_of_a_multiclass_film_names_the_most_probable_class(several: Desk, film_png: bytes) -> None:
    film = several.api_upload("child.png", film_png, task="pneumonia3").get_json()
    shown = _page(several, film)
    assert "Most probable: Viral" in shown
    assert "bacterial, viral or none" in shown and "model for children of one to five years" in shown
    assert "above its operating point" not in shown and "rule a disease out" not in shown
    page = several.client.get(film["links"]["page"]).text
    assert page.count('class="badge above">most probable') == 1
    assert 'class="point"' not in page
    assert 'heatmaps/viral.png" alt' in page


def test_a_healthy_class_is_shown_without_an_alarm_and_without_its_map(healthy: Desk, film_png: bytes) -> None:
    film = healthy.api_upload("child.png", film_png, task="pneumonia3").get_json()
    shown, page = _page(healthy, film), healthy.client.get(film["links"]["page"]).text
    assert "Most probable: Normal" in shown and "does not rule a disease out" in shown
    assert 'class="badge below">most probable' in page and "badge above" not in page
    assert 'class="heatmap"' not in page
    assert [f["above"] for f in film["findings"]] == [False, False, True]


def test_the_list_says_the_task_and_what_is_most_probable(several: Desk, film_png: bytes) -> None:
    several.api_upload("child.png", film_png, task="pneumonia3")
    several.api_upload("adult.png", film_png)
    listed = " ".join(re.sub(r"<[^>]*>", " ", several.client.get("/films").text).split())
    assert "Most probable Viral 67 %" in listed
    assert "PNG · Child&#39;s pneumonia: bacterial, viral or none" in listed
    assert "PNG · Adult chest film, eight findings" in listed
    adult, child = several.films()
    assert (child["verdict"], child["findings_above"]) == ("Viral is most probable.", 1)
    assert (adult["verdict"], adult["findings_above"]) == ("No finding above its operating point.", 0)
    assert child["top"] == {"label": "viral", "probability": pytest.approx(0.665, abs=1e-3)}


def test_the_list_gives_no_alarm_for_a_healthy_class(healthy: Desk, film_png: bytes) -> None:
    healthy.api_upload("child.png", film_png, task="pneumonia3")
    (film,) = healthy.films()
    assert (film["verdict"], film["findings_above"]) == ("Normal is most probable.", 0)
    assert '<span class="badge below">Most probable</span>' in healthy.client.get("/films").text


def test_heat_map_files_have_the_labels_of_the_films_task(several: Desk, film_png: bytes) -> None:
    several.api_upload("child.png", film_png, task="pneumonia3")
    several.intake.write_heatmaps()
    assert {path.stem for path in several.heatmap_files()} == {"bacterial", "viral", "normal"}


def test_a_film_that_a_crash_left_is_read_for_its_own_task(several: Desk, film_png: bytes) -> None:
    film_id = _leave_waiting(several.folder / "instance", film_png, "pneumonia3")
    assert several.intake.pick_up() == 1
    film = several.client.get(f"/api/v1/films/{film_id}").get_json()
    assert (film["state"], film["model"]["task"]) == ("read", "pneumonia3")


def test_a_film_whose_task_is_gone_waits_says_so_and_is_read_when_its_model_is_back(
    tmp_path: Path, film_png: bytes
) -> None:
    film_id = _leave_waiting(tmp_path / "instance", film_png, "pneumonia3")
    other = _leave_waiting(tmp_path / "instance", film_png, "chestxray8")
    with open_desk(tmp_path, _readers(tmp_path / "models", children=None)) as desk:
        for _ in range(5):  # as often as it is tried, it counts for no attempt
            desk.intake.pick_up()
        assert desk.client.get(f"/api/v1/films/{other}").get_json()["state"] == "read"
        film = desk.client.get(f"/api/v1/films/{film_id}").get_json()
        assert film["state"] in (State.WAITING, State.READING)
        assert "waits for a model of the task pneumonia3" in film["error"]
        assert "waits for a model of the task pneumonia3" in sentence_of(desk.client.get(f"/films/{film_id}"))
        assert "waits for a model of the task pneumonia3" in desk.client.get("/films").text
        assert len(desk.stored_files()) == 1
    with open_desk(tmp_path, _readers(tmp_path / "models")) as desk:
        assert desk.intake.pick_up() == 1
        assert desk.client.get(f"/api/v1/films/{film_id}").get_json()["state"] == "read"


def test_a_film_whose_model_cannot_be_loaded_waits_and_keeps_no_other_from_being_read(
    tmp_path: Path, film_png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    film_id = _leave_waiting(tmp_path / "instance", film_png, "pneumonia3")
    other = _leave_waiting(tmp_path / "instance", film_png, "chestxray8")
    with open_desk(tmp_path, _readers(tmp_path / "models")) as desk:
        load = desk.intake.readers.of
        with mock.patch.object(desk.intake.readers, "of", lambda task: load(task) if task == "chestxray8" else 1 / 0):
            assert desk.intake.pick_up() == 1
        assert desk.intake.store.film(other).state == State.READ
        assert desk.intake.store.film(film_id).state == State.WAITING
        assert f"film {film_id} waits: its model cannot be loaded" in caplog.text


def test_a_film_that_another_desk_is_reading_is_not_called_unread(tmp_path: Path, film_png: bytes) -> None:
    film_id = _leave_waiting(tmp_path / "instance", film_png, "pneumonia3", lease_s=60)
    with open_desk(tmp_path, _readers(tmp_path / "models", children=None)) as desk:
        assert desk.client.get(f"/api/v1/films/{film_id}").get_json()["error"] is None
        assert "This film is being read" in desk.client.get(f"/films/{film_id}").text


def test_a_film_of_a_task_that_nobody_knows_any_more_gets_no_verdict(tmp_path: Path, film_png: bytes) -> None:
    with open_desk(tmp_path, _readers(tmp_path / "models")) as desk:
        film_id = desk.api_upload("child.png", film_png, task="pneumonia3").get_json()["id"]
        desk.intake.store._change({"task": "scurvy2"}, FilmRow.id == film_id)
        assert desk.films()[0]["verdict"] is None
        listed = desk.client.get("/films").text
        assert "above" not in listed.split('class="film-result"')[1] and ">Read</span>" in listed


def test_a_healthy_label_is_no_finding_above(tmp_path: Path, film_png: bytes) -> None:
    calm = tiny_model(tmp_path / "calm.onnx", "chexpert14", [3.0, *[-9.0] * 13])
    with open_desk(tmp_path, Readers.find(Settings(), [calm], shipped=None)) as desk:
        shown = _page(desk, desk.api_upload("a.png", film_png).get_json())
        assert "Only “No finding” above its operating point" in shown
    ill = tiny_model(tmp_path / "ill.onnx", "chexpert14", [3.0, 9.0, *[-9.0] * 12])
    with open_desk(tmp_path, Readers.find(Settings(), [ill], shipped=None)) as desk:
        shown = _page(desk, desk.api_upload("a.png", film_png).get_json())
        assert "1 of 13 findings above its operating point" in shown


def test_a_label_that_could_not_be_calibrated_is_shown_as_such_and_never_as_above(
    tmp_path: Path, film_png: bytes
) -> None:
    info = without_calibration(tiny_info("chestxray8"), "Mass")
    file = write_model(tmp_path / "eight.onnx", info, [-9.0, 2.0, *[9.0] * 6], [0.0] * 8)
    with open_desk(tmp_path, Readers.find(Settings(), [file], shipped=None)) as desk:
        film = desk.api_upload("a.png", film_png).get_json()
        mass = film["findings"][info.labels.index("Mass")]
        assert (mass["operating_point"], mass["above"], mass["interval"]) == (None, False, None)
        assert mass["probability"] == pytest.approx(0.99988, abs=1e-4)
        shown = _page(desk, film)
    assert "6 of 7 findings above their operating points" in shown
    assert (
        "Not calibrated, for lack of validation films: Mass." in shown
        and "Mass not calibrated no operating point" in shown
    )
    assert "Mass 100 % none, and not calibrated" in shown


def test_a_film_that_was_read_stays_readable_when_its_task_is_gone(tmp_path: Path, film_png: bytes) -> None:
    with open_desk(tmp_path, _readers(tmp_path / "models")) as desk:
        film = desk.api_upload("child.png", film_png, task="pneumonia3").get_json()
    with open_desk(tmp_path, _readers(tmp_path / "models", children=None)) as desk:
        assert "Most probable: Viral" in _page(desk, film)
        assert "Child&#39;s pneumonia: bacterial, viral or none" in desk.client.get("/films").text
        assert desk.films()[0]["verdict"] == "Viral is most probable."
        assert desk.client.get(f"/films/{film['id']}/heatmaps/viral.png").status_code == 200


def test_a_task_that_nobody_knows_any_more_is_listed_by_its_name(tmp_path: Path, film_png: bytes) -> None:
    film_id = _leave_waiting(tmp_path / "instance", film_png, "scurvy2")
    with open_desk(tmp_path, _readers(tmp_path / "models")) as desk:
        assert "scurvy2" in desk.client.get("/films").text
        assert "scurvy2" in sentence_of(desk.client.get(f"/films/{film_id}"))


def test_a_model_file_that_vanished_refuses_the_film_before_it_is_stored(several: Desk, film_png: bytes) -> None:
    (several.folder / "models" / "children.onnx").unlink()
    answer = several.api_upload("child.png", film_png, task="pneumonia3")
    assert answer.status_code == 500
    assert "The model file 'children.onnx' cannot be opened" in answer.get_json()["error"]
    assert several.keeps_nothing()
    assert several.api_upload("adult.png", film_png).status_code == 201


def test_the_script_of_the_upload_page_gets_the_verdict(several: Desk, film_png: bytes) -> None:
    form = {"csrf_token": several.token(), "task": "pneumonia3", "film": (io.BytesIO(film_png), "a.png")}
    outcome = several.client.post("/films", data=form, headers={"Accept": "application/json"}).get_json()
    assert outcome["films"][0]["verdict"] == "Viral is most probable."
    assert outcome["refused"] == []


def test_the_page_of_a_single_finding_names_it(several: Desk, film_png: bytes) -> None:
    film = several.api_upload("child.png", film_png, task="pneumonia").get_json()
    assert "Pneumonia above its operating point" in _page(several, film)
    assert "of 1 findings" not in _page(several, film)
    (finding,) = film["findings"]
    assert finding["probability"] == pytest.approx(1 - 0.2447, abs=1e-3)
    assert film["model"]["audience"].startswith("children")
