"""Networks run by OpenVINO: compiled for this processor, and kept compiled on disk."""

import logging
from collections import deque
from hashlib import sha256
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager

from cxr.reading import engine_cache

CPU_FLAGS = Path("/proc/cpuinfo")

Settings = dict[str, str | int | bool]  # of OpenVINO

log = logging.getLogger(__name__)


class Compiled:
    """A compiled network. `run` may be called from several threads at once."""

    def __init__(
        self,
        network: openvino.Model,
        precision: str,
        threads: int,
        *,
        throughput: bool = False,
        kept: tuple[Path, str] | None = None,
    ):
        """`throughput`: each thread runs a film of its own, which serves many films best; else one film is hurried.

        `kept`: a folder of compiled networks, and the name by which this one is told from others.
        """
        settings: Settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Pinned, two processes on one machine would take the same core and leave the other idle.
            "ENABLE_CPU_PINNING": False,
        }
        self.precision = precision
        self.version = f"OpenVINO {openvino.__version__.split('-')[0]}, {precision}"
        self._compiled = _compile(network, settings, kept)
        self.at_once = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._idle: deque[openvino.InferRequest] = deque()  # kept between calls: making one costs its buffers anew

    def run(self, films: NDArray[np.float32], outputs: tuple[str, ...]) -> tuple[NDArray[np.float32], ...]:
        """Named outputs for films (N, C, S, S). A call has a request, and so its buffers, to itself while it runs."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        answers = request.infer([films], share_inputs=True)
        copies = tuple(answers[name].copy() for name in outputs)
        self._idle.append(request)
        return copies


def _compile(network: openvino.Model, settings: Settings, kept: tuple[Path, str] | None) -> openvino.CompiledModel:
    folder, name = kept or (None, "")
    key = _key(name, settings)
    if folder and (compiled := _import(folder, key, settings)):
        return compiled
    if settings["PERFORMANCE_HINT"] == "THROUGHPUT":
        _fold_constants(network)
    compiled = openvino.Core().compile_model(network, "CPU", settings)
    if folder:
        engine_cache.store(folder, key, compiled.export_model().getvalue())
    return compiled


def _key(name: str, settings: Settings) -> str:
    """Of a network compiled in this way, by this OpenVINO, for this processor."""
    told = f"{name} {sorted(settings.items())} {openvino.__version__} {sorted(_cpu_flags())}"
    return sha256(told.encode()).hexdigest()


def _import(folder: Path, key: str, settings: Settings) -> openvino.CompiledModel | None:
    blob = engine_cache.load(folder, key)
    if blob is None:
        return None
    try:
        return openvino.Core().import_model(openvino.Tensor(blob), "CPU", settings)
    except RuntimeError as error:
        log.info("the compiled model in %s is not taken: %s", folder, error)
        return None


def _fold_constants(network: openvino.Model) -> None:
    """8-bit weights to floating point now: OpenVINO 2026.4 does it once for each stream, and mixes them up (NaN)."""
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(network)


def precision_of(wanted: str) -> str:
    """bf16 only with AMX: a processor that merely has the AVX-512 bf16 instructions is slower with them than in f32."""
    if wanted != "auto":
        return wanted
    return "bf16" if "amx_bf16" in _cpu_flags() else "f32"


def _cpu_flags() -> set[str]:
    """What the processor can do, as Linux tells it; empty elsewhere."""
    lines = CPU_FLAGS.read_text().splitlines() if CPU_FLAGS.exists() else []
    return set(next((line for line in lines if line.startswith(("flags", "Features"))), "").split())
