"""A site's own calibration of a model: what `python -m cxr calibrate` writes and CXR_CALIBRATION names."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxr.errors import SettingError
from cxr.modelfile import ModelInfo, OperatingPoint, Platt, Resampled, SiteSample, resampled_of
from cxr.settings import Settings

SCHEMA = 1
SHOWN = 12  # digits of a SHA-256 in a sentence


@dataclass(frozen=True)
class SiteCalibration:
    """Calibration, operating points and draws of some labels, bound to one model file. Labels it lacks keep theirs."""

    model: str  # its name
    sha256: str  # of the model file
    task: str
    sample: SiteSample
    platt: dict[str, Platt]
    operating_points: dict[str, dict[str, OperatingPoint]]  # set name -> label -> point
    resampled: dict[str, Resampled]
    figures: dict[str, Any] = field(default_factory=dict)  # label -> films, ECE and Brier before and after
    file: str = ""  # where it was read from

    def to_json(self) -> str:
        plain = dataclasses.asdict(self)
        del plain["file"]
        return json.dumps({"schema": SCHEMA, **plain}, indent=1, sort_keys=True, allow_nan=False)

    @classmethod
    def read(cls, file: Path) -> "SiteCalibration":
        """Raises SettingError when the file is missing or is not what `to_json` wrote."""
        try:
            return cls.restore(file.read_bytes(), str(file))
        except OSError as error:
            raise SettingError(
                f"The calibration {file} cannot be read ({error.strerror}); look at CXR_CALIBRATION."
            ) from error

    @classmethod
    def restore(cls, text: str | bytes, file: str) -> "SiteCalibration":
        """Raises SettingError, which calls it `file`, when `text` is not what `to_json` wrote."""
        try:
            raw = json.loads(text)
            if (schema := raw.pop("schema")) != SCHEMA:
                raise SettingError(f"{file} has schema {schema}, this version reads {SCHEMA}; {_AGAIN}.")
            made = cls(**{**raw, **_typed(raw)}, file=file)
            _validate(made)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SettingError(f"{file} is not a calibration of this project ({error}); {_AGAIN}.") from error
        return made

    def applied_to(self, info: ModelInfo, sha256: str) -> ModelInfo:
        """The model `info`, whose file has `sha256`, as it is calibrated here.

        Raises:
            SettingError: this was made for another model, or for labels that it does not have.
        """
        if sha256 != self.sha256:
            raise SettingError(
                f"{self.file} was made for the model {self.model} (SHA-256 {self.sha256[:SHOWN]}), and the task "
                f"{info.task} is read by {info.name} (SHA-256 {sha256[:SHOWN]}); make it again with "
                "`python -m cxr calibrate`, or take it out of CXR_CALIBRATION."
            )
        if unknown := [label for label in self.platt if label not in info.labels]:
            raise SettingError(
                f"{self.file} calibrates {', '.join(unknown)}, which the model {info.name} does not know; {_AGAIN}."
            )
        points = {
            name: {**known, **self.operating_points[name]}
            for name, known in info.operating_points.items()
            if name in self.operating_points
        }
        resampled = {label: draws for label, draws in info.resampled.items() if label not in self.platt}
        return dataclasses.replace(
            info,
            platt={**info.platt, **self.platt},
            operating_points=points,
            resampled=resampled | self.resampled,
            site=self.sample,
        )


_AGAIN = "make it again with `python -m cxr calibrate`"


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    sample = raw["sample"]
    return {
        "sample": SiteSample(**{**sample, "labels": tuple(sample["labels"])}),
        "platt": {label: Platt(**p) for label, p in raw["platt"].items()},
        "operating_points": {
            name: {label: OperatingPoint(**p) for label, p in points.items()}
            for name, points in raw["operating_points"].items()
        },
        "resampled": resampled_of(raw["resampled"]),
    }


def _validate(made: SiteCalibration) -> None:
    """Raises ValueError."""
    if not all(isinstance(text, str) for text in (made.model, made.sha256, made.task)):
        raise ValueError("its model, sha256 or task is no text")
    if len({len(draws) for draws in made.resampled.values()}) > 1:
        raise ValueError("its labels have not the same number of draws")
    if inverted := [label for label, platt in made.platt.items() if platt.slope <= 0]:
        raise ValueError(f"its slope of {inverted[0]} is {made.platt[inverted[0]].slope:g}, not above 0")
    labels = set(made.sample.labels)
    by_label: list[Mapping[str, object]] = [made.platt, made.resampled, *made.operating_points.values()]
    if not all(labels == set(each) for each in by_label):
        raise ValueError("its labels are not the same in all parts")
    points = [point for each in made.operating_points.values() for point in each.values()]
    numbers = [n for p in made.platt.values() for n in dataclasses.astuple(p)]
    numbers += [n for point in points for n in dataclasses.astuple(point)]
    if not labels or not points or not all(np.isfinite(number) for number in numbers):
        raise ValueError("a number is missing or not finite")


def site_calibrations(settings: Settings) -> dict[str, SiteCalibration]:
    """Those that the settings name, by task. Raises SettingError when one cannot be read or two are of one task."""
    made: dict[str, SiteCalibration] = {}
    for file in settings.calibration_files:
        site = SiteCalibration.read(file)
        if site.task in made:
            raise SettingError(
                f"{made[site.task].file} and {file} are both calibrations of the task {site.task}; "
                "name one of them in CXR_CALIBRATION."
            )
        made[site.task] = site
    return made
