"""The loop: packed films in, a run folder with `best.safetensors`, `last.safetensors` and `metrics.jsonl` out.

The learning rate follows from the step and every draw from (seed, epoch), so a run that was stopped goes on from
`last.safetensors` as if nothing had happened.
"""

import copy
import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cxr.errors import TrainingError
from cxr.films.prepare import fit_square, normalise
from cxr.learning import checkpoints
from cxr.learning.augment import AUGMENTATIONS
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
from cxr.learning.losses import LOSSES
from cxr.learning.models import FilmNet
from cxr.metrics import mean_auroc
from cxr.tasks import Preprocessing, Recipe, Task


@dataclass
class Run:
    """All that changes while training."""

    net: FilmNet
    average: FilmNet  # exponential moving average of `net`; the same object when the recipe keeps none
    optimizer: torch.optim.Optimizer
    epoch: int = 0  # finished
    best_auc: float = -math.inf


def train(
    task: Task,
    recipe: Recipe,
    films: PackedFilms,
    validation: PackedFilms,
    out: Path,
    record: dict[str, Any],
    start: Path | None = None,
) -> None:
    """Train until `recipe.epochs` are done, going on from `out/last.safetensors` where that exists.

    Raises:
        TrainingError: the loss is not a number, or the run in `out` is of another task or recipe.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = _start(task, recipe, start, device)
    if (out / "last.safetensors").exists():
        _resume(run, out, task, recipe)
    out.mkdir(parents=True, exist_ok=True)
    how = checkpoints.preprocessing(task, recipe)
    while run.epoch < recipe.epochs:
        began = time.monotonic()
        with torch.random.fork_rng():  # stochastic depth and dropout draw from the global generator
            torch.manual_seed(_epoch_seed(recipe, run.epoch))
            loss = _epoch(run, recipe, films, _at(how, recipe, run.epoch), device)
        run.epoch += 1
        auc = mean_auroc(predict(run.average, validation, _at(how, recipe, run.epoch - 1), device), validation.labels)
        _log(out, epoch=run.epoch, loss=loss, val_auc=auc, seconds=round(time.monotonic() - began))
        _keep(run, out, task, recipe, auc, record)


def predict(
    net: FilmNet, films: PackedFilms, how: Preprocessing, device: torch.device, batch: int = 64
) -> NDArray[np.float32]:
    """Logits (N, K) of packed films, prepared as in serving; never augmented."""
    net.eval()
    with torch.inference_mode(), autocast(device):
        return np.concatenate([net(x.to(device)).float().cpu().numpy() for x in prepared(films, how, batch)])


def prepared(films: PackedFilms, how: Preprocessing, batch: int = 64) -> Iterator[Tensor]:
    """Batches (n, C, S, S) of packed films, prepared as in serving; never augmented."""
    for begin in range(0, len(films), batch):
        squares = films.squares[begin : begin + batch].astype(np.float32) / 255
        small = np.stack([fit_square(square, how.size, how.fit)[0] for square in squares])
        yield torch.from_numpy(normalise(small, how)).contiguous(memory_format=torch.channels_last)


def _start(task: Task, recipe: Recipe, start: Path | None, device: torch.device) -> Run:
    net = checkpoints.network(task, recipe)
    if start is not None:
        net.load_start(start)
    net.freeze(recipe.frozen)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net) if recipe.ema else net
    return Run(net, average, torch.optim.AdamW(_parameter_groups(net, recipe)))


def _parameter_groups(net: FilmNet, recipe: Recipe) -> list[dict[str, Any]]:
    """New layers learn faster; norms and biases do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((net.is_new(name), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak_lr": recipe.lr * (recipe.new_layer_lr if new else 1.0),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (new, decays), parameters in groups.items()
    ]


def _epoch(run: Run, recipe: Recipe, films: PackedFilms, how: Preprocessing, device: torch.device) -> float:
    """One pass over the films; the mean loss."""
    generator = torch.Generator().manual_seed(_epoch_seed(recipe, run.epoch))
    order = _draw(films, recipe, generator)
    steps = math.ceil(len(order) / recipe.batch)
    losses = []
    run.net.train()
    progress = tqdm(_batches(films, order, recipe, how, generator), f"epoch {run.epoch + 1}", steps, unit="step")
    for step, (x, y) in enumerate(progress):
        _set_learning_rate(run.optimizer, recipe, (run.epoch * steps + step) / (recipe.epochs * steps))
        x = x.to(device, memory_format=torch.channels_last)
        losses.append(_step(run, recipe, x, y.to(device), run.epoch * steps + step))
        rate = recipe.batch * (progress.format_dict["rate"] or 0)
        progress.set_postfix(loss=f"{np.mean(losses[-100:]):.4f}", films_s=f"{rate:.0f}")
    return float(np.mean(losses))


def _epoch_seed(recipe: Recipe, epoch: int) -> int:
    return recipe.seed * 10_007 + epoch


def _draw(films: PackedFilms, recipe: Recipe, generator: torch.Generator) -> NDArray[np.intp]:
    """The rows of one epoch, in an order drawn anew; of the films without a finding only `recipe.normal_share`."""
    normal = np.flatnonzero(np.nansum(films.labels, axis=1) == 0)
    shuffled = normal[torch.randperm(len(normal), generator=generator).numpy()]
    left_out = shuffled[round(len(normal) * recipe.normal_share) :]
    kept = np.setdiff1d(np.arange(len(films)), left_out)
    return np.asarray(kept[torch.randperm(len(kept), generator=generator).numpy()])


def _at(how: Preprocessing, recipe: Recipe, epoch: int) -> Preprocessing:
    """Preprocessing of epoch 0, 1, ...: small films first."""
    return dataclasses.replace(how, size=recipe.small_size if epoch < recipe.small_epochs else recipe.size)


def _batches(
    films: PackedFilms, order: NDArray[np.intp], recipe: Recipe, how: Preprocessing, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented, normalised films (n, C, S, S) with labels (n, K)."""
    augment = AUGMENTATIONS[recipe.augment]
    for begin in range(0, len(order), recipe.batch):
        rows = np.sort(order[begin : begin + recipe.batch])  # sorted: the memory map is read forwards
        squares = torch.from_numpy(films.squares[rows].astype(np.float32) / 255)
        moved = augment(squares[:, None], how.size, generator)
        yield torch.from_numpy(normalise(moved[:, 0].numpy(), how)), torch.from_numpy(films.labels[rows])


def _step(run: Run, recipe: Recipe, x: Tensor, y: Tensor, step: int) -> float:
    with autocast(x.device, recipe.precision):
        features = run.net.features(x)
    loss = LOSSES[recipe.loss](run.net.head(features), y)
    if not torch.isfinite(loss):
        raise TrainingError(f"The loss is {loss.item()} at step {step}; lower --lr. The last checkpoint is intact.")
    run.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
    run.optimizer.step()
    if run.average is not run.net:
        _move_average(run.average, run.net, min(recipe.ema, (step + 1) / (step + 10)))
    return loss.item()


def _move_average(average: FilmNet, net: FilmNet, decay: float) -> None:
    """average <- decay * average + (1 - decay) * net, for weights and BatchNorm statistics alike."""
    with torch.no_grad():
        for kept, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)


def _set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, done: float) -> None:
    """Linear warm-up, then a half cosine down to one hundredth; `done` is the share of all steps."""
    if done < recipe.warmup:
        factor = done / recipe.warmup
    else:
        factor = 0.01 + 0.99 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup))) / 2
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """bf16 where it is fast. Without AMX a CPU emulates it: half the films a second of f32."""
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" or (precision == "auto" and fast))


def _log(out: Path, **figures: float) -> None:
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\n")
    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def _keep(run: Run, out: Path, task: Task, recipe: Recipe, auc: float, record: dict[str, Any]) -> None:
    """`best.safetensors`: the averaged weights alone. `last.safetensors`: all that resuming needs."""
    about = {**record, "val_auc": auc, "best_val_auc": max(auc, run.best_auc)}
    averaged = {f"model.{name}": t for name, t in run.average.state_dict().items()}
    if auc > run.best_auc:
        run.best_auc = auc
        checkpoints.save(out / "best.safetensors", Checkpoint(averaged, task.name, recipe, run.epoch, about))
    everything = {**averaged, **_optimizer_tensors(run.optimizer)}
    everything |= {f"net.{name}": t for name, t in run.net.state_dict().items()} if run.net is not run.average else {}
    checkpoints.save(out / "last.safetensors", Checkpoint(everything, task.name, recipe, run.epoch, about))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{index}.{name}": t for index, by_name in state.items() for name, t in by_name.items()}


def _resume(run: Run, out: Path, task: Task, recipe: Recipe) -> None:
    last = checkpoints.load(out / "last.safetensors")
    if last.task != task.name or last.recipe != recipe:
        raise TrainingError(f"{out.name}/ holds a run of {last.task} with another recipe; choose another --out.")
    run.average.load_state_dict(checkpoints.strip(last.tensors, "model."))
    if run.net is not run.average:
        run.net.load_state_dict(checkpoints.strip(last.tensors, "net."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoints.strip(last.tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": state, "param_groups": groups})
    run.epoch, run.best_auc = last.epoch, last.record["best_val_auc"]
    tqdm.write(f"resuming after epoch {run.epoch} (pid {os.getpid()})")
