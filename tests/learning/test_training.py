"""The loop: what it learns from, what it keeps, and how it goes on."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.errors import ModelFileError, TrainingError
from cxr.films.prepare import prepare
from cxr.learning import checkpoints
from cxr.learning.augment import AUGMENTATIONS
from cxr.learning.commands import run_test, run_train
from cxr.learning.datasets import PackedFilms
from cxr.learning.losses import bce
from cxr.learning.training import Run, _draw, _set_learning_rate, _step, prepared, train
from cxr.tasks import TASKS, Preprocessing, Recipe
from tests.learning.nets import tiny_net

RECIPE = Recipe(arch="efficientnet_b0", pooling="avg", size=32, epochs=2, batch=4, lr=1e-3, precision="f32")


@pytest.fixture
def films() -> PackedFilms:
    random = np.random.default_rng(0)
    labels = (np.arange(8)[:, None] % 4 == np.arange(14) % 4).astype(np.float32)
    labels[0] = 0
    return PackedFilms(random.integers(0, 255, (8, 256, 256), np.uint8), labels)


def _train(films: PackedFilms, out: Path, recipe: Recipe = RECIPE) -> checkpoints.Checkpoint:
    train(TASKS["chestxray14"], recipe, films, films, out, {"films": 8})
    return checkpoints.load(out / "last.safetensors")


def test_a_run_leaves_checkpoints_and_figures(films: PackedFilms, tmp_path: Path) -> None:
    last = _train(films, tmp_path)
    figures = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [f["epoch"] for f in figures] == [1, 2]
    assert all(math.isfinite(f["loss"]) for f in figures)
    assert last.recipe == RECIPE
    assert last.network().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 14)
    assert not list(tmp_path.glob(".*"))


def test_a_stopped_run_ends_as_an_undisturbed_one(
    films: PackedFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(films, tmp_path / "whole")
    real = checkpoints.save

    def save(file: Path, checkpoint: checkpoints.Checkpoint) -> None:
        real(file, checkpoint)
        if file.name == "last.safetensors" and checkpoint.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", save)
    with pytest.raises(KeyboardInterrupt):
        _train(films, tmp_path / "stopped")
    monkeypatch.setattr(checkpoints, "save", real)
    resumed = _train(films, tmp_path / "stopped")
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(whole.tensors[name], resumed.tensors[name]) for name in whole.tensors)


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
    run = Run(net, net, torch.optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(TrainingError, match="The loss is nan at step 7; lower --lr"):
        _step(run, RECIPE, torch.full((2, 1, 8, 8), torch.nan), torch.ones(2, 1), step=7)


def test_training_lowers_the_loss() -> None:
    net = tiny_net("lse", labels=1, dtype=torch.float32).train()
    run = Run(net, net, torch.optim.AdamW(net.parameters(), lr=0.01))
    x, y = torch.rand(8, 1, 8, 8), torch.tensor([[0.0], [1.0]] * 4)
    x[1::2, :, :4] += 1.0
    losses = [_step(run, RECIPE, x, y, step) for step in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_each_training_batch_differs_and_each_film_in_it() -> None:
    generator = torch.Generator().manual_seed(0)
    same = torch.rand(1, 1, 64, 64, generator=generator).expand(4, 1, 64, 64)
    first, second = (AUGMENTATIONS["standard"](same, 48, generator) for _ in range(2))
    assert first.shape == (4, 1, 48, 48)
    assert not torch.equal(first, second)
    assert all(not torch.equal(first[0], first[i]) for i in range(1, 4))
    assert first.min() >= 0
    assert first.max() <= 1


def test_augmentation_is_decided_by_the_generator() -> None:
    films = torch.rand(2, 1, 64, 64)
    one, same = (AUGMENTATIONS["standard"](films, 48, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, same)


def test_validation_films_are_prepared_as_in_serving_and_never_augmented(films: PackedFilms) -> None:
    how = Preprocessing(size=64)
    (batch,) = prepared(films, how)
    expected, _ = prepare(films.squares[5].astype(np.float32) / 255, how)
    np.testing.assert_array_equal(batch[5].numpy(), expected[0])


def test_an_epoch_draws_a_share_of_the_films_without_finding_and_mixes_them() -> None:
    labels = np.repeat([[0.0], [1.0]], 500, axis=0).astype(np.float32)
    films = PackedFilms(np.zeros((1000, 1, 1), np.uint8), labels)
    rows = _draw(films, Recipe(normal_share=0.4), torch.Generator().manual_seed(0))
    assert len(set(rows)) == len(rows) == 700
    assert (rows < 500).sum() == 200
    assert 0.2 < (rows[:350] < 500).mean() < 0.37  # both halves of the epoch hold both kinds


def test_the_learning_rate_rises_then_falls() -> None:
    net = tiny_net("avg")
    optimizer = torch.optim.SGD([{"params": net.parameters(), "peak_lr": 2.0}], lr=0.0)
    rates = []
    for done in (0.0, 0.05, 0.1, 0.55, 1.0):
        _set_learning_rate(optimizer, Recipe(warmup=0.1), done)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.01, 0.02])


def test_unknown_labels_do_not_count_in_the_loss() -> None:
    logits = torch.tensor([[0.0, 100.0]])
    assert bce(logits, torch.tensor([[1.0, torch.nan]])).item() == pytest.approx(math.log(2))


def test_train_and_test_from_the_command_line(
    nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--arch", "efficientnet_b0", "--size", "32", "--epochs", "1", "--batch", "6", "--val-share", "0.25"]
    paths = ["--data", str(nih_folder), "--out", str(run), "--cache", str(tmp_path / "cache")]
    assert run_train(["--task", "chestxray8", *paths, *flags]) == 0
    assert run_test([str(run), "--data", str(nih_folder), "--out", str(tmp_path / "report")]) == 0
    assert "8 films of 4 patients" in capsys.readouterr().out
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
