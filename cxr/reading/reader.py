"""The one pipeline by which every door reads a film: prepare, engine, check, calibrate."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import __version__
from cxr.errors import SettingError
from cxr.films.film import Film
from cxr.films.prepare import prepare
from cxr.modelfile import KINDS, ModelInfo, OperatingPoint, drawn_logits, draws_of
from cxr.reading.check import shipped_checker, with_distance
from cxr.reading.derived import DerivedEngine
from cxr.reading.engine import SHIPPED, Engine, Outputs
from cxr.reading.preparation import Preparation, Prepared
from cxr.reading.report import FilmCheck, Finding, ModelIdentity, Report, findings_of
from cxr.reading.site import SiteCalibration, site_calibrations
from cxr.settings import Settings
from cxr.uncertainty import intervals


class Reader:
    """Reads films with one model. `read` may be called from several threads at once."""

    def __init__(self, engine: Engine | DerivedEngine, operating_points: str, site: SiteCalibration | None = None):
        """Raises SettingError when the model lacks the operating points, or `site` was made for another model."""
        self._engine = engine
        self.info: ModelInfo = site.applied_to(engine.info, engine.sha256) if site else engine.info
        self._points = points_of(self.info, operating_points)
        self._draws = draws_of(self.info)
        self.identity = ModelIdentity(
            self.info.name,
            self.info.task,
            self.info.title,
            self.info.audience,
            self.info.architecture,
            engine.sha256,
            operating_points,
            self.info.kind,
            self.info.site,
            self.info.maps,
        )
        self.checker = shipped_checker()
        self.preparation = Preparation(self.info.preprocessing, self.info.task)
        self.versions = {"cxr": __version__, "engine": engine.version}

    @property
    def at_once(self) -> int:
        """Films that the engine reads at the same time when it is asked from as many threads."""
        return self._engine.at_once

    @classmethod
    def load(cls, path: str | Path | None = None, settings: Settings | None = None) -> "Reader":
        """A reader of the model file `path`, else of the first of the settings, else of the shipped chestxray14.

        Of the calibrations in the settings it takes that of the model's task.

        Raises:
            ModelFileError: the file is missing, damaged, or not exported by this project.
            SettingError: that calibration was made for another model, or one cannot be read.
        """
        settings = settings or Settings()
        first = next(iter(settings.model_files), SHIPPED)
        sites = site_calibrations(settings)
        engine = Engine(Path(path or first), settings)
        return cls(engine, settings.operating_point, sites.get(engine.info.task))

    def logits(self, film: Film) -> NDArray[np.float32]:
        """(K,): what calibration starts from."""
        x, _ = prepare(film.pixels, self.info.preprocessing)
        return np.asarray(self._engine.run(x).logits[0])

    def read(self, film: Film, *, anyway: bool = False) -> Report:
        """What the model sees in one film; nothing where the film check refuses it, unless it is read `anyway`."""
        return self.finish(self.preparation(film), anyway=anyway)

    def finish(self, prepared: Prepared, *, anyway: bool = False) -> Report:
        """What `read` says of a film that was `prepared` by this reader's `preparation`, here or in another process."""
        began = time.perf_counter()
        outputs = self._engine.run(prepared.x)
        engine_ms = round((time.perf_counter() - began) * 1e3, 2)
        check = self._check(prepared, outputs, anyway)
        told = check.accepted or check.read_anyway
        return Report(
            findings=self._findings(outputs) if told else (),
            maps=self._scaled(outputs.maps[0]) if told else np.zeros((0, 1, 1), np.uint8),
            box=prepared.box,
            model=self.identity,
            check=check,
            film=prepared.metadata,
            versions=self.versions,
            milliseconds={**prepared.milliseconds, "engine": engine_ms},
        )

    def _check(self, prepared: Prepared, outputs: Outputs, anyway: bool) -> FilmCheck:
        distance = round(float(outputs.distance[0]) / self.info.distance_scale, 3)
        check = FilmCheck(with_distance(prepared.reasons, distance), distance)
        return replace(check, read_anyway=anyway and not check.accepted)

    def _findings(self, outputs: Outputs) -> tuple[Finding, ...]:
        """Findings of one film, in the model's order."""
        kind = self.info.kind
        probabilities = self.info.probabilities(outputs.logits)  # (1, K)
        drawn = outputs.drawn if self._draws is None else drawn_logits(outputs.logits, self._draws)  # (D, 1, K)
        ends = None if drawn is None else intervals(KINDS[kind](drawn), probabilities)[0]
        return findings_of(probabilities[0], self._points, kind, ends)

    def _scaled(self, maps: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(K, h, w) -> uint8 on each label's fixed scale: 255 is `map_scale` and beyond."""
        scale = np.array([self.info.map_scale[label] for label in self.info.labels], np.float32)[:, None, None]
        shares = np.clip(maps / scale, 0, 1)  # (K, h, w)
        return np.asarray(np.rint(shares * 255), np.uint8)


def points_of(info: ModelInfo, name: str) -> dict[str, OperatingPoint | None]:
    """The set `name` of the model's operating points, in the order of its labels; None for those not calibrated.

    Raises:
        SettingError: the model has no such set.
    """
    if name not in info.operating_points:
        known = ", ".join(info.operating_points)
        raise SettingError(
            f"The model {info.name} has no operating points {name!r}; set CXR_OPERATING_POINT to {known}."
        )
    return {label: info.operating_points[name].get(label) for label in info.labels}
