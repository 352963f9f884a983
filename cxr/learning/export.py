"""Trained networks -> one ONNX file: outputs (logits, maps, distance), 8-bit weights, `ModelInfo` in its metadata."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from cxr.learning.ensemble import Ensemble
from cxr.modelfile import METADATA_KEY, OUTPUTS, ModelInfo

OPSET = 18
COMPONENTS = 64  # principal directions of the feature space that `distance` measures one by one
# Numbers in a weight from which it is stored in 8 bits, and from which in 16. Smaller ones keep their 32: those of
# first and of depthwise layers weigh next to nothing, and all others amplify their rounding.
SMALLEST_QUANTISED = 150_000
SMALLEST_HALVED = 10_000


@dataclass(frozen=True)
class FeatureSpace:
    """A Gaussian with full variance in the first directions and one variance in the rest (Tipping & Bishop 1999)."""

    mean: NDArray[np.float32]  # (K,)
    components: NDArray[np.float32]  # (d, K), orthonormal
    variances: NDArray[np.float32]  # (d,)
    rest: float  # variance in each remaining direction

    @classmethod
    def fit(cls, pooled: NDArray[np.float32]) -> "FeatureSpace":
        """Fit to average-pooled features (N, K) of the training films."""
        mean = pooled.mean(axis=0)
        _, singular, directions = np.linalg.svd(pooled - mean, full_matrices=False)
        variances = singular**2 / max(1, len(pooled) - 1)
        d = min(COMPONENTS, len(variances) - 1)
        rest = float(variances[d:].sum() / max(1, pooled.shape[1] - d))
        floor = max(rest, 1e-12)
        return cls(mean, directions[:d], np.maximum(variances[:d], floor).astype(np.float32), floor)

    def distance(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K) -> (N,): Mahalanobis distance over the square root of K, so about 1 for films like those fitted to."""
        return distance(torch.from_numpy(pooled), *self.tensors(), self.rest).numpy()

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """(mean, components, variances)."""
        return torch.from_numpy(self.mean), torch.from_numpy(self.components), torch.from_numpy(self.variances)


def distance(pooled: Tensor, mean: Tensor, components: Tensor, variances: Tensor, rest: float) -> Tensor:
    """(N, K) -> (N,). Along the components each by its own variance, across them all by `rest`."""
    centred = pooled - mean
    along = centred @ components.T
    across = torch.relu((centred**2).sum(1) - (along**2).sum(1))
    return torch.sqrt(((along**2 / variances).sum(1) + across / rest) / pooled.shape[1])


class ExportNet(nn.Module):
    """Films (N, C, S, S) -> logits (N, labels), maps of all labels (N, labels, h, w), distance (N,)."""

    mean: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, net: Ensemble, space: FeatureSpace):
        super().__init__()
        self.net = net
        self.rest = space.rest
        for name, tensor in zip(("mean", "components", "variances"), space.tensors(), strict=True):
            self.register_buffer(name, tensor)

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, maps, pooled = self.net(films)
        return logits, maps, distance(pooled, self.mean, self.components, self.variances, self.rest)


def export(net: Ensemble, space: FeatureSpace, info: ModelInfo, file: Path) -> None:
    """Write the ONNX file of one or more trained networks; the batch size stays free.

    It is for the caller to write under another name first, and to rename what has proved itself.
    """
    how = info.preprocessing
    example = torch.zeros(2, how.channels, how.size, how.size)
    graph = to_onnx(ExportNet(net, space).eval(), example, OUTPUTS)
    store_in_8_bits(graph)
    helper.set_model_props(graph, {METADATA_KEY: info.to_json()})
    onnx.checker.check_model(graph)
    file.write_bytes(graph.SerializeToString())


def to_onnx(module: nn.Module, example: Tensor, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """The graph of a module whose input is called `films`."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own future; nothing in it concerns this file
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["films"],
            output_names=list(outputs),
            dynamic_shapes={"films": {0: torch.export.Dim("n", min=1, max=4096)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def store_in_8_bits(graph: onnx.ModelProto) -> None:
    """Replace each large weight by int8 with one scale for each output channel, each smaller one by float16.

    Storage only: a DequantizeLinear or a Cast in front of the layer gives float32 back. int8 is symmetric, so the zero
    point is 0.
    """
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    convolved = {node.input[1] for node in graph.graph.node if node.op_type in ("Conv", "Gemm")}
    for name in sorted(convolved & weights.keys()):
        values = numpy_helper.to_array(weights[name])
        if values.size >= SMALLEST_QUANTISED:
            _quantise(graph, weights[name], values)
        elif values.size >= SMALLEST_HALVED:
            _halve(graph, weights[name], values)


def _halve(graph: onnx.ModelProto, tensor: TensorProto, values: NDArray[np.float32]) -> None:
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_16bit"))
    graph.graph.node.insert(0, helper.make_node("Cast", [f"{name}_16bit"], [name], to=TensorProto.FLOAT))


def _quantise(graph: onnx.ModelProto, tensor: TensorProto, values: NDArray[np.float32]) -> None:
    name = tensor.name
    rows = values.reshape(len(values), -1)
    scales = np.maximum(np.abs(rows).max(axis=1) / 127, 1e-12).astype(np.float32)
    stored = np.rint(rows / scales[:, None]).astype(np.int8).reshape(values.shape)
    tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}_8bit"))
    zeros = np.zeros(len(scales), np.int8)
    graph.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
    graph.graph.initializer.append(numpy_helper.from_array(zeros, f"{name}_zero"))
    inputs = [f"{name}_8bit", f"{name}_scale", f"{name}_zero"]
    graph.graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=0))
