"""Distillation: besides its labels a film teaches what already trained networks say of it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint
from cxr.tasks import Recipe, Task


class Teachers:
    """Trained networks of one task, whose mean probability a student learns (Hinton et al. 2015).

    They see each film exactly as the student does, augmentation included (Beyer et al. 2022, "A good teacher is
    patient and consistent"), but at the size that they were trained with.

    Raises:
        ModelFileError: a checkpoint cannot be read.
        TrainingError: a checkpoint is of another task, or takes films of another number of channels.
    """

    def __init__(self, runs_or_files: Sequence[Path], task: Task, recipe: Recipe, device: torch.device | str = "cpu"):
        self.multiclass = task.kind == "multiclass"
        read = [read_teacher(path, task, recipe) for path in runs_or_files]
        self.networks = [(_ready(checkpoint, device), checkpoint.recipe.size) for checkpoint in read]

    @torch.no_grad()
    def blend(self, films: Tensor, labels: Tensor, share: float) -> Tensor:
        """Labels (N, K) of prepared films (N, C, S, S) -> (1 - share) of them plus `share` of the teachers' answer.

        What is not known (NaN) stays so.
        """
        answers = torch.stack([self._probabilities(net(_resized(films, size))) for net, size in self.networks])
        return (1 - share) * labels + share * answers.mean(0)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, 1) if self.multiclass else torch.sigmoid(logits)


def read_teacher(run_or_file: Path, task: Task, recipe: Recipe) -> Checkpoint:
    """Raises ModelFileError when it cannot be read, TrainingError when it cannot teach a student of this recipe."""
    checkpoint = checkpoints.load(checkpoints.find(run_or_file))
    if checkpoint.task != task.name:
        raise TrainingError(
            f"The teacher {run_or_file.name} is of task {checkpoint.task}; a {task.name} one is needed."
        )
    theirs, ours = checkpoint.preprocessing().channels, checkpoints.preprocessing(task, recipe).channels
    if theirs != ours:
        raise TrainingError(
            f"The teacher {run_or_file.name} takes films of {theirs} channels; give --channels {theirs} too."
        )
    return checkpoint


def _ready(checkpoint: Checkpoint, device: torch.device | str) -> torch.nn.Module:
    net = checkpoint.network().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _resized(films: Tensor, size: int) -> Tensor:
    if films.shape[-1] == size:
        return films
    return F.interpolate(films, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
