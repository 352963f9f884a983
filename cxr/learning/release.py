"""A trained checkpoint becomes a model to be served: calibrated, with operating points, map scales and distances.

All of it is found on the validation patients; the test list is not read here.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.batches import prepared
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.datasets import PackedFilms
from cxr.learning.explain import gradcam
from cxr.learning.export import FeatureSpace
from cxr.learning.models import FilmNet
from cxr.metrics import aurocs, fit_platt, mean_auroc, operating_thresholds, sensitivity_specificity, sigmoid
from cxr.modelfile import ModelInfo, OperatingPoint, Platt
from cxr.tasks import TASKS, Preprocessing

SPACE_FILMS = 2000  # training films that the feature space is fitted to
MAP_PERCENTILE = 99
DISTANCE_PERCENTILE = 99


@dataclass(frozen=True)
class Seen:
    """What a network gives for a set of films."""

    logits: NDArray[np.float32]  # (N, K)
    peaks: NDArray[np.float32]  # (N, K), the highest value of each map
    pooled: NDArray[np.float32]  # (N, channels), average-pooled features


def look(net: FilmNet, films: PackedFilms, how: Preprocessing) -> Seen:
    """Run films through a network in float32."""
    net.eval()
    seen = []
    with torch.inference_mode():
        for x in prepared(films, how):
            features = net.features(x)
            seen.append((net.head(features), gradcam(net, features).amax((2, 3)), features.mean((2, 3))))
    return Seen(*(torch.cat(parts).numpy() for parts in zip(*seen, strict=True)))


def describe(
    checkpoint: Checkpoint, name: str, validation: PackedFilms, training: PackedFilms
) -> tuple[FeatureSpace, ModelInfo]:
    """The feature space and everything else that the exported file says about the model."""
    task, how, net = TASKS[checkpoint.task], checkpoint.preprocessing(), checkpoint.network()
    seen = look(net, validation, how)
    rows = np.random.default_rng(0).permutation(len(training))[:SPACE_FILMS]
    space = FeatureSpace.fit(look(net, training.take(np.sort(rows)), how).pooled)
    platt = {
        label: Platt(*fit_platt(seen.logits[:, k], validation.labels[:, k])) for k, label in enumerate(task.labels)
    }
    info = ModelInfo(
        name=name,
        task=task.name,
        title=task.title,
        audience=task.audience,
        labels=task.labels,
        kind=task.kind,
        preprocessing=how,
        architecture=f"{checkpoint.recipe.arch}, {checkpoint.recipe.pooling} pooling",
        platt=platt,
        operating_points=_operating_points(task.labels, _probabilities(seen, platt), validation.labels),
        map_scale={label: _map_scale(seen.peaks[:, k], validation.labels[:, k]) for k, label in enumerate(task.labels)},
        distance_scale=float(np.percentile(space.distance(seen.pooled), DISTANCE_PERCENTILE)),
        training={**_recipe(checkpoint), "validation": _figures(seen, validation, task.labels)},
    )
    return space, info


def _probabilities(seen: Seen, platt: dict[str, Platt]) -> NDArray[np.float64]:
    slope, intercept = np.array([(p.slope, p.intercept) for p in platt.values()]).T
    return sigmoid(seen.logits * slope + intercept)


def _operating_points(
    labels: tuple[str, ...], probabilities: NDArray[np.float64], truth: NDArray[np.float32]
) -> dict[str, dict[str, OperatingPoint]]:
    """Set name -> label -> operating point. Raises TrainingDataError for a label without both classes."""
    sets: dict[str, dict[str, OperatingPoint]] = {}
    for k, label in enumerate(labels):
        if len(np.unique(truth[:, k])) < 2:
            raise TrainingDataError(
                f"The validation films are all alike in {label}, so it has no operating point; raise --val-share."
            )
        for name, threshold in operating_thresholds(probabilities[:, k], truth[:, k]).items():
            reached = sensitivity_specificity(probabilities[:, k], truth[:, k], threshold)
            sets.setdefault(name, {})[label] = OperatingPoint(threshold, *reached)
    return sets


def _map_scale(peaks: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """99th percentile of the map's peak over positive films; over all films where there is no positive one."""
    positive = peaks[truth == 1]
    return float(max(np.percentile(positive if len(positive) else peaks, MAP_PERCENTILE), 1e-6))


def _recipe(checkpoint: Checkpoint) -> dict[str, Any]:
    return {**checkpoint.record, "recipe": dataclasses.asdict(checkpoint.recipe), "epoch": checkpoint.epoch}


def _figures(seen: Seen, validation: PackedFilms, labels: tuple[str, ...]) -> dict[str, Any]:
    each = aurocs(seen.logits, validation.labels)
    return {
        "mean_auroc": mean_auroc(seen.logits, validation.labels),
        "auroc": {label: None if np.isnan(a) else float(a) for label, a in zip(labels, each, strict=True)},
        "positives": {label: int((validation.labels[:, k] == 1).sum()) for k, label in enumerate(labels)},
    }
