"""Tasks that a model of another task answers: a child's pneumonia is all that is not normal to `pneumonia3`."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from cxr.modelfile import ModelInfo, OperatingPoint, Platt, drawn_logits, draws_of, scaled
from cxr.reading.engine import Engine, Outputs
from cxr.reading.site import SiteCalibration
from cxr.tasks import TASKS

SOURCES = {"pneumonia": "pneumonia3"}  # task -> the multiclass task whose models answer it too
HEALTHY_CLASS = "normal"
# Films that count as normal are those that do not count as ill, so that the promises of the two change places.
OTHER_SIDE = {"sensitivity90": "specificity90", "specificity90": "sensitivity90"}


class DerivedEngine:
    """An engine of a multiclass model with a healthy class, seen as one of the single finding "not healthy".

    Its logit is the log odds of 1 - p(healthy), so its calibration is the identity; `site` calibrates the classes. The
    draws of the classes' calibration give as many such logits, so its interval is that of p(healthy) turned round. Its
    map is the strongest of the other classes' maps at each place, each on its own scale; the healthy class's map would
    have to be subtracted, but where it was cut at zero it cannot be had.
    """

    def __init__(self, engine: Engine, task: str, site: SiteCalibration | None = None):
        """Raises SettingError when `site` was made for another model."""
        self._engine = engine
        self._source = site.applied_to(engine.info, engine.sha256) if site else engine.info
        self.info = derived_info(self._source, task)
        self.sha256, self.version, self.at_once = engine.sha256, engine.version, engine.at_once
        self._draws = draws_of(self._source)
        self._healthy = self._source.labels.index(HEALTHY_CLASS)

    def run(self, films: NDArray[np.float32]) -> Outputs:
        """Prepared films (N, C, S, S) -> outputs of one label."""
        outputs = self._engine.run(films)
        calibrated = scaled(outputs.logits, [self._source.platt[label] for label in self._source.labels])
        return Outputs(
            self._log_odds(calibrated).astype(np.float32),
            self._maps(outputs.maps),
            outputs.distance,
            None if self._draws is None else self._log_odds(drawn_logits(outputs.logits, self._draws)),
        )

    def _log_odds(self, calibrated: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of not healthy: (..., K) -> (..., 1)."""
        ill = np.logaddexp.reduce(np.delete(calibrated, self._healthy, axis=-1), axis=-1)
        return np.asarray((ill - calibrated[..., self._healthy])[..., None])

    def _maps(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K, h, w) -> (N, 1, h, w) in units of each map's own scale."""
        scale = np.array([self._source.map_scale[label] for label in self._source.labels], np.float32)
        shares = np.delete(maps / scale[:, None, None], self._healthy, axis=1)
        return np.asarray(shares.max(axis=1, keepdims=True))


def derived_info(source: ModelInfo, task: str) -> ModelInfo:
    """What a model of `SOURCES[task]` is as a model of `task`."""
    (label,) = TASKS[task].labels
    return dataclasses.replace(
        source,
        task=task,
        title=TASKS[task].title,
        labels=(label,),
        kind=TASKS[task].kind,
        platt={label: Platt()},
        operating_points={
            OTHER_SIDE.get(name, name): {label: _opposite(points)} for name, points in source.operating_points.items()
        },
        map_scale={label: 1.0},
        resampled={},  # its draws come with each film's logits
    )


def _opposite(points: dict[str, OperatingPoint]) -> OperatingPoint:
    """The point of "not healthy", from those of all classes: what lay below the healthy one lies above it."""
    healthy = points[HEALTHY_CLASS]
    ill = sum(point.positives for label, point in points.items() if label != HEALTHY_CLASS)
    return OperatingPoint(1 - healthy.threshold, healthy.specificity, healthy.sensitivity, ill)
