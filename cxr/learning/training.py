"""The loop: packed films in, a run folder with `best.safetensors`, `last.safetensors` and `metrics.jsonl` out.

The learning rate follows from the step, and every draw from (seed, epoch, step), so a run that was stopped at any step
goes on from `last.safetensors` to the same weights as if nothing had happened.
"""

import copy
import dataclasses
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.batches import Share, draw, generator, prepared, resident, steps_of, training_batch
from cxr.learning.budget import Budget, Pace, epoch_share
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import CPU, Place, autocast, chosen_precision
from cxr.learning.distillation import Teachers
from cxr.learning.losses import Loss, make_loss
from cxr.learning.models import FilmNet
from cxr.learning.schedule import begin_phase, rate_factor, set_learning_rate
from cxr.metrics import mean_auroc
from cxr.tasks import Preprocessing, Recipe, Task

SAVE_EVERY_S = 600.0  # a kill costs at most so much work


@dataclass
class Progress:
    """How far a run is; stored in `last.safetensors`."""

    epoch: int = 0  # finished
    step: int = 0  # done in the epoch that runs
    total: int = 0  # steps done in all epochs
    losses: float = 0.0  # sum over those steps
    best_auc: float = -math.inf
    stale: int = 0  # epochs since the best
    reductions: int = 0  # of the learning rate, by the plateau schedule
    spent_s: float = 0.0  # of a budget, over all calls
    share: float = 0.0  # of the schedule, by the time of a budget


@dataclass
class Run:
    """All that changes while training."""

    net: FilmNet
    average: FilmNet  # exponential moving average of `net`; the same object when the recipe keeps none
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # does nothing but for fp16
    progress: Progress = field(default_factory=Progress)
    pace: Pace | None = None  # within a budget


@dataclass(frozen=True)
class Bench:
    """What a run trains on, and where."""

    task: Task
    recipe: Recipe
    films: PackedFilms
    validation: PackedFilms
    out: Path
    record: dict[str, Any]  # goes into every checkpoint
    place: Place = CPU
    start: Path | None = None  # trained weights for the trunk
    weights: str | None = None  # torchvision's weights for the trunk
    teachers: Teachers | None = None  # trained networks that a film is learned from besides its labels
    compiled: bool = False  # by torch.compile
    tensorboard: bool = False  # write its files beside metrics.jsonl
    save_every_s: float = SAVE_EVERY_S
    budget: Budget | None = None  # wall-clock time in which to train

    def preprocessing(self, epoch: int) -> Preprocessing:
        """Of epoch 0, 1, ...: small films first."""
        how = checkpoints.preprocessing(self.task, self.recipe)
        return dataclasses.replace(how, size=self.recipe.small_size) if epoch < self.recipe.small_epochs else how


def train(bench: Bench) -> None:
    """Train until the recipe's epochs are done, going on from `out/last.safetensors` where that exists.

    A budget may end it before: when the whole of it is used, what there is of the last epoch counts as one; when only
    this call's time is, the run is saved as it is.

    Raises:
        TrainingError: the loss is not a number, memory or disk is full, the run in `out` has another recipe, or the
            budget leaves no time.
    """
    run = _start(bench)
    bench.out.mkdir(parents=True, exist_ok=True)
    recipe, progress = bench.recipe, run.progress
    held = resident(bench.films, bench.place.device)
    if bench.budget and _goes_on(run, recipe):
        run.pace = bench.budget.pace(progress.spent_s, progress.share)
    while _goes_on(run, recipe):
        began, first = time.monotonic(), progress.step
        if _begins_phase(progress, recipe):
            run.optimizer = begin_phase(run.net, recipe, progress.epoch)
        try:
            loss = _epoch(run, bench, held)
        except KeyboardInterrupt:
            _save_last(run, bench)
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise _no_memory(recipe) from error
        if run.pace and run.pace.call_is_over and not run.pace.is_over:
            _pause(run, run.pace, bench)
            return
        rate = (progress.step - first) * recipe.batch / (time.monotonic() - began)
        if _validates(run, recipe):
            _finish_epoch(run, bench, loss, rate)
        else:
            _next_epoch(progress)


def _goes_on(run: Run, recipe: Recipe) -> bool:
    progress = run.progress
    stale = bool(recipe.patience) and progress.stale >= recipe.patience
    return progress.epoch < recipe.epochs and not stale and not (run.pace and run.pace.is_over)


def _validates(run: Run, recipe: Recipe) -> bool:
    """Every epoch is validated, but within a budget only so many."""
    return run.pace is None or run.pace.validates() or run.progress.epoch + 1 == recipe.epochs


def _next_epoch(progress: Progress) -> None:
    progress.epoch, progress.step, progress.losses = progress.epoch + 1, 0, 0.0


def _pause(run: Run, pace: Pace, bench: Bench) -> None:
    _save_last(run, bench)
    if bench.place.writes:
        left_minutes = (pace.left_s - pace.elapsed_s) / 60
        tqdm.write(f"saved; the same command goes on, with {left_minutes:.1f} minutes of the budget left to train in")


def _finish_epoch(run: Run, bench: Bench, loss: float, rate: float) -> None:
    how = bench.preprocessing(run.progress.epoch)
    auc = mean_auroc(predict(run.average, bench.validation, how, bench.place), bench.validation.labels)
    progress = run.progress
    better = progress.best_auc == -math.inf or auc > progress.best_auc
    _next_epoch(progress)
    progress.stale = 0 if better else progress.stale + 1
    if better and not math.isnan(auc):
        progress.best_auc = auc
    if progress.stale and progress.stale % bench.recipe.plateau_patience == 0:
        progress.reductions += 1
    if bench.place.writes:
        _log(bench, epoch=progress.epoch, loss=loss, val_auc=auc, films_s=round(rate, 1))
        if better:
            _save(bench.out / "best.safetensors", run, bench, _named(run.average, "model."), val_auc=auc)
    _save_last(run, bench)


def predict(
    net: FilmNet, films: PackedFilms, how: Preprocessing, place: Place, precision: str = "auto"
) -> NDArray[np.float32]:
    """Logits (N, K) of packed films, prepared as in serving; never augmented. Every process does its share."""
    net.eval()
    mine = films.take(np.arange(place.rank, len(films), place.world)) if place.world > 1 else films
    with torch.inference_mode(), autocast(place.device, precision):
        logits = [net(x.to(place.device)).float().cpu().numpy() for x in prepared(mine, how)]
    return place.interleave(np.concatenate(logits))


def _start(bench: Bench) -> Run:
    net = checkpoints.network(bench.task, bench.recipe, bench.weights)
    if bench.start is not None:
        random = net.load_start(bench.start)
        if bench.place.writes:
            tqdm.write(f"{bench.start.name}: {len(random)} tensors are not in it and start at random")
    net = net.to(bench.place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = bench.out / "last.safetensors"
    checkpoint = checkpoints.load(last) if last.exists() else None
    epoch = checkpoint.record["progress"]["epoch"] if checkpoint else 0
    optimizer = begin_phase(net, bench.recipe, epoch)
    average = copy.deepcopy(net) if bench.recipe.ema else net
    precision = chosen_precision(bench.place.device, bench.recipe.precision)
    scaler = torch.amp.GradScaler(bench.place.device.type, enabled=precision == "fp16")
    run = Run(net, average, optimizer, scaler)
    if checkpoint:
        _resume(run, bench, checkpoint)
    return run


def _epoch(run: Run, bench: Bench, held: Tensor | None = None) -> float:
    """What is left of one pass over the films, or of the time; the mean loss of the steps of this pass.

    `held`: the training films in the memory of a GPU.
    """
    recipe, progress, place = bench.recipe, run.progress, bench.place
    steps = steps_of(draw(bench.films.labels, recipe, progress.epoch), recipe, Share(place.rank, place.world))
    how = bench.preprocessing(progress.epoch)
    loss = make_loss(recipe.loss, bench.films.labels, bench.task.kind, recipe.smoothing)
    model = _wrapped(run.net, bench)
    run.net.train()
    saved = time.monotonic()
    title = f"epoch {progress.epoch + 1}"
    bar = tqdm(total=len(steps), initial=progress.step, desc=title, unit="step", disable=not place.writes)
    with bar, torch.random.fork_rng():  # dropout and stochastic depth draw from the global generator
        for rows in steps[progress.step :]:
            share = epoch_share(recipe, progress.epoch, progress.step / len(steps), progress.share)
            set_learning_rate(run.optimizer, rate_factor(recipe, progress.epoch, share, progress.reductions))
            random = generator(recipe.seed, progress.epoch, progress.step, place.rank)
            torch.manual_seed(random.initial_seed())
            x, y = training_batch(bench.films, rows, recipe, how, random, held)
            x, y = x.to(place.device, memory_format=torch.channels_last), y.to(place.device)
            if bench.teachers:
                y = bench.teachers.blend(x, y, recipe.teacher_share)
            progress.losses += place.mean(_step(model, run, recipe, loss, x, y))
            progress.step += 1
            progress.total += 1
            _show(bar, progress, recipe)
            if time.monotonic() - saved > bench.save_every_s:
                _save_last(run, bench)
                saved = time.monotonic()
            if run.pace and _keep_time(run.pace, run.progress, bench, len(steps)):
                break
    return progress.losses / progress.step


def _keep_time(pace: Pace, progress: Progress, bench: Bench, steps: int) -> bool:
    """Within a budget: note what is spent of it; whether this call's time is over."""
    pace.tick(bench.place.mean(pace.clock_s()))
    progress.spent_s, progress.share = pace.spent_now_s(), pace.share_now()
    said = pace.forecast(bench.recipe.batch, steps)
    if said and bench.place.writes:
        tqdm.write(said)
    return pace.call_is_over


def _wrapped(net: FilmNet, bench: Bench) -> nn.Module:
    """What a step calls: the network, under torch.compile or torchrun a wrapper that shares its weights."""
    # dynamic=False: the shorter last step gets kernels of its own, instead of slower ones for any size for all steps.
    model: nn.Module = torch.compile(net, dynamic=False) if bench.compiled else net  # type: ignore[assignment]
    if bench.place.world > 1:
        model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=False)
    return model


def _step(model: nn.Module, run: Run, recipe: Recipe, loss: Loss, x: Tensor, y: Tensor) -> float:
    """Move the weights by one batch, in `recipe.accumulate` parts; its loss. Raises TrainingError when that is NaN."""
    total = 0.0
    run.optimizer.zero_grad()
    for part, truth in zip(x.chunk(recipe.accumulate), y.chunk(recipe.accumulate), strict=True):
        with autocast(x.device, recipe.precision):
            logits = model(part)
        share = loss(logits, truth) * (len(part) / len(x))
        run.scaler.scale(share).backward()
        total += share.item()
    if not math.isfinite(total):
        raise TrainingError(
            f"The loss is {total} at step {run.progress.step} of epoch {run.progress.epoch + 1}; lower --lr. "
            "The last checkpoint is intact."
        )
    run.scaler.unscale_(run.optimizer)
    if recipe.clip:
        nn.utils.clip_grad_norm_(run.net.parameters(), recipe.clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    _move_average(run, recipe)
    return total


def _move_average(run: Run, recipe: Recipe) -> None:
    """average <- decay * average + (1 - decay) * net, for weights and BatchNorm statistics alike.

    The decay rises over the first steps, so that the first weights are soon forgotten.
    """
    if run.average is run.net:
        return
    decay = min(recipe.ema, (run.progress.total + 1) / (run.progress.total + 10))
    with torch.no_grad():
        for kept, now in zip(run.average.state_dict().values(), run.net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)


def _show(bar: "tqdm[Any]", progress: Progress, recipe: Recipe) -> None:
    bar.update()
    rate = recipe.batch * (bar.format_dict["rate"] or 0)
    bar.set_postfix(loss=f"{progress.losses / progress.step:.4f}", films_s=f"{rate:.0f}")


def _log(bench: Bench, **figures: float) -> None:
    with (bench.out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\n")
    if bench.tensorboard:
        _log_to_tensorboard(bench.out, figures)
    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def _log_to_tensorboard(out: Path, figures: dict[str, float]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError("--tensorboard needs the package tensorboard; install it or leave the flag out.") from error
    with SummaryWriter(out) as writer:
        for name in ("loss", "val_auc"):
            writer.add_scalar(name, figures[name], int(figures["epoch"]))


def _no_memory(recipe: Recipe) -> TrainingError:
    return TrainingError(
        f"{recipe.batch} films of {recipe.size} px do not fit into memory; raise --accumulate or lower --batch."
    )


def _named(net: FilmNet, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in net.state_dict().items()}


def _save(file: Path, run: Run, bench: Bench, tensors: dict[str, Tensor], **figures: Any) -> None:
    record = {**bench.record, **figures, "progress": dataclasses.asdict(run.progress)}
    checkpoints.save(file, Checkpoint(tensors, bench.task.name, bench.recipe, run.progress.epoch, record))


def _save_last(run: Run, bench: Bench) -> None:
    """All that resuming needs: averaged weights, weights, optimizer, progress."""
    if not bench.place.writes:
        return
    state = run.optimizer.state_dict()["state"]
    everything = _named(run.average, "model.")
    everything |= {f"optimizer.{index}.{name}": t for index, by_name in state.items() for name, t in by_name.items()}
    if run.net is not run.average:
        everything |= _named(run.net, "net.")
    _save(bench.out / "last.safetensors", run, bench, everything, scaler=run.scaler.state_dict())


def _resume(run: Run, bench: Bench, last: Checkpoint) -> None:
    if last.task != bench.task.name or last.recipe != bench.recipe:
        raise TrainingError(f"{bench.out.name}/ holds a run of {last.task} with another recipe; choose another --out.")
    run.average.load_state_dict(checkpoints.strip(last.tensors, "model."))
    if run.net is not run.average:
        run.net.load_state_dict(checkpoints.strip(last.tensors, "net."))
    run.progress = Progress(**last.record["progress"])
    run.scaler.load_state_dict(last.record["scaler"])
    tqdm.write(f"resuming after epoch {run.progress.epoch}, step {run.progress.step}")
    if _begins_phase(run.progress, bench.recipe):
        return  # its optimizer is new
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoints.strip(last.tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    run.optimizer.load_state_dict({"state": state, "param_groups": run.optimizer.state_dict()["param_groups"]})


def _begins_phase(progress: Progress, recipe: Recipe) -> bool:
    return progress.step == 0 and progress.epoch == recipe.head_epochs > 0
