"""Contenders timed in turn in one run, so that all meet the same machine, and told as a table with ratios."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "openvino", "onnxruntime", "numpy", "opencv-python-headless", "grad-cam")
ROUNDS = 9  # at most
QUICK_S = 1.0
REPEATS = 8  # of what is quick, in each round
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

Row = dict[str, str | float]


@dataclass(frozen=True)
class Part:
    """One table of the suite."""

    title: str
    rows: list[Row]
    note: str = ""

    def table(self) -> str:
        """In Markdown; a column that the first row lacks is not shown."""
        names = list(self.rows[0])
        lines = [" | ".join(_shown(row.get(name, "")) for name in names) for row in self.rows]
        head = [f"## {self.title}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        return "\n".join([*head, *(f"| {line} |" for line in lines), *(["", self.note] if self.note else [])])


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def in_turn(
    contenders: Mapping[str, Callable[[], Any]], budget_s: float, told: Callable[[list[float]], float] = min
) -> dict[str, list[float]]:
    """Seconds of each call, round by round: one round at least, `ROUNDS` at most, no further one beyond the budget.

    What takes less than `QUICK_S` is called several times in a round, in turn with the others. Of these calls `told` is
    kept, by default the least: what else runs on the machine makes a call slower, and nothing makes it faster.
    """
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    began = time.perf_counter()
    for done in range(1, ROUNDS + 1):
        for name, calls in _round(contenders).items():
            spent[name].append(told(calls))
        if (time.perf_counter() - began) * (done + 1) / done > budget_s:
            break
    return spent


def _round(contenders: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
    spent = {name: [_seconds(call)] for name, call in contenders.items()}
    quick = [name for name, calls in spent.items() if calls[0] < QUICK_S]
    for _ in range(REPEATS):
        for name in quick:
            spent[name].append(_seconds(contenders[name]))
    return spent


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def spread(values: Sequence[float], unit: float = 1.0) -> str:
    """Least to greatest."""
    return f"{min(values) * unit:.3g} to {max(values) * unit:.3g}"


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times less `fast` takes, by the median of the rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def machine() -> dict[str, Any]:
    """What was measured on, and how busy it was otherwise."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    features = set(told.get("flags", "").split())
    return {
        "processor": told.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "features": [name for name in CPU_FEATURES if name in features],
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
