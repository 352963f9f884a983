"""The loop: what it learns from, what it keeps, and what it judges by."""

import copy
import dataclasses
import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cxr.errors import ModelFileError, TrainingError
from cxr.films.prepare import prepare
from cxr.learning import checkpoints
from cxr.learning.commands import run_test, run_train
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import Place, autocast
from cxr.learning.losses import LOSSES
from cxr.learning.models import FilmNet
from cxr.learning.runs import Bench, Run
from cxr.learning.schedule import OPTIMIZERS, SCHEDULES, begin_phase, rate_factor, set_learning_rate
from cxr.learning.training import _step, predict, train
from cxr.tasks import NO_AUGMENTATION, TASKS, Preprocessing, Recipe
from tests.learning.nets import tiny_net

RECIPE = Recipe(arch="efficientnet_b0", pooling="avg", size=32, epochs=2, batch=4, lr=1e-3, precision="f32")
TINY = dataclasses.replace(RECIPE, arch="binarycnn")


@pytest.fixture
def films() -> PackedFilms:
    random = np.random.default_rng(0)
    labels = (np.arange(8)[:, None] % 4 == np.arange(14) % 4).astype(np.float32)
    labels[0] = 0
    return PackedFilms(random.integers(0, 255, (8, 256, 256), np.uint8), labels)


def _bench(films: PackedFilms, out: Path, recipe: Recipe = RECIPE, **flags: object) -> Bench:
    return Bench(TASKS["chestxray14"], recipe, films, films, out, {"films": 8}, **flags)


def _train(films: PackedFilms, out: Path, recipe: Recipe = RECIPE, **flags: object) -> checkpoints.Checkpoint:
    train(_bench(films, out, recipe, **flags))
    return checkpoints.load(out / "last.safetensors")


def test_a_run_leaves_checkpoints_and_figures(films: PackedFilms, tmp_path: Path) -> None:
    last = _train(films, tmp_path)
    figures = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [f["epoch"] for f in figures] == [1, 2]
    assert all(math.isfinite(f["loss"]) for f in figures)
    assert all(0 < f["waiting"] < 1 for f in figures)
    assert last.recipe == RECIPE
    assert last.network().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 14)
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelFileError, match=r"best\.safetensors is not a checkpoint of this project"):
        checkpoints.load(checkpoints.find(tmp_path))


def test_a_loss_that_is_not_a_number_stops_the_run() -> None:
    net = tiny_net("avg", labels=1, dtype=torch.float32)
    run = _tiny_run(net)
    run.progress.step = 7
    x = torch.full((2, 1, 8, 8), torch.nan)
    with pytest.raises(TrainingError, match="The loss is nan at step 7 of epoch 1; lower --lr"):
        _step(net, run, RECIPE, LOSSES["bce"](np.ones((2, 1))), x, torch.ones(2, 1))


def test_training_lowers_the_loss() -> None:
    net = tiny_net("lse", labels=1, dtype=torch.float32).train()
    run, loss = _tiny_run(net), LOSSES["bce"](np.ones((2, 1)))
    x, y = torch.rand(8, 1, 8, 8), torch.tensor([[0.0], [1.0]] * 4)
    x[1::2, :, :4] += 1.0
    losses = [_step(net, run, RECIPE, loss, x, y) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def _tiny_run(net: FilmNet) -> Run:
    return Run(net, net, torch.optim.AdamW(net.parameters(), lr=0.01), torch.amp.GradScaler("cpu", enabled=False))


def test_the_learning_rate_rises_then_falls() -> None:
    recipe = Recipe(epochs=10, warmup=0.1)
    factors = [
        rate_factor(recipe, epoch, share, 0) for epoch, share in ((0, 0.0), (0, 0.5), (1, 0.0), (5, 0.5), (9, 1.0))
    ]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.505, 0.01])


def test_the_plateau_schedule_lowers_the_rate_with_each_reduction() -> None:
    recipe = Recipe(schedule="plateau", warmup=0.0, plateau_factor=0.3)
    assert [rate_factor(recipe, 3, 0.0, n) for n in range(3)] == pytest.approx([1.0, 0.3, 0.09])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_and_schedule_moves_the_weights(optimizer: str, schedule: str) -> None:
    net, recipe = tiny_net("avg", dtype=torch.float32), Recipe(optimizer=optimizer, schedule=schedule, warmup=0.0)
    moving = begin_phase(net, recipe, epoch=0)
    assert {group["peak_lr"] for group in moving.param_groups} == {2e-4, 2e-3}
    run = Run(net, net, moving, torch.amp.GradScaler("cpu", enabled=False))
    before = copy.deepcopy(dict(net.named_parameters()))
    for epoch in range(2):
        set_learning_rate(moving, rate_factor(recipe, epoch, 0.0, reductions=0))
        _step(net, run, recipe, LOSSES["bce"](np.ones((2, 3))), torch.rand(2, 1, 8, 8), torch.ones(2, 3))
    assert [name for name, weight in net.named_parameters() if torch.equal(weight, before[name])] == []


def test_the_first_phase_moves_the_head_alone() -> None:
    net = tiny_net("avg", dtype=torch.float32)
    recipe = Recipe(head_epochs=1, head_lr=0.5)
    moving = [p for group in begin_phase(net, recipe, epoch=0).param_groups for p in group["params"]]
    assert {id(p) for p in moving} == {id(net.classifier.weight), id(net.classifier.bias)}
    assert net.trunk[0].weight.requires_grad is False
    begin_phase(net, recipe, epoch=1)
    assert net.trunk[0].weight.requires_grad is True


def test_a_run_stops_early_without_progress(films: PackedFilms, tmp_path: Path) -> None:
    nothing = dataclasses.replace(
        RECIPE, lr=0.0, new_layer_lr=0.0, epochs=9, patience=2, ema=0.0, frozen=8, augmentation=NO_AUGMENTATION
    )
    assert _train(films, tmp_path, nothing).epoch == 3


def test_train_and_test_from_the_command_line(
    nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--arch", "efficientnet_b0", "--size", "32", "--epochs", "1", "--batch", "6", "--val-share", "0.25"]
    paths = ["--data", str(nih_folder), "--out", str(run), "--cache", str(tmp_path / "cache")]
    assert run_train(["--task", "chestxray8", *paths, *flags]) == 0
    assert run_test([str(run), "--data", str(nih_folder), "--out", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "8 films of 4 patients" in printed
    lack = "for lack of validation films with it and without it"
    assert f"Not calibrated, and without operating points, {lack}: Atelectasis" in printed
    assert (
        f"calibrated on the validation films; {lack} not Atelectasis"
        in (tmp_path / "report" / "report.html").read_text()
    )
    figures = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert [f["label"] for f in figures["labels"]] == list(TASKS["chestxray8"].labels)
    assert figures["labels"][0]["auroc"]["value"] is None  # no film has Atelectasis
    assert figures["decisions"][0]["labels"][0]["threshold"] is None
    assert 0 <= figures["mean_auroc"]["value"] <= 1


PHASES = dataclasses.replace(TINY, head_epochs=3, epochs=7, patience=2, schedule="plateau", plateau_patience=1)


def test_a_better_first_phase_neither_stops_the_second_nor_lowers_its_rate(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs = iter([0.9, 0.8, 0.8, 0.5, 0.6, 0.7, 0.8])
    monkeypatch.setattr("cxr.learning.training._validation_auc", lambda *_: next(aucs))
    progress = _train(films, tmp_path, PHASES).record["progress"]
    assert (progress["epoch"], progress["stale"], progress["reductions"]) == (7, 0, 0)
    assert (progress["best_auc"], progress["phase_auc"]) == (0.9, 0.8)
    assert checkpoints.load(tmp_path / "best.safetensors").epoch == 1


def test_a_second_phase_without_progress_stops_by_itself(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs = iter([0.9, 0.8, 0.8, 0.5, 0.4, 0.4])
    monkeypatch.setattr("cxr.learning.training._validation_auc", lambda *_: next(aucs))
    progress = _train(films, tmp_path, PHASES).record["progress"]
    assert (progress["epoch"], progress["reductions"]) == (6, 2)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_an_epoch_is_judged_by_what_would_be_served(
    precision: str, films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probabilities, in the recipe's precision, of full-size films that nothing has changed."""
    judged: list[NDArray[np.float64]] = []
    monkeypatch.setattr("cxr.learning.training.mean_auroc", lambda scores, _: judged.append(scores) or 0.5)
    recipe = dataclasses.replace(TINY, epochs=1, small_epochs=1, small_size=64, precision=precision)
    classes = PackedFilms(films.squares, np.eye(3, dtype=np.float32)[np.arange(8) % 3])
    train(Bench(TASKS["pneumonia3"], recipe, classes, classes, tmp_path, {}))
    best = checkpoints.load(tmp_path / "best.safetensors")
    served = [prepare(square.astype(np.float32) / 255, best.preprocessing())[0] for square in films.squares]
    x = torch.from_numpy(np.concatenate(served)).contiguous(memory_format=torch.channels_last)
    net = best.network().eval().to(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        expected = torch.softmax(net(x).double(), 1)
    np.testing.assert_allclose(judged[0], expected, rtol=0, atol=1e-7)


def test_what_is_good_is_saved_before_it_is_logged(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cxr.learning.training._log", full)
    with pytest.raises(OSError, match="No space"):
        _train(films, tmp_path, TINY)
    assert checkpoints.load(tmp_path / "best.safetensors").epoch == 1
    assert checkpoints.load(tmp_path / "last.safetensors").epoch == 1


@dataclasses.dataclass(frozen=True)
class Lonely(Place):
    """One process of several, whose films are all that come back."""

    def interleave(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows


def test_a_process_may_have_no_film_to_validate(films: PackedFilms) -> None:
    two, place = films.take(np.arange(2)), Lonely(torch.device("cpu"), rank=2, world=3)
    net = checkpoints.network(TASKS["chestxray14"], TINY)
    assert predict(net, two, Preprocessing(size=32), place).shape == (0, 14)


def test_an_epoch_without_a_step_is_one_sentence(films: PackedFilms, tmp_path: Path) -> None:
    normal = PackedFilms(films.squares, np.zeros_like(films.labels))
    with pytest.raises(TrainingError, match=r"Epoch 1 draws 0 films for 1 processes; raise --limit or --normal-share"):
        _train(normal, tmp_path, dataclasses.replace(TINY, normal_share=0.0))


def test_only_the_generators_of_the_own_devices_are_kept(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a list of devices PyTorch warns where there are several GPUs."""
    asked: list[object] = []
    fork = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: asked.append(devices) or fork(devices))
    _train(films, tmp_path, dataclasses.replace(TINY, epochs=1))
    assert asked == [[], []]  # the network is built, an epoch trained
    assert Place(torch.device("cuda", 1)).gpus == [torch.device("cuda", 1)]


@pytest.mark.parametrize("door", [run_train, run_test])
def test_a_wrong_folder_ends_in_one_sentence(door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = ["--out", str(tmp_path / "run")] if door is run_train else [str(_csv(tmp_path))]
    assert door([*first, "--data", str(tmp_path / "nothing")]) == 1
    error = capsys.readouterr().err
    assert "There is no Data_Entry_2017*.csv" in error
    assert error.count("\n") == 1


def _csv(folder: Path) -> Path:
    file = folder / "answers.csv"
    file.write_text("film\n")
    return file
