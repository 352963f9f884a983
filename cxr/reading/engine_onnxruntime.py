"""Networks run by ONNX Runtime: the second engine, on an NVIDIA GPU where its package for those is installed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ModelFileError, SettingError
from cxr.reading.exported import Exported

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# TF32 would keep 10 bits of each product's factors, where f32 is what is stated.
PROVIDERS = {CUDA: {"use_tf32": "0"}, CPU: {}}  # the first that is there


class Session:
    """A network ready to run, always in f32. `run` may be called from several threads at once."""

    def __init__(self, model: Exported, precision: str, threads: int, *, throughput: bool = False):
        """`throughput`: each caller's film has a thread to itself, else one film has all `threads`.

        Raises:
            SettingError: ONNX Runtime is not installed, or another precision is asked for.
            ModelFileError: it cannot read the file.
        """
        if precision not in ("auto", "f32"):
            raise SettingError(f"CXR_PRECISION is {precision!r}; ONNX Runtime calculates in f32, OpenVINO in both.")
        runtime = _runtime()
        available = [(name, PROVIDERS[name]) for name in PROVIDERS if name in runtime.get_available_providers()]
        options = _options(runtime, 1 if throughput else threads)
        try:
            self._session = runtime.InferenceSession(model.content, options, providers=available)
        except Exception as error:  # its errors have no family
            raise ModelFileError(
                f"ONNX Runtime cannot read {model.name} ({error}); try CXR_ENGINE=openvino."
            ) from error
        where = "CUDA" if self._session.get_providers()[0] == CUDA else "CPU"
        self.precision = "f32"
        self.version = f"ONNX Runtime {runtime.__version__}, {where}, f32"
        self.at_once = threads if throughput else 1

    def run(self, films: NDArray[np.float32], outputs: tuple[str, ...]) -> tuple[NDArray[np.float32], ...]:
        """Named outputs for films (N, C, S, S)."""
        (name,) = (each.name for each in self._session.get_inputs())
        return tuple(self._session.run(list(outputs), {name: films}))


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingError(
            "CXR_ENGINE is onnxruntime, and that Python package is missing or broken; install it (pip install "
            "onnxruntime, or onnxruntime-gpu), or set CXR_ENGINE=openvino."
        ) from error
    return onnxruntime


def _options(runtime: Any, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads  # told, since with 0 it would pin each thread to a core
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from other callers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # 8 bits are how weights are stored: to floating point once, and not for each film.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options
