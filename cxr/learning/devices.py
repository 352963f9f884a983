"""Where training runs: one CPU or GPU, or one process of many under torchrun."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

from cxr.errors import TrainingError


@dataclass(frozen=True)
class Place:
    """This process among all that train together."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        """Only one process writes files and prints."""
        return self.rank == 0

    @property
    def gpus(self) -> list[torch.device]:
        """This process's own GPU, or none."""
        return [self.device] if self.device.type == "cuda" else []

    def any(self, value: bool) -> bool:
        """Whether it is so in any process."""
        return self.mean(float(value)) > 0

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the values of the first one."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def mean(self, value: float) -> float:
        """The mean of every process's value."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return float(total / self.world)

    def interleave(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows r, r + world, ... of each process r -> all rows in order, in every process."""
        if self.world == 1:
            return rows
        parts: list[NDArray[np.float32]] = [rows] * self.world
        torch.distributed.all_gather_object(parts, rows)
        together = np.empty((sum(map(len, parts)), *rows.shape[1:]), rows.dtype)
        for rank, part in enumerate(parts):
            together[rank :: self.world] = part
        return together


CPU = Place(torch.device("cpu"))


def default_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.device_count() else "cpu")


def is_first() -> bool:
    """Whether this is the one process that prints; known before `join`."""
    return os.environ.get("RANK", "0") == "0"


def world_size() -> int:
    """How many processes train together; known before `join`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join() -> Iterator[Place]:
    """The place of this process: alone, or one of those that torchrun started (NCCL on GPUs, gloo on CPUs)."""
    gpus = torch.cuda.device_count()
    if "WORLD_SIZE" not in os.environ:
        yield Place(default_device())
        return
    torch.distributed.init_process_group("nccl" if gpus else "gloo")
    try:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpus else torch.device("cpu")
        if gpus:
            torch.cuda.set_device(device)
        yield Place(device, torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


PRECISIONS = {"f32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(device: torch.device, precision: str) -> None:
    """Raises TrainingError for fp16 on a CPU, where nothing is gained."""
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("--precision fp16 needs a GPU; on a CPU choose bf16 or f32.")


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """The precision of the trunk. Raises TrainingError for fp16 on a CPU."""
    check_precision(device, precision)
    dtype = PRECISIONS[chosen_precision(device, precision)]
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def chosen_precision(device: torch.device, precision: str) -> str:
    """`precision`, a key of PRECISIONS; for "auto" the fastest one of the device.

    That is bf16 on a processor with AMX and on a GPU from Ampere on. Others emulate it: fp16 on older GPUs, f32 on
    other processors, which take twice the time for bf16.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "f32"
