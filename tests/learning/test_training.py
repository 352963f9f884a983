"""The loop: what it learns from, what it keeps, and how it goes on."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.errors import ModelFileError, TrainingError
from cxr.films.prepare import prepare
from cxr.learning import checkpoints
from cxr.learning.augment import augment, mixup
from cxr.learning.batches import Share, draw, generator, prepared, steps_of
from cxr.learning.commands import run_test, run_train
from cxr.learning.datasets import PackedFilms
from cxr.learning.losses import LOSSES, make_loss
from cxr.learning.models import FilmNet
from cxr.learning.schedule import OPTIMIZERS, SCHEDULES, begin_phase, rate_factor
from cxr.learning.training import Bench, Run, _step, train
from cxr.tasks import NO_AUGMENTATION, TASKS, Augmentation, Preprocessing, Recipe
from tests.learning.nets import tiny_net

RECIPE = Recipe(arch="efficientnet_b0", pooling="avg", size=32, epochs=2, batch=4, lr=1e-3, precision="f32")


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
    assert last.recipe == RECIPE
    assert last.network().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 14)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("stop_at", range(1, 4))
def test_a_run_stopped_at_any_step_ends_as_an_undisturbed_one(
    stop_at: int, films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(RECIPE, head_epochs=1)
    whole = _train(films, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        patch.setattr("cxr.learning.training._show", _interrupt_after(stop_at))
        with pytest.raises(KeyboardInterrupt):
            _train(films, tmp_path / "stopped", recipe)
    resumed = _train(films, tmp_path / "stopped", recipe)
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(whole.tensors[name], resumed.tensors[name]) for name in whole.tensors)


def _interrupt_after(steps: int) -> Callable[..., None]:
    done = iter(range(1, steps + 1))

    def show(*_: object) -> None:
        if next(done) == steps:
            raise KeyboardInterrupt

    return show


def test_a_run_of_another_recipe_is_not_continued(films: PackedFilms, tmp_path: Path) -> None:
    _train(films, tmp_path, dataclasses.replace(RECIPE, epochs=1))
    with pytest.raises(TrainingError, match="choose another --out"):
        _train(films, tmp_path, dataclasses.replace(RECIPE, epochs=1, lr=1.0))


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


def test_parts_of_a_step_give_the_gradient_of_the_whole(films: PackedFilms) -> None:
    x, y = torch.rand(4, 1, 8, 8), torch.ones(4, 1)
    moved = []
    for accumulate in (1, 2, 4):
        net = tiny_net("avg", labels=1, dtype=torch.float32).eval()
        recipe = dataclasses.replace(RECIPE, accumulate=accumulate, clip=0.0)
        run = Run(net, net, torch.optim.SGD(net.parameters(), lr=1.0), torch.amp.GradScaler("cpu", enabled=False))
        _step(net, run, recipe, LOSSES["bce"](np.ones((4, 1))), x, y)
        moved.append(net.classifier.weight.detach())
    torch.testing.assert_close(moved[0], moved[1])
    torch.testing.assert_close(moved[0], moved[2])


def test_each_training_batch_differs_and_each_film_in_it() -> None:
    random = torch.Generator().manual_seed(0)
    same = torch.rand(1, 1, 64, 64, generator=random).expand(4, 1, 64, 64)
    first, second = (augment(same, 48, Augmentation(), random) for _ in range(2))
    assert first.shape == (4, 1, 48, 48)
    assert not torch.equal(first, second)
    assert all(not torch.equal(first[0], first[i]) for i in range(1, 4))
    assert first.min() >= 0
    assert first.max() <= 1


def test_augmentation_is_decided_by_the_generator() -> None:
    films = torch.rand(2, 1, 64, 64)
    one, same = (augment(films, 48, Augmentation(), generator(5)) for _ in range(2))
    assert torch.equal(one, same)


def test_validation_films_are_prepared_as_in_serving_and_never_augmented(films: PackedFilms) -> None:
    how = Preprocessing(size=64)
    (batch,) = prepared(films, how)
    expected, _ = prepare(films.squares[5].astype(np.float32) / 255, how)
    np.testing.assert_array_equal(batch[5].numpy(), expected[0])


def test_without_augmentation_a_film_stays_as_it_is() -> None:
    film = torch.rand(2, 1, 32, 32).clamp(min=1e-4)
    torch.testing.assert_close(augment(film, 32, NO_AUGMENTATION, generator(0)), film, atol=1e-5, rtol=0)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Augmentation) if f.name != "mixup"])
def test_each_change_alone_changes_the_film(field: str) -> None:
    film = torch.rand(4, 1, 32, 32, generator=generator(1)).clamp(min=1e-4)
    how = dataclasses.replace(NO_AUGMENTATION, **{field: 0.9})
    assert (augment(film, 32, how, generator(0)) - film).abs().max() > 0.01


def test_mixup_blends_films_and_labels_by_the_same_share() -> None:
    films = torch.arange(4.0).view(4, 1, 1, 1)
    blended, labels = mixup(films, films.view(4, 1), alpha=1.0, generator=generator(0))
    torch.testing.assert_close(blended.view(4, 1), labels)
    assert not torch.equal(labels, films.view(4, 1))


def test_an_epoch_draws_a_share_of_the_films_without_finding_and_mixes_them() -> None:
    labels = np.repeat([[0.0], [1.0]], 500, axis=0).astype(np.float32)
    rows = draw(labels, Recipe(normal_share=0.4), epoch=0)
    assert len(set(rows)) == len(rows) == 700
    assert (rows < 500).sum() == 200
    assert 0.2 < (rows[:350] < 500).mean() < 0.37  # both halves of the epoch hold both kinds


def test_balanced_sampling_draws_each_class_alike() -> None:
    labels = np.zeros((1000, 2), np.float32)
    labels[:10, 0], labels[10:200, 1] = 1, 1
    rows = draw(labels, Recipe(sampling="balanced"), epoch=0)
    assert len(rows) == 1000
    counts = (rows < 10).sum(), ((rows >= 10) & (rows < 200)).sum(), (rows >= 200).sum()
    assert all(270 < count < 400 for count in counts)


def test_processes_share_each_step_without_overlap() -> None:
    order = np.arange(11)
    one, two = (steps_of(order, Recipe(batch=4), Share(rank, 2)) for rank in (0, 1))
    assert [rows.tolist() for rows in one] == [[0, 2], [4, 6], [8]]
    assert [rows.tolist() for rows in two] == [[1, 3], [5, 7], [9]]


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
    net = tiny_net("avg", dtype=torch.float32)
    moving = begin_phase(net, Recipe(optimizer=optimizer, schedule=schedule), epoch=0)
    assert {group["peak_lr"] for group in moving.param_groups} == {2e-4, 2e-3}


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


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_the_answer_gets_better(name: str) -> None:
    labels = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    kind = "multiclass" if "cross_entropy" in name else "multilabel"
    loss = make_loss(name, labels, kind)
    truth = torch.from_numpy(labels)
    right, wrong = (loss((truth * 2 - 1) * sign, truth).item() for sign in (3.0, -3.0))
    assert 0 <= right < 0.1 < wrong


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_not_known_does_not_count_in_any_loss(name: str) -> None:
    labels = np.array([[1, 0], [0, 1]], np.float32)
    loss = make_loss(name, labels, "multiclass" if "cross_entropy" in name else "multilabel")
    logits, truth = torch.tensor([[0.5, 1.0], [9.0, 9.0]]), torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    torch.testing.assert_close(loss(logits, truth), loss(logits[:1], truth[:1]))


def test_weighted_bce_gives_both_sides_of_a_label_the_same_weight() -> None:
    labels = np.array([[1], [0], [0], [0]], np.float32)
    loss = make_loss("weighted_bce", labels, "multilabel")
    # weights 4/2 and 4/6 on -log(0.5): (2 + 3 * 2/3) / 4 = 1
    assert loss(torch.zeros(4, 1), torch.from_numpy(labels)).item() == pytest.approx(math.log(2))


def test_focal_loss_at_even_odds_is_a_quarter_of_cross_entropy() -> None:
    assert make_loss("focal", np.ones((1, 1)), "multilabel")(
        torch.zeros(1, 1), torch.ones(1, 1)
    ).item() == pytest.approx(0.25 * math.log(2))


def test_label_smoothing_moves_labels_towards_the_middle() -> None:
    loss = make_loss("bce", np.ones((1, 1)), "multilabel", smoothing=0.2)
    expected = -(0.9 * math.log(1 / (1 + math.exp(-2))) + 0.1 * math.log(1 / (1 + math.exp(2))))
    assert loss(torch.tensor([[2.0]]), torch.ones(1, 1)).item() == pytest.approx(expected)


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
    assert "Not calibrated, and without operating points: The validation films are all alike in Atelectasis" in printed
    assert "not calibrated" in (tmp_path / "report" / "report.html").read_text()
    figures = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert [f["label"] for f in figures["labels"]] == list(TASKS["chestxray8"].labels)
    assert figures["labels"][0]["auroc"]["value"] is None  # no film has Atelectasis
    assert 0 <= figures["mean_auroc"]["value"] <= 1


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
