"""What stands in a model file beside the network: the one thing that passes between learning and reading.

An exported model is an ONNX file whose metadata holds one JSON text under `METADATA_KEY`. Everything that a
reader needs to turn logits into an answer is in it, keyed by label name, so that a file can be served alone.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ModelFileError
from cxr.scaling import sigmoid, softmax
from cxr.tasks import Preprocessing

# How scaled logits (..., K) of a model of each kind become probabilities.
KINDS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "multilabel": sigmoid,  # each label by itself
    "multiclass": softmax,  # one label of all
}
# How maps of where a model looked are made -> what people call it.
MAPS = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "evidence": "evidence map",
}
DEFAULT_MAPS = "hirescam"  # chosen by deletion on validation films: docs/maps.md
# Sets of operating points in every file -> by what their thresholds were chosen.
POINT_SETS = {"youden": "Youden's J", "sensitivity90": "sensitivity 0.90", "specificity90": "specificity 0.90"}
METADATA_KEY = "cxr"
SCHEMA = 1
FAINTEST = 16  # of 255, the label's map scale: weaker evidence cannot be seen on a film
OUTPUTS = ("logits", "maps", "distance")  # (N, K), (N, K, h, w), (N,)


@dataclass(frozen=True)
class Platt:
    """slope * logit + intercept: under a sigmoid Platt scaling (Platt 1999).

    Under a softmax it is temperature scaling (Guo et al. 2017): slope 1 / T and intercept 0, alike for all classes.
    Where classes have other shares than in training, each has an intercept too (Alexandari et al. 2020).
    """

    slope: float = 1.0
    intercept: float = 0.0


def scaled(logits: NDArray[np.floating], platt: Iterable[Platt]) -> NDArray[np.float64]:
    """Logits (..., K) -> slope * logit + intercept (..., K); one Platt for each of the K labels, in their order."""
    slope, intercept = np.array([(p.slope, p.intercept) for p in platt]).T
    return np.asarray(slope * logits + intercept)


def scaling_of(labels: Iterable[str], platt: Mapping[str, Platt]) -> list[Platt]:
    """One for each label, in their order; the logits of a label that has none stay as they are."""
    return [platt.get(label, Platt()) for label in labels]


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


# One label's refits of its Platt to resampled validation patients: (slope, intercept) of each draw.
Resampled = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class SiteSample:
    """The films by which a site calibrated a model for itself."""

    date: str  # ISO 8601
    films: int
    patients: int
    labels: tuple[str, ...]  # those calibrated; the others keep the model's own calibration


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
    platt: dict[str, Platt]  # without the labels that could not be calibrated
    operating_points: dict[str, dict[str, OperatingPoint]]  # set name -> label -> point, of the labels in `platt`
    map_scale: dict[str, float]  # label -> map value that is drawn at full strength
    distance_scale: float  # distance below which 99 % of the validation films lie
    training: dict[str, Any] = field(default_factory=dict)  # the record: recipe, data, figures, versions
    resampled: dict[str, Resampled] = field(default_factory=dict)  # label -> its draws; without them no interval
    maps: str = "gradcam"  # one of MAPS; files from before there were others do not say it
    site: SiteSample | None = None  # whose calibration it has; a model file itself has its own

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """Labels whose probability is the plain sigmoid of the logit, and which have no operating point."""
        return tuple(label for label in self.labels if label not in self.platt)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (..., K) -> probabilities (..., K), calibrated but for the labels of `uncalibrated`."""
        return apply_calibration(logits, scaling_of(self.labels, self.platt), self.kind)

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelInfo":
        """Parse what `to_json` wrote.

        Raises:
            ModelFileError: the text is of another schema, the model of no known kind, its map scales are not of its
                labels, or its calibration and operating points not of the same ones, of all in a multiclass model.
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


class Resamples(Protocol):
    """What has draws of its calibration: a model, or a calibration in the making."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def resampled(self) -> dict[str, Resampled]: ...


def draws_of(info: Resamples) -> NDArray[np.float64] | None:
    """Slopes and intercepts (2, D, 1, K) of all draws; NaN where a label has no draw, None where no label has.

    Draw d of all labels is one resample of the patients, so that classes stay together.
    """
    if not info.resampled:
        return None
    pairs = np.full((len(info.labels), max(map(len, info.resampled.values())), 2), np.nan)  # (K, D, 2)
    for own, label in zip(pairs, info.labels, strict=True):
        draws = info.resampled.get(label, ())
        own[: len(draws)] = np.reshape(draws, (-1, 2))
    return pairs.transpose(2, 1, 0)[:, :, None]


def drawn_logits(logits: NDArray[np.floating], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits (N, K) -> `scaled` by each of the `draws` of the calibration (D, N, K)."""
    slope, intercept = draws
    return np.asarray(slope * logits + intercept)


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
        "resampled": resampled_of(raw.get("resampled", {})),
        "site": None,
    }


def resampled_of(raw: dict[str, Any]) -> dict[str, Resampled]:
    """Label -> draws, as JSON holds them. Raises ValueError or TypeError when they are not pairs of finite numbers."""
    made = {label: tuple((float(slope), float(other)) for slope, other in pairs) for label, pairs in raw.items()}
    if not all(pairs and np.isfinite(pairs).all() for pairs in made.values()):
        raise ValueError("a label has no draws of the calibration, or one that is not finite")
    return made


def _validate(info: ModelInfo) -> None:
    if info.kind not in KINDS:
        raise ModelFileError(f"The model file is of kind {info.kind!r}, not {' or '.join(KINDS)}; export it again.")
    if info.maps not in MAPS:
        raise ModelFileError(f"The model file has maps of {info.maps!r}, not {' or '.join(MAPS)}; export it again.")
    calibrated = set(info.labels if info.kind == "multiclass" else info.platt)
    parts: dict[str, tuple[set[str], Mapping[str, object]]] = {
        "map scale": (set(info.labels), info.map_scale),
        "calibration": (calibrated, info.platt),
        **{f"operating points {name!r}": (calibrated, points) for name, points in info.operating_points.items()},
    }
    for what, (expected, by_label) in parts.items():
        if differing := sorted(expected ^ set(by_label)):
            raise ModelFileError(
                f"The model file's {what} and its other parts differ in {', '.join(differing)}; export it again."
            )
