"""Array in, outputs out: an exported model run by OpenVINO, with its precision stated."""

import hashlib
import os
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager

from cxr.errors import ModelFileError
from cxr.modelfile import METADATA_KEY, OUTPUTS, ModelInfo
from cxr.settings import Settings

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"  # the models that come with the project
SHIPPED = WEIGHTS / "chestxray14.onnx"
CPU_FLAGS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Outputs:
    """What one forward pass gives for N films."""

    logits: NDArray[np.float32]  # (N, K)
    maps: NDArray[np.float32]  # (N, K, h, w), by the model's method, not scaled
    distance: NDArray[np.float32]  # (N,)
    drawn: NDArray[np.float64] | None = None  # (D, N, K): the logits in each draw of the calibration behind them


class Compiled:
    """A compiled network. `run` may be called from several threads at once."""

    def __init__(self, network: openvino.Model, precision: str, threads: int, *, throughput: bool = False):
        """`throughput`: each thread runs a film of its own, which serves many films best; else one film is hurried."""
        if throughput:
            _fold_constants(network)
        self._compiled = openvino.Core().compile_model(
            network,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                # Pinned, two processes on one machine would take the same core and leave the other idle.
                "ENABLE_CPU_PINNING": False,
            },
        )
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


def _fold_constants(network: openvino.Model) -> None:
    """8-bit weights to floating point now: OpenVINO 2026.4 does it once for each stream, and mixes them up (NaN)."""
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(network)


class Engine:
    """A compiled model. `run` may be called from several threads at once."""

    def __init__(self, model: Path, settings: Settings | None = None, *, throughput: bool = False):
        """Read and compile `model`; with `throughput` for many films at once instead of each as soon as possible.

        Raises:
            ModelFileError: the file is missing, damaged, or not exported by this project.
        """
        settings = settings or Settings()
        self.model = model
        network = read_network(model)
        self.info = _read_info(network, model)
        self.precision = _precision(settings.precision)
        self._compiled = Compiled(network, self.precision, _threads(settings), throughput=throughput)
        self.at_once = self._compiled.at_once  # films that run at the same time, asked from as many threads

    @cached_property
    def sha256(self) -> str:
        """Of the model file: which weights answered."""
        return sha256_of(self.model)

    @property
    def version(self) -> str:
        return f"OpenVINO {openvino.__version__.split('-')[0]}, {self.precision}"

    def run(self, films: NDArray[np.float32]) -> Outputs:
        """Prepared films (N, C, S, S) -> outputs."""
        logits, maps, distance = self._compiled.run(films, OUTPUTS)
        return Outputs(logits, maps, distance)


def sha256_of(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()


def read_info(model: Path) -> ModelInfo:
    """What `model` says about itself, without compiling it. Raises ModelFileError as Engine does."""
    return _read_info(read_network(model), model)


def read_network(model: Path) -> openvino.Model:
    try:
        model.open("rb").close()
        return openvino.Core().read_model(model)
    except OSError as error:
        raise ModelFileError(
            f"The model file {model.name!r} cannot be opened ({error.strerror}); give an exported .onnx file with "
            "--model."
        ) from error
    except RuntimeError as error:
        raise ModelFileError(
            f"The model file {model.name} cannot be read: it is damaged or not an ONNX file; copy or export it again."
        ) from error


def _read_info(network: openvino.Model, model: Path) -> ModelInfo:
    names = {name for output in network.outputs for name in output.names}
    text = metadata_of(network, METADATA_KEY, model)
    if not names.issuperset(OUTPUTS):
        raise ModelFileError(f"{model.name} has outputs {sorted(names)}, not {list(OUTPUTS)}; export it again.")
    try:
        return ModelInfo.from_json(text)
    except ModelFileError as error:
        raise ModelFileError(f"{model.name}: {error}") from error


def metadata_of(network: openvino.Model, key: str, model: Path) -> str:
    """The text under `key` in the file `model`. Raises ModelFileError without it."""
    try:
        return str(network.get_rt_info(["framework", key]).astype(str))
    except RuntimeError as error:
        raise ModelFileError(f"{model.name} was not exported by this project; use `python -m cxr export`.") from error


def _precision(wanted: str) -> str:
    """bf16 only with AMX: a processor that merely has the AVX-512 bf16 instructions is slower with them than in f32."""
    if wanted != "auto":
        return wanted
    return "bf16" if CPU_FLAGS.exists() and "amx_bf16" in CPU_FLAGS.read_text() else "f32"


def _threads(settings: Settings) -> int:
    """Threads of one engine; 0 lets OpenVINO take all cores."""
    if settings.threads or settings.workers <= 1:
        return settings.threads
    return max(1, (os.cpu_count() or 1) // settings.workers)
