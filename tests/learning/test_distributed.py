"""Several processes train as one."""

import os
import subprocess
import sys
from pathlib import Path

from cxr.learning import checkpoints

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def _run(*command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*TORCHRUN, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_give_the_gradients_of_one_with_the_whole_batch() -> None:
    _run("tests/learning/distributed_gradients.py")


def test_two_processes_train_one_run(nih_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = ["--arch", "efficientnet_b0", "--size", "64", "--epochs", "1", "--batch", "6", "--val-share", "0.25"]
    paths = ["--data", str(nih_folder), "--out", str(run), "--cache", str(tmp_path / "cache")]
    _run("Model_Training/train.py", "--task", "chestxray8", *paths, *recipe)
    assert checkpoints.load(run / "best.safetensors").epoch == 1
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
