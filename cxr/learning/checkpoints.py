"""One self-describing file: weights, and in its metadata everything needed to build the network again."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cxr.errors import ModelFileError, TrainingError
from cxr.learning.models import FilmNet, build
from cxr.tasks import CHANNELS, TASKS, Preprocessing, Recipe, Task


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what they belong to."""

    tensors: dict[str, Tensor]
    task: str
    recipe: Recipe
    epoch: int  # finished
    record: dict[str, Any]  # data, versions, figures; goes into the exported file's training record

    def network(self, prefix: str = "model.") -> FilmNet:
        """The network with the tensors under `prefix` as its weights.

        Raises:
            ModelFileError: they are not the weights of the network that the recipe names.
        """
        net = network(TASKS[self.task], self.recipe)
        try:
            net.load_state_dict(strip(self.tensors, prefix))
        except RuntimeError as error:
            why = str(error).splitlines()[-1].strip()
            raise ModelFileError(f"The checkpoint's weights are not those of {self.recipe.arch}: {why}") from error
        return net

    def preprocessing(self) -> Preprocessing:
        """As the network was trained with."""
        return preprocessing(TASKS[self.task], self.recipe)


def network(task: Task, recipe: Recipe, weights: str | None = None) -> FilmNet:
    """A new network for the task, its random layers drawn by the recipe's seed; `weights` are torchvision's."""
    return build(
        recipe.arch,
        recipe.pooling,
        len(task.labels),
        preprocessing(task, recipe).channels,
        recipe.seed,
        head=recipe.head,
        size=recipe.size,
        weights=weights,
    )


def preprocessing(task: Task, recipe: Recipe) -> Preprocessing:
    """The task's, at the recipe's size and with its number of channels."""
    sized = dataclasses.replace(task.preprocessing, size=recipe.size)
    if not recipe.channels:
        return sized
    mean, std = CHANNELS[recipe.channels]
    return dataclasses.replace(sized, mean=mean, std=std)


def strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def save(file: Path, checkpoint: Checkpoint) -> None:
    """Write to a temporary name, then rename: a full disk or a kill leaves the last good file as it was."""
    about = {
        "task": checkpoint.task,
        "recipe": dataclasses.asdict(checkpoint.recipe),
        "epoch": checkpoint.epoch,
        "record": checkpoint.record,
    }
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        tensors = {name: t.detach().contiguous() for name, t in checkpoint.tensors.items()}
        save_file(tensors, unfinished, {"cxr": json.dumps(about)})
        unfinished.replace(file)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{file.name} cannot be written ({error}); the last good one is intact.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def load(file: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelFileError: the file is missing, damaged, or not a checkpoint of this project.
    """
    if not file.is_file():
        raise ModelFileError(f"There is no checkpoint {file}; give a run folder or a .safetensors file.")
    try:
        with safe_open(file, "pt") as stored:
            about = json.loads(stored.metadata()["cxr"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        recipe = Recipe.from_dict(about["recipe"])
        return Checkpoint(tensors, TASKS[about["task"]].name, recipe, about["epoch"], about["record"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{file.name} is not a checkpoint of this project, or is damaged ({error}).") from error


def history(run_or_file: Path) -> dict[str, Any] | None:
    """The training record of the run that wrote a checkpoint, with those of the runs before it; None if no run did."""
    try:
        with safe_open(find(run_or_file), "pt") as stored:
            about = json.loads((stored.metadata() or {})["cxr"])
            return {**about["record"], "task": about["task"], "recipe": about["recipe"], "epoch": about["epoch"]}
    except (SafetensorError, OSError, KeyError, ValueError):  # weights from elsewhere, which `--init` takes too
        return None


def find(run_or_file: Path) -> Path:
    """A run folder stands for its best checkpoint."""
    return run_or_file / "best.safetensors" if run_or_file.is_dir() else run_or_file
