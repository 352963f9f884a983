"""The models' pages: who reads here, and how good it is."""

from pathlib import Path

from cxr.cards.card import card_file
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.cards.measured import card_for
from tests.desk.desk import open_desk, sentence_of
from tests.phantom import phantom_png
from tests.reading.tiny import tiny_model


def children(folder: Path) -> Readers:
    return Readers.find(Settings(), [tiny_model(folder / "tiny.onnx", "pneumonia3", [0.0, 2.0, 1.0])], shipped=None)


def test_a_measured_model_is_shown_with_its_card(tmp_path: Path) -> None:
    readers = children(tmp_path)
    card_file(tmp_path / "tiny.onnx").write_text(card_for(readers.sha256_of("pneumonia3")).to_json())
    with open_desk(tmp_path, readers) as desk:
        listed, card = desk.client.get("/models").text, desk.client.get("/models/pneumonia3").text
        film = desk.api_upload("a.png", phantom_png(160), task="pneumonia3").get_json()
        page = desk.client.get(film["links"]["page"]).text
    assert "Mean AUROC 0.725 (0.700 to 0.750) on the test part, 40 films of 20 patients" in listed
    assert "not shown to be better than chance: Viral 0.550" in card
    assert '<a href="/models/pneumonia3">its model card</a>' in page


def test_a_model_without_a_card_or_with_a_wrong_one_says_so(tmp_path: Path) -> None:
    with open_desk(tmp_path, children(tmp_path)) as desk:
        assert "This model has no card" in desk.client.get("/models").text
        card_file(tmp_path / "tiny.onnx").write_text(card_for("cd" * 32).to_json())
        card = desk.client.get("/models/pneumonia3").text
    assert "tiny.card.json is the card of another model file (cdcdcdcdcdcd" in card
    assert "0.725" not in card


def test_a_task_that_another_model_answers_has_that_models_card(tmp_path: Path) -> None:
    with open_desk(tmp_path, children(tmp_path)) as desk:
        assert "read from the model of Child" in " ".join(desk.client.get("/models").text.split())
        assert "is read from this model" in desk.client.get("/models/pneumonia").text


def test_a_task_without_a_model_has_no_page(tmp_path: Path) -> None:
    with open_desk(tmp_path, children(tmp_path)) as desk:
        answer = desk.client.get("/models/covid3")
    assert answer.status_code == 404
    assert "There is no model of the task" in sentence_of(answer)
