"""How sure a probability is, and whose calibration it has, on the page and in JSON."""

import re
from pathlib import Path

import pytest

from cxr.errors import SettingError
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk
from tests.reading.test_site import site, write
from tests.reading.tiny import drawn_model, tiny_model

SENTENCE = "In brackets: where the probability would lie, 19 times of 20"


def _page(desk: Desk, link: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", desk.client.get(link).text).split())


def test_the_page_shows_the_interval_and_what_it_means(tmp_path: Path, film_png: bytes) -> None:
    model = drawn_model(tmp_path / "adults.onnx", "chestxray8", [-2.0, -3.0, *[0.0] * 6])
    with open_desk(tmp_path, Readers.find(Settings(precision="f32"), [model], shipped=None)) as desk:
        film = desk.api_upload("a.png", film_png).get_json()
        page = _page(desk, film["links"]["page"])
    assert film["findings"][0]["interval"] == pytest.approx([0.0847, 0.1652], abs=1e-3)
    assert "12 % (8 to 17)" in page
    assert "4.7 % (2.7 to 8.1)" in page
    assert page.count(SENTENCE) == 1


def test_the_page_of_classes_and_of_a_derived_task_shows_it_too(tmp_path: Path, film_png: bytes) -> None:
    model = drawn_model(tmp_path / "children.onnx", "pneumonia3", [0.0, 2.0, 1.0])
    with open_desk(tmp_path, Readers.find(Settings(precision="f32"), [model], shipped=None)) as desk:
        classes, derived = (
            _page(desk, desk.api_upload("a.png", film_png, task=task).get_json()["links"]["page"])
            for task in ("pneumonia3", "pneumonia")
        )
    assert "67 % (61 to 72)" in classes and SENTENCE in classes
    assert "76 % (73 to 78)" in derived and SENTENCE in derived


def test_a_model_without_draws_shows_no_interval(tmp_path: Path, film_png: bytes) -> None:
    model = tiny_model(tmp_path / "adults.onnx", "chestxray8", [-2.0] * 8)
    with open_desk(tmp_path, Readers.find(Settings(), [model], shipped=None)) as desk:
        film = desk.api_upload("a.png", film_png).get_json()
        page = _page(desk, film["links"]["page"])
    assert film["findings"][0]["interval"] is None and film["model"]["calibration"] is None
    assert "In brackets" not in page and " to " not in page.split("What an operating point means")[0].split("12 %")[1]
    assert "the model’s own, on its validation films" in page


def test_a_report_says_which_calibration_it_has(tmp_path: Path, film_png: bytes) -> None:
    model = tiny_model(tmp_path / "adults.onnx", "chestxray8", [0.0] * 8)
    settings = write(tmp_path / "site.json", site(model))
    with open_desk(tmp_path, Readers.find(settings, [model], shipped=None)) as desk:
        film = desk.api_upload("a.png", film_png).get_json()
        page = _page(desk, film["links"]["page"])
    assert film["model"]["calibration"] == {"date": "2025-03-04", "films": 120, "patients": 100, "labels": ["Mass"]}
    assert "this site’s own of 2025-03-04, on 120 films of 100 patients, for Mass" in page


def test_a_desk_does_not_start_with_the_calibration_of_another_model(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "adults.onnx", "chestxray8", [0.0] * 8)
    write(tmp_path / "site.json", site(model, sha256="ab" * 32))
    chosen = Settings(model=str(model), calibration=str(tmp_path / "site.json"))
    with pytest.raises(SettingError, match=r"site\.json was made for the model tiny"):
        Readers.find(chosen)
