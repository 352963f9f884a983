"""Calibrations as a site makes them, without its films."""

import dataclasses
from typing import Any

from cxr.modelfile import OperatingPoint, Platt, SiteSample
from cxr.reading.reader import Reader
from cxr.reading.site import SiteCalibration


def site_calibration(reader: Reader, **other: Any) -> SiteCalibration:
    """Of Mass alone, by which every film is above; `other`: what is to be different."""
    point = OperatingPoint(0.0, 1.0, 0.0, 9)
    points = {name: {"Mass": point} for name in reader.info.operating_points}
    sample = SiteSample("2026-11-01", 120, 100, ("Mass",))
    draws = {"Mass": ((1.0, 0.0),) * len(next(iter(reader.info.resampled.values())))}
    made = SiteCalibration(
        "model", reader.identity.sha256, reader.info.task, sample, {"Mass": Platt(1.0, 0.0)}, points, draws
    )
    return dataclasses.replace(made, **other)
