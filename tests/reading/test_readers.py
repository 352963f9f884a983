"""Several models in one process: which file serves which task, and what happens when one cannot."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxr.errors import BadRequest, ModelFileError, SettingError
from cxr.films.film import Film, Metadata
from cxr.reading import readers as readers_module
from cxr.reading.engine import Engine
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.phantom import draw_phantom
from tests.reading.tiny import tiny_model

FILM = Film(draw_phantom(128, 128), Metadata("PNG", 8))


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder of shipped models, of two tasks."""
    folder = tmp_path / "weights"
    folder.mkdir()
    tiny_model(folder / "chestxray14.onnx", "chestxray14", [0.0] * 14)
    tiny_model(folder / "a-covid3.onnx", "covid3", [0.0, 1.0, 0.0])
    return folder


@pytest.fixture
def children(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "children.onnx", "pneumonia3", [0.0, 0.0, 5.0])


def test_the_shipped_models_serve_their_tasks_and_chestxray14_is_the_default(shipped: Path) -> None:
    readers = Readers.find(Settings(), shipped=shipped)
    assert list(readers.tasks) == ["chestxray14", "covid3"]
    assert readers.default == "chestxray14"
    assert readers.of().info.name == "tiny chestxray14"
    assert readers.of("covid3").read(FILM).top().label == "pneumonia"


def test_the_project_itself_ships_the_default() -> None:
    assert Readers.find(Settings()).default == "chestxray14"


def test_a_setting_withholds_the_shipped_models_where_files_are_given(shipped: Path, children: Path) -> None:
    alone = Settings(shipped_models=False)
    assert list(Readers.find(alone, [children], shipped=shipped).tasks) == ["pneumonia3", "pneumonia"]
    named = Settings(shipped_models=False, model=str(children))
    assert list(Readers.find(named, shipped=shipped).tasks) == ["pneumonia3", "pneumonia"]
    assert set(Readers.find(alone, shipped=shipped).tasks) == {"chestxray14", "covid3"}


def test_a_given_model_replaces_the_shipped_one_of_its_task_and_becomes_the_default(
    shipped: Path, tmp_path: Path
) -> None:
    own = tiny_model(tmp_path / "own.onnx", "covid3", [9.0, 0.0, 0.0])
    readers = Readers.find(Settings(), [own], shipped=shipped)
    assert list(readers.tasks) == ["covid3", "chestxray14"]
    assert readers.of().read(FILM).top().label == "covid"


def test_a_model_file_that_is_another_one_than_at_the_start_is_refused(shipped: Path, children: Path) -> None:
    readers = Readers.find(Settings(), [children], shipped=shipped)
    tiny_model(children, "covid4", [0.0, 0.0, 0.0, 1.0])
    with pytest.raises(
        ModelFileError, match=r"children\.onnx was changed since the desk was started; restart the desk"
    ):
        readers.of("pneumonia3")


def test_the_setting_names_several_files(shipped: Path, children: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other.onnx", "covid4", [0.0, 0.0, 0.0, 1.0])
    settings = Settings(model=os.pathsep.join(map(str, (children, other))))
    readers = Readers.find(settings, shipped=shipped)
    assert readers.default == "pneumonia3"
    assert set(readers.tasks) == {"pneumonia3", "pneumonia", "covid4", "chestxray14", "covid3"}
    assert Reader.load(settings=settings).info.task == "pneumonia3"


def test_pneumonia_is_served_from_the_model_of_three_classes_with_one_engine(children: Path) -> None:
    readers = Readers.find(Settings(), [children], shipped=None)
    assert list(readers.tasks) == ["pneumonia3", "pneumonia"]
    healthy = readers.of("pneumonia").read(FILM)
    assert not healthy.alarms()
    assert readers.of("pneumonia3").read(FILM).finding("normal").probability == pytest.approx(
        1 - healthy.findings[0].probability, abs=1e-6
    )
    assert len(readers._engines) == 1


def test_a_model_of_pneumonia_itself_comes_before_the_derived_one(children: Path, tmp_path: Path) -> None:
    binary = tiny_model(tmp_path / "binary.onnx", "pneumonia", [4.0])
    readers = Readers.find(Settings(), [children, binary], shipped=None)
    assert readers.of("pneumonia").info.name == "tiny pneumonia"
    assert readers.of("pneumonia").read(FILM).alarms()


def test_an_unknown_task_is_refused_with_the_ones_served(shipped: Path) -> None:
    with pytest.raises(
        BadRequest,
        match="'toothache' here; give one with --model or CXR_MODEL, or choose one of: chestxray14, covid3",
    ):
        Readers.find(Settings(), shipped=shipped).of("toothache")


def test_two_given_models_of_one_task_are_both_named(children: Path, tmp_path: Path) -> None:
    second = tiny_model(tmp_path / "second.onnx", "pneumonia3", [0.0, 0.0, 0.0])
    with pytest.raises(SettingError, match=r"children\.onnx and .*second\.onnx are both models of the task pneumonia3"):
        Readers.find(Settings(), [children, second])


def test_one_file_given_twice_is_one_model(children: Path) -> None:
    assert Readers.find(Settings(), [children, children], shipped=None).default == "pneumonia3"


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_later_file_that_cannot_be_used_is_named_at_once(
    children: Path, tmp_path: Path, content: bytes | None
) -> None:
    broken = tmp_path / "broken.onnx"
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"broken\.onnx"):
        Readers.find(Settings(), [children, broken])


def test_operating_points_that_a_later_model_lacks_are_told_at_the_start(children: Path) -> None:
    with pytest.raises(SettingError, match="tiny pneumonia3 has no operating points 'guess'"):
        Readers.find(Settings(operating_point="guess"), [children], shipped=None)


def test_a_file_that_vanished_after_the_start_is_named(children: Path) -> None:
    readers = Readers.find(Settings(), [children], shipped=None)
    children.unlink()
    with pytest.raises(ModelFileError, match=r"The model file 'children\.onnx' cannot be opened"):
        readers.of()


@pytest.mark.parametrize(
    ("name", "why"), [("", "Is a directory"), ("long" * 100, "File name too long"), ("a.onnx", "No such file")]
)
def test_a_model_file_that_cannot_be_opened_is_named_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(ModelFileError, match=rf"The model file '{name}' cannot be opened \({why}"):
        Readers.find(Settings(), [Path(name)])


def test_no_model_at_all_is_a_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="give one with --model"):
        Readers.find(Settings(), shipped=tmp_path)


def test_an_engine_is_loaded_when_first_asked_for_and_only_once(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(file: Path, settings: Settings, *, throughput: bool) -> Engine:
        loaded.append(file.name)
        return Engine(file, settings, throughput=throughput)

    monkeypatch.setattr(readers_module, "Engine", load)
    readers = Readers.find(Settings(), shipped=shipped)
    assert loaded == []
    with ThreadPoolExecutor(4) as threads:
        asked = list(threads.map(readers.of, ["covid3"] * 8))
    assert loaded == ["a-covid3.onnx"]
    assert len(set(map(id, asked))) == 1
