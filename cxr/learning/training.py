"""The loop: packed films in, a run folder with `best.safetensors`, `last.safetensors` and `metrics.jsonl` out.

The learning rate follows from the step, and every draw from (seed, epoch, step), so a run that was stopped at any step
goes on from `last.safetensors` to the same weights as if nothing had happened.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.batches import (
    Rows,
    Share,
    check_shares,
    draw,
    generator,
    prepared,
    resident,
    steps_of,
    training_batch,
)
from cxr.learning.budget import Pace, epoch_share
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import Place, autocast
from cxr.learning.losses import Loss, make_loss
from cxr.learning.models import FilmNet
from cxr.learning.runs import Bench, Progress, Run, save_best, save_last, start
from cxr.learning.schedule import begin_phase, begins_phase, rate_factor, set_learning_rate
from cxr.learning.stopping import Stopped, StopSign, ctrl_c_asks
from cxr.metrics import mean_auroc
from cxr.modelfile import KINDS
from cxr.tasks import Preprocessing, Recipe


def train(bench: Bench) -> None:
    """Train until the recipe's epochs are done, going on from `out/last.safetensors` where that exists.

    A budget may end it before: when the whole of it is used, what there is of the last epoch counts as one; when only
    this call's time is, the run is saved as it is.

    Raises:
        TrainingError: the loss is not a number, memory or disk is full, the run in `out` is another one, the films
            cannot be shared out among the processes, or the budget leaves no time.
        Stopped: by Ctrl-C, after the step that was being done; the run is saved.
    """
    check_shares(bench.recipe, bench.place.world)
    run = start(bench)
    bench.out.mkdir(parents=True, exist_ok=True)
    held = resident(bench.films, bench.place.device)
    if bench.budget and _goes_on(run, bench.recipe):
        run.pace = bench.budget.pace(run.progress.spent_s, run.progress.share, bench.place.mean)
    with ctrl_c_asks() as stop:
        while _goes_on(run, bench.recipe):
            _heed(stop, run, bench)
            if not _one_epoch(run, bench, stop, held):
                return


def _one_epoch(run: Run, bench: Bench, stop: StopSign, held: Tensor | None) -> bool:
    """Train for an epoch, or what is left of it, and finish it; False when the time of this call is over before."""
    recipe, progress = bench.recipe, run.progress
    began, first, run.waited_s = time.monotonic(), progress.step, 0.0
    if begins_phase(recipe, progress.epoch, progress.step):
        run.optimizer = begin_phase(run.net, recipe, progress.epoch)
        progress.begin_phase()
    try:
        loss = _epoch(run, bench, stop, held)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _no_memory(recipe) from error
    if run.pace and run.pace.call_is_over and not run.pace.is_over:
        _pause(run, run.pace, bench)
        return False
    took_s = time.monotonic() - began
    speed = {
        "films_s": round((progress.step - first) * recipe.batch / took_s, 1),
        "waiting": round(run.waited_s / took_s, 3),  # share of the time in which the network waits for films
    }
    if _validates(run, recipe):
        _finish_epoch(run, bench, loss, speed)
    else:
        progress.next_epoch()
    return True


def _heed(stop: StopSign, run: Run, bench: Bench) -> None:
    """Between two steps: save and stop where that is asked of any process."""
    if bench.place.any(stop.asked):
        save_last(run, bench)
        raise Stopped


def _goes_on(run: Run, recipe: Recipe) -> bool:
    progress = run.progress
    stale = bool(recipe.patience) and progress.stale >= recipe.patience
    stale = stale and not begins_phase(recipe, progress.epoch, progress.step)
    return progress.epoch < recipe.epochs and not stale and not (run.pace and run.pace.is_over)


def _validates(run: Run, recipe: Recipe) -> bool:
    """Every epoch is validated, but within a budget only so many."""
    return run.pace is None or run.pace.validates() or run.progress.epoch + 1 == recipe.epochs


def _pause(run: Run, pace: Pace, bench: Bench) -> None:
    save_last(run, bench)
    left_minutes = (pace.left_s - pace.elapsed_s) / 60
    bench.say(f"saved; the same command goes on, with {left_minutes:.1f} minutes of the budget left to train in")


def _finish_epoch(run: Run, bench: Bench, loss: float, speed: dict[str, float]) -> None:
    """Validate; keep the weights, and count the epoch for or against its phase; save, then log."""
    auc, progress = _validation_auc(run, bench), run.progress
    best = progress.best_auc == -math.inf or auc > progress.best_auc
    better = progress.phase_auc == -math.inf or auc > progress.phase_auc
    progress.next_epoch()
    progress.stale = 0 if better else progress.stale + 1
    if better and not math.isnan(auc):
        progress.phase_auc = auc
    if best and not math.isnan(auc):
        progress.best_auc = auc
    if progress.stale and progress.stale % bench.recipe.plateau_patience == 0:
        progress.reductions += 1
    if best:
        save_best(run, bench, auc)
    save_last(run, bench)
    if bench.place.writes:
        _log(bench, epoch=progress.epoch, loss=loss, val_auc=auc, **speed)


def _validation_auc(run: Run, bench: Bench) -> float:
    """Of what will be served: full-size films, the recipe's precision, probabilities, and one network.

    Each process has BatchNorm statistics of its own films; the first one's are those that are saved.
    """
    bench.place.spread(run.average.buffers())
    how = checkpoints.preprocessing(bench.task, bench.recipe)
    logits = predict(run.average, bench.validation, how, bench.place, bench.recipe.precision)
    return mean_auroc(KINDS[bench.task.kind](logits), bench.validation.labels)


def predict(
    net: FilmNet, films: PackedFilms, how: Preprocessing, place: Place, precision: str = "auto"
) -> NDArray[np.float32]:
    """Logits (N, K) of packed films, prepared as in serving; never augmented. Every process does its share."""
    net.eval()
    mine = films.take(np.arange(place.rank, len(films), place.world)) if place.world > 1 else films
    with torch.inference_mode(), autocast(place.device, precision):
        logits = [net(x.to(place.device)).float().cpu().numpy() for x in prepared(mine, how)]
    none = np.empty((0, films.labels.shape[1]), np.float32)  # all that a process has where films are few
    return place.interleave(np.concatenate([none, *logits]))


def _epoch(run: Run, bench: Bench, stop: StopSign, held: Tensor | None = None) -> float:
    """What is left of one pass over the films, or of the time; the mean loss of the steps of this pass.

    `held`: the training films in the memory of a GPU.
    """
    recipe, progress, place = bench.recipe, run.progress, bench.place
    steps = _steps(bench, progress.epoch)
    how = bench.preprocessing(progress.epoch)
    loss = make_loss(recipe.loss, bench.films.labels, bench.task.kind, recipe.smoothing)
    model = _wrapped(run.net, bench)
    run.net.train()
    saved = time.monotonic()
    title = f"epoch {progress.epoch + 1}"
    bar = tqdm(total=len(steps), initial=progress.step, desc=title, unit="step", disable=not place.writes)
    with bar, torch.random.fork_rng(devices=place.gpus):  # dropout and stochastic depth draw from the global generator
        for rows in steps[progress.step :]:
            share = epoch_share(recipe, progress.epoch, progress.step / len(steps), progress.share)
            set_learning_rate(run.optimizer, rate_factor(recipe, progress.epoch, share, progress.reductions))
            random = generator(recipe.seed, progress.epoch, progress.step, place.rank)
            torch.manual_seed(random.initial_seed())
            x, y = _batch(run, bench, rows, how, random, held)
            if bench.teachers:
                y = bench.teachers.blend(x, y, recipe.teacher_share)
            progress.losses += place.mean(_step(model, run, recipe, loss, x, y))
            progress.step += 1
            progress.total += 1
            _show(bar, progress, recipe)
            is_over = run.pace is not None and _keep_time(run.pace, run.progress, bench, len(steps))
            _heed(stop, run, bench)
            if time.monotonic() - saved > bench.save_every_s:
                save_last(run, bench)
                saved = time.monotonic()
            if is_over:
                break
    return progress.losses / progress.step


def _batch(
    run: Run, bench: Bench, rows: Rows, how: Preprocessing, random: torch.Generator, held: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Films (n, C, S, S) and labels (n, K) on the device, for which the network waits: the step before has ended."""
    began, device = time.monotonic(), bench.place.device
    x, y = training_batch(bench.films, rows, bench.recipe, how, random, held)
    x, y = x.to(device, memory_format=torch.channels_last), y.to(device)
    run.waited_s += time.monotonic() - began
    return x, y


def _steps(bench: Bench, epoch: int) -> list[Rows]:
    """This process's films in each step of an epoch."""
    order = draw(bench.films.labels, bench.task.labels, bench.recipe, epoch)
    steps = steps_of(order, bench.recipe, Share(bench.place.rank, bench.place.world))
    if not steps:
        raise TrainingError(
            f"Epoch {epoch + 1} draws {len(order)} films for {bench.place.world} processes; "
            "raise --limit or --normal-share, or start fewer processes."
        )
    return steps


def _keep_time(pace: Pace, progress: Progress, bench: Bench, steps: int) -> bool:
    """Within a budget: note what is spent of it; whether this call's time is over."""
    pace.tick(bench.place.mean(pace.clock_s()))
    progress.spent_s, progress.share = pace.spent_now_s(), pace.share_now()
    said = pace.forecast(bench.recipe.batch, steps)
    if said:
        bench.say(said)
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
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(out) as writer:
        for name in ("loss", "val_auc"):
            writer.add_scalar(name, figures[name], int(figures["epoch"]))


def _no_memory(recipe: Recipe) -> TrainingError:
    return TrainingError(
        f"{recipe.batch} films of {recipe.size} px do not fit into memory; raise --accumulate or lower --batch."
    )
