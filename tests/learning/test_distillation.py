"""What a student learns of its teachers."""

import dataclasses
from pathlib import Path

import pytest
import torch

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.distillation import Teachers
from cxr.tasks import TASKS, Recipe

TASK = TASKS["chestxray14"]
FILMS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.eye(2, 14)


def _teacher(folder: Path, seed: int, size: int = 64, task: str = "chestxray14") -> Path:
    recipe = Recipe(arch="binarycnn", pooling="avg", size=size, seed=seed)
    net = checkpoints.network(TASKS[task], recipe)
    file = folder / f"{task}-{seed}.safetensors"
    tensors = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    checkpoints.save(file, Checkpoint(tensors, task, recipe, epoch=1, record={}))
    return file


def _answer(file: Path, films: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.sigmoid(checkpoints.load(file).network().eval()(films))


def test_labels_and_the_mean_answer_of_the_teachers_are_blended(tmp_path: Path) -> None:
    files = [_teacher(tmp_path, seed) for seed in (0, 1)]
    mean = (_answer(files[0], FILMS) + _answer(files[1], FILMS)) / 2
    blended = Teachers(files, TASK, Recipe()).blend(FILMS, LABELS, share=0.7)
    torch.testing.assert_close(blended, 0.3 * LABELS + 0.7 * mean)


def test_a_teacher_sees_films_at_its_own_size(tmp_path: Path) -> None:
    file = _teacher(tmp_path, seed=0, size=32)
    small = torch.nn.functional.interpolate(FILMS, size=(32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(Teachers([file], TASK, Recipe()).blend(FILMS, LABELS, share=1.0), _answer(file, small))


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    labels = LABELS.clone()
    labels[0, 3] = torch.nan
    blended = Teachers([_teacher(tmp_path, seed=0)], TASK, Recipe()).blend(FILMS, labels, share=0.5)
    assert torch.equal(blended.isnan(), labels.isnan())


def test_classes_of_a_multiclass_task_are_shares_of_one(tmp_path: Path) -> None:
    task = TASKS["pneumonia3"]
    file = _teacher(tmp_path, seed=0, task=task.name)
    films = FILMS[:, : task.preprocessing.channels]
    blended = Teachers([file], task, Recipe()).blend(films, torch.eye(2, 3), share=0.5)
    torch.testing.assert_close(blended.sum(1), torch.ones(2))


def test_a_teacher_of_another_task_is_refused(tmp_path: Path) -> None:
    file = _teacher(tmp_path, seed=0)
    other = dataclasses.replace(TASK, name="chestxray8", labels=TASK.labels[:8])
    with pytest.raises(TrainingError, match=r"chestxray14-0.safetensors is of task chestxray14"):
        Teachers([file], other, Recipe())


def test_a_teacher_of_films_with_other_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="takes films of 3 channels; give --channels 3 too"):
        Teachers([_teacher(tmp_path, seed=0)], TASK, Recipe(channels=1))
