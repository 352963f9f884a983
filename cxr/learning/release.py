"""Trained networks become a model to be served: calibrated, with operating points, map scales and distances.

All of it is found on the training and validation patients; the test part is not read here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.learning.batches import prepared
from cxr.learning.calibration import calibrate
from cxr.learning.datasets import PackedFilms
from cxr.learning.ensemble import Ensemble
from cxr.learning.export import FeatureSpace
from cxr.learning.looking import Seen, look
from cxr.learning.tables import FilmTable
from cxr.metrics import aurocs, mean_auroc
from cxr.modelfile import KINDS, ModelInfo
from cxr.tasks import Task

SPACE_FILMS = 1000  # training films that the feature space is fitted to
MAP_PERCENTILE = 99
DISTANCE_PERCENTILE = 99


def describe(
    net: Ensemble, name: str, validation: FilmTable, seen: Seen, training: PackedFilms
) -> tuple[FeatureSpace, ModelInfo]:
    """The feature space and everything else that the exported file says about the model.

    `seen` is what the networks give for the validation films, read from their files as in serving. The feature space
    is fitted to packed training films, which are near enough for it.

    Raises:
        TrainingDataError: the validation films do not suffice for a calibration.
    """
    task, how = net.task, net.preprocessing
    calibration = calibrate(seen.logits, validation.labels, task.labels, task.kind, validation.patients)
    some = np.sort(np.random.default_rng(0).permutation(len(training))[:SPACE_FILMS])
    space = FeatureSpace.fit(look(net, prepared(training.take(some), how)).pooled)
    info = ModelInfo(
        name=name,
        task=task.name,
        title=task.title,
        audience=task.audience,
        labels=task.labels,
        kind=task.kind,
        preprocessing=how,
        architecture=net.describe(),
        platt=calibration.platt,
        operating_points=calibration.operating_points,
        map_scale=map_scales(seen.maps.max(axis=(2, 3)), validation.labels, task.labels),
        distance_scale=float(np.percentile(space.distance(seen.pooled), DISTANCE_PERCENTILE)),
        training=net.record | {"validation": _figures(seen.logits, validation.labels, task)},
        resampled=calibration.resampled,
        maps=net.maps,
    )
    return space, info


def map_scales(peaks: NDArray[np.float32], truth: NDArray[np.float32], labels: tuple[str, ...]) -> dict[str, float]:
    """99th percentile of each map's peak (N, K) over the positive films; over all where none is known to be."""
    positive = truth == 1
    positive |= ~positive.any(axis=0)
    scales = [np.percentile(peaks[positive[:, k], k], MAP_PERCENTILE) for k in range(len(labels))]
    return {label: float(max(scale, 1e-6)) for label, scale in zip(labels, scales, strict=True)}


def _figures(logits: NDArray[np.float32], truth: NDArray[np.float32], task: Task) -> dict[str, Any]:
    scores = KINDS[task.kind](logits)  # the logit of a class among several says nothing without the others'
    return {
        "mean_auroc": mean_auroc(scores, truth),
        "auroc": {
            label: None if np.isnan(area) else area
            for label, area in zip(task.labels, aurocs(scores, truth).tolist(), strict=True)
        },
        "positives": {label: int((truth[:, k] == 1).sum()) for k, label in enumerate(task.labels)},
        "films": len(truth),
    }
