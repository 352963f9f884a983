"""A run and its folder: what changes while training, and how it is saved and taken up again."""

import copy
import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.budget import Budget, Pace
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
from cxr.learning.devices import CPU, Place, chosen_precision
from cxr.learning.distillation import Teachers
from cxr.learning.models import FilmNet
from cxr.learning.schedule import begin_phase, begins_phase
from cxr.tasks import Preprocessing, Recipe, Task

BEST, LAST = "best.safetensors", "last.safetensors"
SAVE_EVERY_S = 600.0  # a kill costs at most so much work
# What of a record tells one run from another, and the flag that it comes from.
_COMPARED = {"uncertain": "--uncertain", "init": "--init or --pretrained", "teachers": "--teacher"}


@dataclass
class Progress:
    """How far a run is; stored in `last.safetensors`."""

    epoch: int = 0  # finished
    step: int = 0  # done in the epoch that runs
    total: int = 0  # steps done in all epochs
    losses: float = 0.0  # sum over those steps
    best_auc: float = -math.inf
    phase_auc: float = -math.inf  # best of the phase that runs
    stale: int = 0  # epochs since the best of the phase
    reductions: int = 0  # of the learning rate, by the plateau schedule, in the phase
    spent_s: float = 0.0  # of a budget, over all calls
    share: float = 0.0  # of the schedule, by the time of a budget

    @classmethod
    def from_record(cls, raw: dict[str, Any]) -> "Progress":
        """Earlier versions stored no best of the phase."""
        return cls(**{"phase_auc": raw["best_auc"], **raw})

    def next_epoch(self) -> None:
        self.epoch, self.step, self.losses = self.epoch + 1, 0, 0.0

    def begin_phase(self) -> None:
        """What an earlier phase reached neither stops this one nor lowers its rate."""
        self.phase_auc, self.stale, self.reductions = -math.inf, 0, 0


@dataclass
class Run:
    """All that changes while training."""

    net: FilmNet
    average: FilmNet  # exponential moving average of `net`; the same object when the recipe keeps none
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # does nothing but for fp16
    progress: Progress = field(default_factory=Progress)
    pace: Pace | None = None  # within a budget
    waited_s: float = 0.0  # of this epoch, or of what is left of it: in which batches were made


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
        """Of the training films of epoch 0, 1, ...: small films first."""
        how = checkpoints.preprocessing(self.task, self.recipe)
        return dataclasses.replace(how, size=self.recipe.small_size) if epoch < self.recipe.small_epochs else how

    def say(self, text: str) -> None:
        """Once, however many processes there are."""
        if self.place.writes:
            tqdm.write(text)


# ---- saving


def save_best(run: Run, bench: Bench, val_auc: float) -> None:
    if bench.place.writes:
        _save(bench.out / BEST, run, bench, _named(run.average, "model."), val_auc=val_auc)


def save_last(run: Run, bench: Bench) -> None:
    """All that resuming needs: averaged weights, weights, optimizer, progress."""
    if not bench.place.writes:
        return
    state = run.optimizer.state_dict()["state"]
    everything = _named(run.average, "model.")
    everything |= {f"optimizer.{index}.{name}": t for index, by_name in state.items() for name, t in by_name.items()}
    if run.net is not run.average:
        everything |= _named(run.net, "net.")
    _save(bench.out / LAST, run, bench, everything, scaler=run.scaler.state_dict())


def _named(net: FilmNet, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in net.state_dict().items()}


def _save(file: Path, run: Run, bench: Bench, tensors: dict[str, Tensor], **figures: Any) -> None:
    given = sorted(name for name in run.net.given if run.net.is_late(name))
    record = {**bench.record, **figures, "given": given, "progress": dataclasses.asdict(run.progress)}
    checkpoints.save(file, Checkpoint(tensors, bench.task.name, bench.recipe, run.progress.epoch, record))


# ---- beginning and going on


def start(bench: Bench) -> Run:
    """A new run, or the one in the run folder where it was left.

    Raises:
        TrainingError: the run in the folder is another one, or its processes do not see the same.
        ModelFileError: its checkpoint or the starting weights cannot be read.
    """
    last = stored(bench.out)
    if last:
        check_same(bench.out, last, bench.task, bench.recipe, bench.record)
    net = checkpoints.network(bench.task, bench.recipe) if last else _new_network(bench)
    net = net.to(bench.place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    progress = Progress.from_record(last.record["progress"]) if last else Progress()
    if last:  # what the starting weights held decides which rate a layer learns at
        net.given = frozenset(last.record.get("given", ()))
    optimizer = begin_phase(net, bench.recipe, progress.epoch)
    average = copy.deepcopy(net) if bench.recipe.ema else net
    precision = chosen_precision(bench.place.device, bench.recipe.precision)
    scaler = torch.amp.GradScaler(bench.place.device.type, enabled=precision == "fp16")
    run = Run(net, average, optimizer, scaler, progress)
    if last:
        _resume(run, bench, last)
    _check_agreement(run, bench.place)
    return run


def stored(out: Path) -> Checkpoint | None:
    """The checkpoint from which the run in a folder goes on; None where there is none."""
    if not (out / LAST).exists():
        return None
    last = checkpoints.load(out / LAST)
    if "progress" not in last.record:
        raise TrainingError(f"{out / LAST} does not say how far its run is, so none goes on; choose another --out.")
    return last


def check_same(out: Path, last: Checkpoint, task: Task, recipe: Recipe, record: dict[str, Any]) -> None:
    """Raises TrainingError, with what differs, when the run in `out` is not the one that is asked for.

    Of the records is compared what both have.
    """
    before, now = _identity(last.task, last.recipe, last.record), _identity(task.name, recipe, record)
    differing = next((name for name in before if name in now and before[name] != now[name]), None)
    if differing:
        raise TrainingError(
            f"{out.name}/ holds a run with {differing} {_said(before[differing])}, and {_said(now[differing])} is "
            "given; give what the run has, or choose another --out."
        )


def _identity(task: str, recipe: Recipe, record: dict[str, Any]) -> dict[str, Any]:
    """All that tells one run from another, by flag."""
    settings = dataclasses.asdict(recipe)
    settings |= settings.pop("augmentation")
    flags = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    asked = {flag: record[name] for name, flag in _COMPARED.items() if name in record}
    fingerprint = record.get("fingerprints", {}).get("training", "")[:12]
    films = {"--data whose training films have fingerprint": fingerprint} if fingerprint else {}
    return {"--task": task} | flags | asked | films


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else "none" if value is None else str(value)


def _new_network(bench: Bench) -> FilmNet:
    net = checkpoints.network(bench.task, bench.recipe, bench.weights)
    if bench.start is not None:
        random = net.load_start(bench.start)
        bench.say(f"{bench.start.name}: {len(random)} tensors are not in it and start at random")
    return net


def _resume(run: Run, bench: Bench, last: Checkpoint) -> None:
    """Take over what `last` has; a `best` in its place, or one that travelled, has the averaged weights alone."""
    _load(run.average, checkpoints.strip(last.tensors, "model."))
    if run.net is not run.average:
        own = checkpoints.strip(last.tensors, "net.")
        if not own:
            bench.say(f"{LAST} has no weights but the averaged ones; these are trained on")
        _load(run.net, own or checkpoints.strip(last.tensors, "model."))
    if last.record.get("scaler") and run.scaler.is_enabled():
        run.scaler.load_state_dict(last.record["scaler"])
    bench.say(f"resuming after epoch {run.progress.epoch}, step {run.progress.step}")
    if not begins_phase(bench.recipe, run.progress.epoch, run.progress.step):  # else the optimizer is a new one anyway
        _load_optimizer(run, bench, checkpoints.strip(last.tensors, "optimizer."))


def _load(net: FilmNet, tensors: dict[str, Tensor]) -> None:
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise TrainingError(
            f"The weights in {LAST} are not those of {net.arch} ({why}); choose another --out."
        ) from error


def _load_optimizer(run: Run, bench: Bench, tensors: dict[str, Tensor]) -> None:
    if not tensors and run.progress.total:
        bench.say(f"{LAST} has no state of the optimizer, which starts anew")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    run.optimizer.load_state_dict({"state": state, "param_groups": run.optimizer.state_dict()["param_groups"]})


def _check_agreement(run: Run, place: Place) -> None:
    """Processes that go on from different steps would wait for each other for ever."""
    steps = np.unique(place.interleave(np.array([[run.progress.total]], np.float32)))
    if len(steps) > 1:
        raise TrainingError(
            f"The processes have done {', '.join(f'{step:.0f}' for step in steps)} steps of one run; "
            "--out must be a folder that all of them see."
        )
