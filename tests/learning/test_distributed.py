"""Several processes train as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cxr.learning import checkpoints

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Nothing in which processes may differ: no BatchNorm, no chance. Gradient descent moves by what the gradients are.
RECIPE = (
    "--arch binarycnn --pooling avg --size 32 --epochs 2 --batch 6 --val-share 0.25 --no-augmentation --precision f32"
)
DESCENT = "--optimizer sgd --lr 0.1 --ema 0.5"


def _run(launcher: list[str], *command: str) -> str:
    """What was printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_give_the_gradients_of_one_with_the_whole_batch() -> None:
    _run(TORCHRUN, "tests/learning/distributed_gradients.py")


def test_two_processes_train_the_run_that_one_trains(nih_folder: Path, tmp_path: Path) -> None:
    flags = [*RECIPE.split(), *DESCENT.split(), "--task", "chestxray8", "--data", str(nih_folder)]
    runs = {}
    for name, launcher in {"one": [sys.executable], "two": TORCHRUN}.items():
        out = ["--out", str(tmp_path / name), "--cache", str(tmp_path / "cache")]
        printed = _run(launcher, "Model_Training/train.py", *flags, *out)
        assert printed.count(" validation films, ") == 1  # one of them speaks
        figures = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        runs[name] = checkpoints.load(tmp_path / name / "last.safetensors"), figures
    (one, figures), (two, same_figures) = runs["one"], runs["two"]
    assert len(figures) == 2
    for figure, same in zip(figures, same_figures, strict=True):
        assert same["loss"] == pytest.approx(figure["loss"], rel=1e-5)
        assert same["val_auc"] == pytest.approx(figure["val_auc"])
    fresh = checkpoints.network(checkpoints.TASKS["chestxray8"], one.recipe).state_dict()
    moved = max((one.tensors[f"net.{name}"] - weight).abs().max().item() for name, weight in fresh.items())
    assert moved > 1e-3
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor, rtol=0, atol=1e-4 * moved)
