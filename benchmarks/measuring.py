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


def in_turn(contenders: Mapping[str, Callable[[], Any]], budget_s: float) -> dict[str, list[float]]:
    """Seconds of each call, round by round: one round at least, `ROUNDS` at most, no further one beyond the budget."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    began = time.perf_counter()
    for done in range(1, ROUNDS + 1):
        for name, call in contenders.items():
            spent[name].append(_seconds(call))
        so_far = time.perf_counter() - began
        if so_far * (done + 1) / done > budget_s:
            break
    return spent


def _seconds(call: Callable[[], Any], least_s: float = 0.2) -> float:
    """Of one call; a short one is repeated until there is something to measure, and its median told."""
    spent: list[float] = []
    while sum(spent) < least_s:
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


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
