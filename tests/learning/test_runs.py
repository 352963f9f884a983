"""A run that is stopped: by Ctrl-C or otherwise, how it goes on, and when it does not."""

import dataclasses
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxr.errors import TrainingError
from cxr.learning import checkpoints, training
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import Place
from cxr.learning.models import FilmNet
from cxr.learning.runs import Bench, Progress, start
from cxr.learning.stopping import Stopped, ctrl_c_asks
from cxr.learning.training import train
from cxr.tasks import TASKS, Recipe
from tests.learning.nets import tiny_checkpoint

RECIPE = Recipe(arch="binarycnn", pooling="avg", size=32, epochs=2, batch=4, lr=1e-3, precision="f32")
RECORD = {
    "uncertain": "ignore",
    "init": None,
    "teachers": ["one.safetensors"],
    "fingerprints": {"training": "abc", "validation": "def"},
}


@pytest.fixture
def films() -> PackedFilms:
    random = np.random.default_rng(0)
    labels = (np.arange(8)[:, None] % 4 == np.arange(14) % 4).astype(np.float32)
    return PackedFilms(random.integers(0, 255, (8, 64, 64), np.uint8), labels)


@pytest.fixture(autouse=True)
def usual_ctrl_c() -> Iterator[None]:
    """Whoever runs the tests may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _bench(films: PackedFilms, out: Path, recipe: Recipe = RECIPE, **given: Any) -> Bench:
    return Bench(TASKS["chestxray14"], recipe, films, films, out, **{"record": RECORD, **given})


def _train(films: PackedFilms, out: Path, recipe: Recipe = RECIPE, **given: Any) -> checkpoints.Checkpoint:
    train(_bench(films, out, recipe, **given))
    return checkpoints.load(out / "last.safetensors")


# ---- Ctrl-C


def _handle_ctrl_c() -> None:
    """What Python calls when Ctrl-C is pressed."""
    handler = signal.getsignal(signal.SIGINT)
    assert callable(handler)
    handler(signal.SIGINT, None)


def _press_ctrl_c(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """In the midst of that step: the weights have moved, their average has not."""
    move, done = training._move_average, iter(range(1, 100))

    def move_average(*arguments: Any) -> None:
        if next(done) == step:
            for _ in range(times):
                _handle_ctrl_c()
        move(*arguments)

    monkeypatch.setattr(training, "_move_average", move_average)


@pytest.mark.parametrize("stop_at", range(1, 4))
def test_a_run_stopped_in_any_step_ends_as_an_undisturbed_one(
    stop_at: int, films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(RECIPE, head_epochs=1)
    whole = _train(films, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        _press_ctrl_c(patch, stop_at)
        with pytest.raises(Stopped, match="stopped and saved"):
            _train(films, tmp_path / "stopped", recipe)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert checkpoints.load(tmp_path / "stopped" / "last.safetensors").record["progress"]["total"] == stop_at
    resumed = _train(films, tmp_path / "stopped", recipe)
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(whole.tensors[name], resumed.tensors[name]) for name in whole.tensors)


def test_ctrl_c_pressed_twice_stops_at_once_and_saves_nothing(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _press_ctrl_c(monkeypatch, step=1, times=2)
    with pytest.raises(KeyboardInterrupt) as stop:
        _train(films, tmp_path)
    assert not isinstance(stop.value, Stopped)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_stays_as_it_is_in_other_threads_and_where_it_is_ignored() -> None:
    seen = []

    def look() -> None:
        with ctrl_c_asks():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    look()
    assert seen == [signal.default_int_handler, signal.SIG_IGN]


# ---- going on


CHANGES = {
    r"--lr 0\.001, and 1\.0 is given": {"recipe": dataclasses.replace(RECIPE, lr=1.0)},
    "--uncertain ignore, and ones is given": {"record": {**RECORD, "uncertain": "ones"}},
    r"--init or --pretrained none, and start\.st is given": {"record": {**RECORD, "init": "start.st"}},
    r"--teacher one\.safetensors, and none is given": {"record": {**RECORD, "teachers": []}},
    "training films have fingerprint abc, and xyz is given": {
        "record": {**RECORD, "fingerprints": {"training": "xyz"}}
    },
}


@pytest.mark.parametrize("said", CHANGES)
def test_another_run_is_not_gone_on_with(said: str, films: PackedFilms, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    _train(films, tmp_path / "run", recipe)
    given = {"recipe": recipe, **CHANGES[said]}
    if "--lr" in said:
        given["recipe"] = dataclasses.replace(recipe, lr=1.0)
    with pytest.raises(TrainingError, match=f"run/ holds a run with .*{said}; give .* or choose another --out"):
        start(_bench(films, tmp_path / "run", **given))


def test_a_record_of_an_earlier_version_says_less_and_goes_on(films: PackedFilms, tmp_path: Path) -> None:
    _train(films, tmp_path, record={"films": 8})
    assert start(_bench(films, tmp_path)).progress.epoch == 2
    assert Progress.from_record({"epoch": 3, "best_auc": 0.7}).phase_auc == 0.7


def test_a_run_goes_on_in_another_precision(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --precision auto a run moves from a bf16 GPU to an fp16 one, which scales its gradients."""
    assert _train(films, tmp_path).record["scaler"] == {}
    monkeypatch.setattr("cxr.learning.runs.chosen_precision", lambda *_: "fp16")
    assert start(_bench(films, tmp_path)).scaler.is_enabled()


def test_a_best_checkpoint_as_the_last_one_goes_on_with_a_new_optimizer(
    films: PackedFilms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(films, tmp_path, dataclasses.replace(RECIPE, epochs=1))
    shutil.copy(tmp_path / "best.safetensors", tmp_path / "last.safetensors")
    capsys.readouterr()
    run = start(_bench(films, tmp_path, dataclasses.replace(RECIPE, epochs=1)))
    printed = capsys.readouterr().out
    assert "last.safetensors has no weights but the averaged ones; these are trained on" in printed
    assert "last.safetensors has no state of the optimizer, which starts anew" in printed
    assert all(torch.equal(a, b) for a, b in zip(run.net.parameters(), run.average.parameters(), strict=True))


def test_a_checkpoint_that_is_of_no_run_is_one_sentence(films: PackedFilms, tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "last.safetensors", tiny_checkpoint("chestxray14"))
    with pytest.raises(TrainingError, match=r"last\.safetensors does not say how far its run is"):
        start(_bench(films, tmp_path))


def test_weights_of_another_network_are_one_sentence(films: PackedFilms, tmp_path: Path) -> None:
    last = _train(films, tmp_path, dataclasses.replace(RECIPE, epochs=1))
    wrong = dataclasses.replace(last, tensors={"model.odd": torch.zeros(1)})
    checkpoints.save(tmp_path / "last.safetensors", wrong)
    with pytest.raises(TrainingError, match=r"The weights in last\.safetensors are not those of binarycnn"):
        start(_bench(films, tmp_path, last.recipe))


def test_a_run_goes_on_without_its_starting_weights(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be out of reach by then: a notebook without internet, a file that was not copied."""
    _train(films, tmp_path)
    asked, network = [], checkpoints.network
    monkeypatch.setattr(checkpoints, "network", lambda *given: asked.append(given[2:]) or network(*given))
    monkeypatch.setattr(FilmNet, "load_start", lambda *_: pytest.fail("the starting file is read again"))
    start(_bench(films, tmp_path, start=tmp_path / "gone.safetensors", weights="DEFAULT"))
    assert asked == [()]


def test_one_process_alone_speaks(films: PackedFilms, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rank in (0, 1):
        _bench(films, tmp_path, place=Place(torch.device("cpu"), rank, world=2)).say("resuming")
    assert capsys.readouterr().out == "resuming\n"
