"""A run that is killed, with no chance to save, ends with the same weights as one that is left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from cxr.learning import checkpoints

ROOT = Path(__file__).parents[2]


def _start(data: Path, out: Path) -> "subprocess.Popen[bytes]":
    flags = f"--arch binarycnn --size 32 --epochs 6 --batch 2 --val-share 0.25 --save-every 0 --cache {data}/cache"
    command = [sys.executable, "Model_Training/train.py", "--data", str(data), "--out", str(out), *flags.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(file: Path, process: "subprocess.Popen[bytes]") -> None:
    while not file.exists():
        assert process.poll() is None, "the run ended before it saved anything"
        time.sleep(0.001)


def test_a_killed_run_ends_as_an_undisturbed_one(nih_folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _start(nih_folder, whole).wait() == 0
    process = _start(nih_folder, killed)
    _wait_for(killed / "last.safetensors", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    stopped_at = checkpoints.load(killed / "last.safetensors").record["progress"]
    assert stopped_at["total"] < 36  # steps: 12 films by 2, six times
    assert _start(nih_folder, killed).wait() == 0
    expected, reached = (checkpoints.load(run / "last.safetensors").tensors for run in (whole, killed))
    assert expected.keys() == reached.keys()
    assert all(torch.equal(expected[name], reached[name]) for name in expected)
