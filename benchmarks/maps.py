"""Fourteen probabilities and fourteen maps: what they cost by each way, and how far from the arithmetic floor."""

import argparse
import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset15 as ops
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import Part, Row, in_turn, ratio, spread
from benchmarks.usual import HookedGradCam
from cxr.learning.ensemble import Answers
from cxr.learning.explain import METHODS
from cxr.learning.export import ExportNet, FeatureSpace, to_onnx
from cxr.learning.models import FilmNet, build
from cxr.modelfile import DEFAULT_MAPS, MAPS, OUTPUTS
from cxr.reading.engine import cores
from cxr.reading.engine_onnxruntime import Session
from cxr.reading.engine_openvino import Compiled, precision_of
from cxr.reading.exported import Exported

LABELS = 14
ARCH, POOLING = "resnet50v2", "lse"  # those of the shipped model
REFERENCE = "torch, one forward and fourteen backward passes"
PACKAGE = "grad-cam package, each finding by itself"
ALONE = "probabilities alone"
PEAK_LAYERS, PEAK_CHANNELS, PEAK_SIDE = 6, 256, 56  # of the convolutions by which the machine's peak is measured

Call = Callable[[], Any]


class Looking(nn.Module):
    """`Answers` of a network with random weights."""

    def __init__(self, net: FilmNet, method: str):
        super().__init__()
        self.net, self.method = net, METHODS[method]

    def forward(self, films: Tensor) -> Answers:
        features = self.net.features(films)
        return Answers(self.net.head(features), self.method(self.net, features), features.mean((2, 3)))


def measure(options: argparse.Namespace) -> Part:
    """Each size and batch; all contenders hold the same weights, and their maps are held equal first."""
    rows = [row for size in options.sizes for row in _rows_of_size(size, options)]
    note = (
        f"{ARCH} with {POOLING} pooling, random weights, Grad-CAM but where said otherwise. Times faster than the "
        "first row, by the median of the rounds; spread: least to greatest of the rounds. Floor: the network's "
        "operations over the rate of a large convolution in the same precision."
    )
    return Part("Fourteen probabilities and fourteen maps", rows, note)


def _rows_of_size(size: int, options: argparse.Namespace) -> Iterator[Row]:
    net = build(ARCH, POOLING, labels=LABELS, channels_in=3, seed=0).eval()
    operations, peaks = _operations(net, size), {precision: _peak(precision) for precision in _precisions()}
    with tempfile.TemporaryDirectory() as folder:
        files = {method: _exported(net, method, size, Path(folder)) for method in ("gradcam", DEFAULT_MAPS)}
        hooked_net = copy.deepcopy(net)  # hooks stay on the network that they are put on
        hooked = HookedGradCam(hooked_net, hooked_net.trunk)
        expected = [part.numpy() for part in hooked(_random_films(1, size))]
        for batch in options.batches:
            contenders = _contenders(net, _random_films(batch, size), files, hooked, expected)
            if options.quick:
                contenders = {name: call for name, call in contenders.items() if name not in (REFERENCE, PACKAGE)}
            spent = in_turn(contenders, options.budget)
            first = next(iter(spent))
            for name, seconds in spent.items():
                yield {
                    "px": str(size),
                    "films": str(batch),
                    "way": name,
                    "ms": median(seconds) * 1e3,
                    "spread": spread(seconds, 1e3),
                    "rounds": str(len(seconds)),
                    "times faster": ratio(spent[first], seconds),
                    "times the floor": median(seconds) * peaks[_precision(name)] / (operations * batch),
                    "against probabilities alone": _extra(name, spent),
                }


def _random_films(batch: int, size: int) -> Tensor:
    """(batch, 3, size, size); the first is the same in every batch."""
    return torch.from_numpy(np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32))


def _extra(name: str, spent: dict[str, list[float]]) -> str:
    """What maps and distance add to the same engine's plain forward pass."""
    plain = spent.get(f"{name.partition(',')[0]}, {ALONE}")
    if plain is None or "this project" not in name:
        return ""
    return f"{(1 / ratio(plain, spent[name]) - 1) * 100:+.1f} %"


def _contenders(
    net: FilmNet, films: Tensor, files: dict[str, Path], hooked: HookedGradCam, expected: list[NDArray[np.float32]]
) -> dict[str, Call]:
    """Name -> a call that answers for `films`; those that are quick are held equal to `expected`, of the first film."""
    array, looking = films.numpy(), Looking(net, "gradcam")
    packaged_net = copy.deepcopy(net)
    package = GradCAM(model=packaged_net, target_layers=[packaged_net.trunk])
    session = Session(Exported.read(files["gradcam"]), "f32", cores())
    _hold_equal(expected, [part.numpy() for part in _without_gradients(looking, films[:1])[:2]])
    _hold_equal(expected, session.run(array[:1], OUTPUTS[:2]))
    return {
        REFERENCE: lambda: hooked(films),
        PACKAGE: lambda: _with_package(package, films),
        f"torch, {ALONE}": lambda: _without_gradients(net, films),
        "torch, this project": lambda: _without_gradients(looking, films),
        **{name: call for precision in _precisions() for name, call in _openvino(files, array, precision, expected)},
        "ONNX Runtime f32, this project": lambda: session.run(array, OUTPUTS),
    }


def _precision(name: str) -> str:
    return "bf16" if " bf16" in name else "f32"


def _precisions() -> list[str]:
    return ["f32", "bf16"] if precision_of("auto") == "bf16" else ["f32"]


def _openvino(
    files: dict[str, Path], films: NDArray[np.float32], precision: str, expected: list[NDArray[np.float32]]
) -> Iterator[tuple[str, Call]]:
    networks = {method: Exported.read(file).network for method, file in files.items()}
    plain = openvino.Model([networks["gradcam"].output("logits")], networks["gradcam"].get_parameters())
    alone = Compiled(plain, precision, 0)
    yield f"OpenVINO {precision}, {ALONE}", lambda: alone.run(films, ("logits",))
    for method, network in networks.items():
        compiled = Compiled(network, precision, 0)
        if method == "gradcam" and precision == "f32":
            _hold_equal(expected, compiled.run(films[:1], OUTPUTS[:2]))
        yield f"OpenVINO {precision}, this project, {MAPS[method]}", lambda one=compiled: one.run(films, OUTPUTS)


def _without_gradients(net: nn.Module, films: Tensor) -> Any:
    with torch.inference_mode():
        return net(films)


def _with_package(package: GradCAM, films: Tensor) -> list[NDArray[np.float32]]:
    return [package(films, [ClassifierOutputTarget(label)] * len(films)) for label in range(LABELS)]


def _hold_equal(expected: Sequence[NDArray[np.float32]], given: Sequence[NDArray[np.float32]]) -> None:
    for right, other in zip(expected, given, strict=True):
        np.testing.assert_allclose(other, right, atol=1e-3 * float(np.abs(right).max()))


def _exported(net: FilmNet, method: str, size: int, folder: Path) -> Path:
    pooled = np.random.default_rng(0).normal(size=(200, 2048)).astype(np.float32)
    module = ExportNet(cast(Any, Looking(net, method)), FeatureSpace.fit(pooled)).eval()
    file = folder / f"{method}.onnx"
    file.write_bytes(to_onnx(module, torch.zeros(2, 3, size, size), OUTPUTS).SerializeToString())
    return file


def _operations(net: FilmNet, size: int) -> int:
    """Of one film; a multiply-add is two."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops())


def _peak(precision: str) -> float:
    """Operations a second in large convolutions, the best of several runs."""
    shape = (1, PEAK_CHANNELS, PEAK_SIDE, PEAK_SIDE)
    random = np.random.default_rng(0)
    films = layer = ops.parameter(shape, np.float32)
    for _ in range(PEAK_LAYERS):
        kernel = random.normal(0, 0.01, (PEAK_CHANNELS, PEAK_CHANNELS, 3, 3)).astype(np.float32)
        layer = ops.convolution(layer, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
    layer.output(0).set_names({"layer"})
    compiled = Compiled(openvino.Model([layer], [films]), precision, 0)
    array = random.normal(size=shape).astype(np.float32)
    seconds = min(in_turn({"peak": lambda: compiled.run(array, ("layer",))}, 5)["peak"])
    return 2 * 9 * PEAK_CHANNELS**2 * PEAK_SIDE**2 * PEAK_LAYERS / seconds
