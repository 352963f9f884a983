"""What cannot be trained is said in one sentence before any film is read: in these tests there is none."""

import argparse
import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.checks import _check_start, check_recipe
from cxr.learning.commands import run_train
from cxr.learning.trunks import ARCHITECTURES
from cxr.tasks import TASKS, Augmentation, Recipe
from tests.learning.nets import tiny_checkpoint

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The sentence in which train.py ends with these flags, the arch `binarycnn` and data that do not exist."""

    def train(*flags: str) -> str:
        places = ["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")]
        net = ["--task", "chestxray8", "--arch", "binarycnn", "--pooling", "avg", "--size", "32"]
        assert run_train([*net, *places, *flags]) == 1
        return capsys.readouterr().err.removeprefix("train.py: ").strip()

    return train


OUT_OF_RANGE = {
    "--batch 0": "1 or more",
    "--epochs 0": "1 or more",
    "--accumulate 0": "1 or more",
    "--plateau-patience 0": "1 or more",
    "--warmup 1.0": "0 or more and less than 1",
    "--val-share -0.1": "0 or more and less than 1",
    "--ema 1.0": "0 or more and less than 1",
    "--lr -0.1": "0 or more",
    "--lr nan": "0 or more",
    "--head-lr inf": "0 or more",
    "--seed -1": "0 or more",
    "--normal-share 1.5": "from 0 to 1",
    "--teacher-share -0.5": "from 0 to 1",
    "--size 8": "32 or more",
    "--mixup -1.0": "0 or more",
    "--rotation 200.0": "from 0 to 180",
}


@pytest.mark.parametrize("given", OUT_OF_RANGE)
def test_a_value_that_cannot_be_used_is_named_with_its_range(given: str, refused: Refused) -> None:
    flag, value = given.split()
    assert refused(f"{flag}={value}") == f"{given} cannot be used; it must be {OUT_OF_RANGE[given]}."


@pytest.mark.parametrize("name", TASKS)
def test_every_tasks_recipe_is_within_the_ranges(name: str) -> None:
    check_recipe(TASKS[name].recipe, TASKS[name])


def test_every_number_of_a_recipe_has_a_range() -> None:
    for settings in (Recipe(), Augmentation()):
        for field in dataclasses.fields(settings):
            if isinstance(getattr(settings, field.name), int | float):
                assert -1 not in field.metadata["allowed"], field.name


def test_a_network_for_one_size_has_no_small_epochs(refused: Refused) -> None:
    said = refused("--pooling", "flatten", "--small-epochs", "2")
    assert said.startswith(
        "--small-epochs 2 needs a network for films of any size, and --pooling flatten ties it to one"
    )


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_pretrained_is_refused_where_torchvision_has_no_weights(arch: str) -> None:
    options = argparse.Namespace(init=None, pretrained=True)
    if arch not in ("resnet50v2", "simplecnn", "binarycnn"):
        _check_start(Recipe(arch=arch), options)
        return
    with pytest.raises(TrainingError, match=f"none of --arch {arch}"):
        _check_start(Recipe(arch=arch), options)
    with pytest.raises(TrainingError, match="torchvision has no weights"):  # as building it would say
        ARCHITECTURES[arch](3, "DEFAULT")


def test_pretrained_without_weights_is_one_sentence(refused: Refused) -> None:
    assert "none of --arch binarycnn; give a file with --init" in refused("--pretrained")


def test_a_missing_start_is_one_sentence(refused: Refused, tmp_path: Path) -> None:
    assert refused("--init", f"{tmp_path}/gone").startswith(f"There is no file {tmp_path}/gone to start from; name")


def test_a_missing_teacher_is_one_sentence(refused: Refused, tmp_path: Path) -> None:
    assert refused("--teacher", f"{tmp_path}/gone").startswith(f"There is no checkpoint {tmp_path}/gone; give a run")


def test_a_teacher_of_another_task_is_one_sentence(refused: Refused, tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "other.safetensors", tiny_checkpoint("covid3"))
    said = refused("--teacher", f"{tmp_path}/other.safetensors")
    assert said == "The teacher other.safetensors is of task covid3; a chestxray8 one is needed."


def test_a_folder_with_another_run_is_one_sentence(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    last = tiny_checkpoint("chestxray14", record={"progress": {"epoch": 1}})
    checkpoints.save(tmp_path / "run" / "last.safetensors", last)
    assert "run/ holds a run with --task chestxray14, and chestxray8 is given" in refused()


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is for GPUs")
def test_fp16_on_a_cpu_is_one_sentence(refused: Refused) -> None:
    assert refused("--precision", "fp16") == "--precision fp16 needs a GPU; on a CPU choose bf16 or f32."


def test_a_batch_that_processes_cannot_share_is_one_sentence(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert refused("--batch", "5").startswith("--batch 5 cannot be shared out evenly among 2 processes")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is there")
def test_tensorboard_without_its_package_is_one_sentence(refused: Refused) -> None:
    assert refused("--tensorboard") == "--tensorboard needs the package tensorboard; install it or leave the flag out."


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not there")
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_files_are_written(nih_folder: Path, tmp_path: Path) -> None:
    flags = "--arch binarycnn --pooling avg --size 32 --epochs 1 --val-share 0.25 --tensorboard"
    places = f"--data {nih_folder} --out {tmp_path}/run --cache {tmp_path}/cache"
    assert run_train(f"{flags} {places}".split()) == 0
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
