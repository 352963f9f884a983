"""Array in, outputs out: an exported model run by OpenVINO or ONNX Runtime, with its precision stated."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cxr.errors import EngineFault
from cxr.modelfile import OUTPUTS
from cxr.reading.engine_cache import cache_folder
from cxr.reading.engine_onnxruntime import Session
from cxr.reading.engine_openvino import Compiled, precision_of
from cxr.reading.exported import Exported
from cxr.settings import Settings

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"  # the models that come with the project
SHIPPED = WEIGHTS / "chestxray14.onnx"


@dataclass(frozen=True)
class Outputs:
    """What one forward pass gives for N films."""

    logits: NDArray[np.float32]  # (N, K)
    maps: NDArray[np.float32]  # (N, K, h, w), by the model's method, not scaled
    distance: NDArray[np.float32]  # (N,)
    drawn: NDArray[np.float64] | None = None  # (D, N, K): the logits in each draw of the calibration behind them


class Network(Protocol):
    """A network that one of RUNTIMES runs. `run` may be called from several threads at once."""

    precision: str
    version: str
    at_once: int  # films that run at the same time, asked from as many threads

    def run(self, films: NDArray[np.float32], outputs: tuple[str, ...]) -> tuple[NDArray[np.float32], ...]:
        """Named outputs for films (N, C, S, S)."""


class Engine:
    """A compiled model. `run` may be called from several threads at once."""

    def __init__(self, model: Path, settings: Settings | None = None, *, throughput: bool = False):
        """Read and compile `model`; with `throughput` for many films at once instead of each as soon as possible.

        Raises:
            ModelFileError: the file is missing, damaged, or not exported by this project.
            SettingError: the engine of the settings is not installed, or cannot calculate in their precision.
        """
        settings = settings or Settings()
        exported = Exported.read(model)
        self.info = exported.info
        self.sha256 = exported.sha256  # of the model file: which weights answered
        self._network = RUNTIMES[settings.engine](exported, settings, throughput)
        self.precision, self.version = self._network.precision, self._network.version
        self.at_once = self._network.at_once  # films that run at the same time, asked from as many threads

    def run(self, films: NDArray[np.float32]) -> Outputs:
        """Prepared films (N, C, S, S) -> outputs. Raises EngineFault when one of them is not finite."""
        logits, maps, distance = arrays = self._network.run(films, OUTPUTS)
        validate_finite(arrays, self.version)
        return Outputs(logits, maps, distance)


def _with_openvino(model: Exported, settings: Settings, throughput: bool) -> Network:
    folder = cache_folder(settings)
    return Compiled(
        model.network,
        precision_of(settings.precision),
        _threads(settings),
        throughput=throughput,
        kept=(folder, model.sha256) if folder else None,
    )


def _with_onnxruntime(model: Exported, settings: Settings, throughput: bool) -> Network:
    return Session(model, settings.precision, _threads(settings) or cores(), throughput=throughput)


RUNTIMES: dict[str, Callable[[Exported, Settings, bool], Network]] = {
    "openvino": _with_openvino,
    "onnxruntime": _with_onnxruntime,
}


def validate_finite(outputs: tuple[NDArray[np.float32], ...], version: str) -> None:
    """Raises EngineFault: a NaN would be below every threshold, and so be told as "no finding"."""
    if not all(np.isfinite(output).all() for output in outputs):
        raise EngineFault(
            f"The engine ({version}) gave numbers that are not finite, so there is no answer. Read the film with "
            "CXR_PRECISION=f32 or another CXR_ENGINE; if that is of no help, export the model again."
        )


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(settings: Settings) -> int:
    """Threads of one engine; 0 lets it take all cores."""
    if settings.threads or settings.workers <= 1:
        return settings.threads
    return max(1, cores() // settings.workers)
