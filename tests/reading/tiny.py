"""Model files of a few hundred bytes that answer the same to every film: logits and maps are what the test says."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cxr.modelfile import METADATA_KEY, ModelInfo, OperatingPoint, Platt
from cxr.tasks import TASKS, Preprocessing

SETS = ("youden", "sensitivity90", "specificity90")
SIDE = 32  # pixels of the input


def tiny_info(task: str, *, slope: float = 1.0) -> ModelInfo:
    """Thresholds are 0.1, 0.2, ... in the order of the labels, one hundredth higher in each next set."""
    preset = TASKS[task]
    points = {
        name: {
            label: OperatingPoint(0.1 * (k + 1) + 0.01 * n, 0.8 + 0.01 * n, 0.7 + 0.01 * n, 10 * (k + 1))
            for k, label in enumerate(preset.labels)
        }
        for n, name in enumerate(SETS)
    }
    return ModelInfo(
        name=f"tiny {task}",
        task=task,
        title=preset.title,
        audience=preset.audience,
        labels=preset.labels,
        kind=preset.kind,
        preprocessing=Preprocessing(SIDE),
        architecture="none",
        platt={label: Platt(slope) for label in preset.labels},
        operating_points=points,
        map_scale={label: float(k + 1) for k, label in enumerate(preset.labels)},
        distance_scale=1.0,
    )


def without_calibration(info: ModelInfo, label: str) -> ModelInfo:
    """As a model is exported whose validation films were all alike in `label`."""
    points = {
        name: {known: p for known, p in points.items() if known != label}
        for name, points in info.operating_points.items()
    }
    platt = {known: p for known, p in info.platt.items() if known != label}
    return dataclasses.replace(info, platt=platt, operating_points=points)


# Draws of a calibration around slope 1: 41 slopes from 0.8 to 1.2, as Resampled.
DRAWS = tuple((0.8 + 0.01 * n, 0.0) for n in range(41))


def drawn_model(file: Path, task: str, logits: Sequence[float]) -> Path:
    """A model as `tiny_model` writes it, whose slope 1 is as unsure as DRAWS say."""
    info = dataclasses.replace(tiny_info(task), resampled=dict.fromkeys(TASKS[task].labels, DRAWS))
    return write_model(file, info, logits, [0.0] * len(logits))


def tiny_model(file: Path, task: str, logits: Sequence[float], maps: Sequence[float] = (), slope: float = 1.0) -> Path:
    """Write a model of `task` with these logits (K,); each map is one number in all 2 x 2 cells, 0 unless given."""
    return write_model(file, tiny_info(task, slope=slope), logits, maps or [0.0] * len(logits))


def write_model(file: Path, info: ModelInfo, logits: Sequence[float], maps: Sequence[float]) -> Path:
    count = len(logits)
    nothing = np.zeros((count, 3, 1, 1), np.float32)
    constants = {
        "nothing": nothing,
        "flat_nothing": nothing.reshape(count, 3),
        "logit": np.array(logits, np.float32),
        "map": np.array(maps, np.float32),
        "shape": np.array([0, 3], np.int64),
        "all": np.array([1, 2, 3], np.int64),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["films"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "flat_nothing", "logit"], ["logits"], transB=1),
        helper.make_node("AveragePool", ["films"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Conv", ["cells", "nothing", "map"], ["maps"]),
        helper.make_node("ReduceMean", ["films", "all"], ["distance"], keepdims=0),
    ]
    shapes = {"logits": ["n", count], "maps": ["n", count, 2, 2], "distance": ["n"]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("films", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: info.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file
