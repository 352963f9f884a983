"""What stands in a model file beside the network: the one thing that passes between learning and reading.

An exported model is an ONNX file whose metadata holds one JSON text under `METADATA_KEY`. Everything that a
reader needs to turn logits into an answer is in it, keyed by label name, so that a file can be served alone.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ModelFileError
from cxr.metrics import sigmoid, softmax
from cxr.tasks import Preprocessing

# How scaled logits (..., K) of a model of each kind become probabilities.
KINDS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "multilabel": sigmoid,  # each label by itself
    "multiclass": softmax,  # one label of all
}
METADATA_KEY = "cxr"
SCHEMA = 1
OUTPUTS = ("logits", "maps", "distance")  # (N, K), (N, K, h, w), (N,)


@dataclass(frozen=True)
class Platt:
    """slope * logit + intercept: under a sigmoid Platt scaling (Platt 1999).

    Under a softmax it is temperature scaling (Guo et al. 2017): slope 1 / T and intercept 0, alike for all classes.
    """

    slope: float = 1.0
    intercept: float = 0.0


def scaled(logits: NDArray[np.floating], platt: Iterable[Platt]) -> NDArray[np.float64]:
    """Logits (..., K) -> slope * logit + intercept (..., K); one Platt for each of the K labels, in their order."""
    slope, intercept = np.array([(p.slope, p.intercept) for p in platt]).T
    return np.asarray(slope * logits + intercept)


def apply_calibration(logits: NDArray[np.floating], platt: Iterable[Platt], kind: str) -> NDArray[np.float64]:
    """Logits (..., K) -> calibrated probabilities (..., K) of a model of `kind`, one of KINDS."""
    return KINDS[kind](scaled(logits, platt))


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the calibrated probability, with what it gave on the validation films."""

    threshold: float
    sensitivity: float
    specificity: float
    positives: int = 0  # validation films with the finding; of few of them, both shares say little


@dataclass(frozen=True)
class ModelInfo:
    """Everything about a model but its weights."""

    name: str
    task: str
    title: str
    audience: str
    labels: tuple[str, ...]
    kind: str
    preprocessing: Preprocessing
    architecture: str
    platt: dict[str, Platt]
    operating_points: dict[str, dict[str, OperatingPoint]]  # set name -> label -> point
    map_scale: dict[str, float]  # label -> map value that is drawn at full strength
    distance_scale: float  # distance below which 99 % of the validation films lie
    training: dict[str, Any] = field(default_factory=dict)  # the record: recipe, data, figures, versions

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelInfo":
        """Parse what `to_json` wrote.

        Raises:
            ModelFileError: the text is of another schema, the model of no known kind, or a label lacks its calibration.
        """
        try:
            raw = json.loads(text)
            schema = raw.pop("schema")
            if schema != SCHEMA:
                raise ModelFileError(
                    f"The model file has schema {schema}, this version reads {SCHEMA}; export it again."
                )
            info = cls(**{**raw, **_typed(raw)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(f"The model file's metadata cannot be read ({error}); export it again.") from error
        _validate(info)
        return info


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    how = raw["preprocessing"]
    return {
        "labels": tuple(raw["labels"]),
        "preprocessing": Preprocessing(how["size"], how["fit"], tuple(how["mean"]), tuple(how["std"])),
        "platt": {label: Platt(**p) for label, p in raw["platt"].items()},
        "operating_points": {
            name: {label: OperatingPoint(**p) for label, p in points.items()}
            for name, points in raw["operating_points"].items()
        },
    }


def _validate(info: ModelInfo) -> None:
    if info.kind not in KINDS:
        raise ModelFileError(f"The model file is of kind {info.kind!r}, not {' or '.join(KINDS)}; export it again.")
    keyed: dict[str, Mapping[str, object]] = {"calibration": info.platt, "map scale": info.map_scale}
    keyed |= {f"operating points {name!r}": points for name, points in info.operating_points.items()}
    for what, by_label in keyed.items():
        missing = [label for label in info.labels if label not in by_label]
        if missing:
            raise ModelFileError(f"The model file has no {what} for {', '.join(missing)}; export it again.")
