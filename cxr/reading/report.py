"""What was read in one film: findings, maps and where both come from."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.errors import NotFound
from cxr.films.film import Film, Metadata
from cxr.films.prepare import Box
from cxr.films.reasons import REFUSE, WARN, Reason
from cxr.modelfile import MAPS, POINT_SETS, OperatingPoint, SiteSample
from cxr.tasks import HEALTHY, TITLES

DISCLAIMER = "For research and education. Not a medical device: no decision about a patient may rest on it."


@dataclass(frozen=True)
class Finding:
    """One label's answer."""

    label: str
    probability: float  # in [0, 1]; calibrated where there is an operating point
    operating_point: OperatingPoint | None  # None: the validation films were all alike in this label
    above: bool  # multilabel: at or above the operating point; multiclass: the most probable of all
    interval: tuple[float, float] | None = None  # 95 %, of the calibration alone; None where the model has none

    @property
    def alarm(self) -> bool:
        """Above, and not a label of the healthy."""
        return self.above and self.label not in HEALTHY

    @property
    def title(self) -> str:
        return title_of(self.label)

    @property
    def margin(self) -> float | None:
        """Log odds by which the probability lies above the operating point; None without one."""
        point = self.operating_point
        return None if point is None else log_odds(self.probability) - log_odds(point.threshold)


def title_of(label: str) -> str:
    """The label as people write it: `Pleural_Thickening` -> `Pleural thickening`."""
    return TITLES.get(label) or label.replace("_", " ").capitalize()


def findings_of(
    probabilities: Iterable[float],
    points: Mapping[str, OperatingPoint | None],
    kind: str,
    intervals: NDArray[np.float64] | None = None,
) -> tuple[Finding, ...]:
    """Findings of probabilities (K,), in the order of `points`; the one rule of what is above.

    `intervals` (K, 2) are low and high; NaN where there is none.
    """
    given = [float(p) for p in probabilities]
    if kind == "multiclass":
        above = [k == int(np.argmax(given)) for k in range(len(given))]
    else:
        above = [point is not None and p >= point.threshold for p, point in zip(given, points.values(), strict=True)]
    ends = [None] * len(given) if intervals is None else [_interval(*pair) for pair in intervals.tolist()]
    return tuple(Finding(*parts) for parts in zip(points, given, points.values(), above, ends, strict=True))


def _interval(low: float, high: float) -> tuple[float, float] | None:
    return None if np.isnan(low) or np.isnan(high) else (low, high)


@dataclass(frozen=True)
class FilmCheck:
    """May this film be read?"""

    reasons: tuple[Reason, ...] = ()  # refusals first
    distance: float = 0.0  # from the films the model was trained on; 1.0 is the 99th percentile of validation films
    read_anyway: bool = False  # refused, and read because a person said so
    accepted: bool = field(init=False)  # no reason refuses it

    def __post_init__(self) -> None:
        object.__setattr__(self, "accepted", not self.refusals)

    @property
    def refusals(self) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if reason.severity == REFUSE)

    @property
    def warnings(self) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if reason.severity == WARN)

    @property
    def sentence(self) -> str:
        """Why the film is refused; empty when it is not."""
        return " ".join(reason.text for reason in self.refusals)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "FilmCheck":
        """What `dataclasses.asdict` made of one; reports stored before there was a check have no reasons."""
        reasons = tuple(Reason(**reason) for reason in raw["reasons"])
        return cls(reasons, raw["distance"], raw.get("read_anyway", False))


@dataclass(frozen=True)
class ModelIdentity:
    """Which file answered."""

    name: str
    task: str
    title: str
    audience: str
    architecture: str
    sha256: str
    operating_points: str  # name of the set by which findings count as above
    kind: str = "multilabel"  # reports stored before there were others do not say it
    calibration: SiteSample | None = None  # the site's own films by which it was calibrated; None: the model's own
    maps: str = "gradcam"  # how its maps are made, one of MAPS; reports from before there were others do not say it

    @property
    def multiclass(self) -> bool:
        return self.kind == "multiclass"

    @property
    def maps_title(self) -> str:
        return MAPS[self.maps]

    @property
    def points_title(self) -> str:
        """By what the operating points were chosen, in words."""
        return POINT_SETS.get(self.operating_points, self.operating_points)


@dataclass(frozen=True)
class Report:
    """What was read in one film; of a film that the check refuses nothing, unless it was read anyway.

    `maps` is (K, h, w) uint8, one map for each finding in the order of `findings`: 0 no evidence, 255 the label's
    `map_scale` and beyond. The scale is fixed for each label, so maps of different films can be compared.
    """

    findings: tuple[Finding, ...]
    maps: NDArray[np.uint8]
    box: Box  # where the film lies in the square that the maps cover
    model: ModelIdentity
    check: FilmCheck
    film: Metadata
    versions: dict[str, str] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)

    def finding(self, label: str) -> Finding:
        """The finding of `label`. Raises NotFound when the model does not know the label."""
        return self.findings[self._position(label)]

    def map_of(self, label: str) -> NDArray[np.uint8]:
        """The (h, w) uint8 map of `label`. Raises NotFound when the model does not know the label."""
        return np.asarray(self.maps[self._position(label)])

    def ranked(self) -> list[Finding]:
        """Findings, the furthest above its own operating point first (log odds, so rare findings compare fairly).

        Those without one come last. The classes of a multiclass model share one whole, so there the most probable comes
        first.
        """
        if self.model.multiclass:
            return sorted(self.findings, key=lambda f: -f.probability)
        return sorted(self.findings, key=_below_its_point)

    def strength(self, finding: Finding) -> float:
        """In [0, 1]: the odds of a finding over those of its operating point, as a share, so 0.5 there; 0 without one.

        Probabilities of rare findings are small even when they are remarkable; this compares them with common ones.
        The classes of a multiclass model compare by their probabilities.
        """
        if self.model.multiclass:
            return finding.probability
        return 0.0 if finding.margin is None else share_of(finding.margin)

    def uncalibrated(self) -> list[Finding]:
        """The findings without an operating point, which are never above."""
        return [finding for finding in self.findings if finding.operating_point is None]

    def alarms(self) -> list[Finding]:
        """The findings above that stand for a disease, ranked."""
        return [finding for finding in self.ranked() if finding.alarm]

    def headline(self) -> str:
        """What was read, in a few words. A label of the healthy may be above without an alarm."""
        alarms, top = self.alarms(), self.top()
        if self.model.multiclass:
            return f"Most probable: {top.title}"
        if not alarms:
            who = f"Only “{top.title}”" if top.above else "No finding"
            return f"{who} above its operating point"
        asked = sum(f.label not in HEALTHY and f.operating_point is not None for f in self.findings)
        if asked == 1:
            return f"{top.title} above its operating point"
        whose = "its operating point" if len(alarms) == 1 else "their operating points"
        return f"{len(alarms)} of {asked} findings above {whose}"

    def top(self) -> Finding:
        """The first alarm, else the first in rank."""
        return next(iter(self.alarms()), self.ranked()[0])

    def to_dict(self) -> dict[str, Any]:
        """All but the maps, ready for JSON."""
        parts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("maps", "findings")}
        plain = {name: dataclasses.asdict(p) if dataclasses.is_dataclass(p) else p for name, p in parts.items()}  # type: ignore[arg-type]
        return {"findings": [dataclasses.asdict(f) for f in self.findings], **plain}

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def restore(cls, text: str, maps: bytes) -> "Report":
        """The report that `to_json()` and `maps_png()` stored."""
        raw = json.loads(text)
        findings = tuple(_finding(f) for f in raw["findings"])
        return cls(
            findings,
            _maps(maps, len(findings)),
            Box(**raw["box"]),
            _identity(raw["model"]),
            FilmCheck.from_dict(raw["check"]),
            _metadata(raw["film"]),
            raw["versions"],
            raw["milliseconds"],
        )

    def maps_png(self) -> bytes:
        """All maps stacked into one grey PNG (K * h rows, w columns): lossless and small. Nothing of a refused film."""
        count, height, width = self.maps.shape
        return b"" if not count else _png(self.maps.reshape(count * height, width))

    def heatmap_png(self, label: str, side: int = 448) -> bytes:
        """RGBA PNG of the label's map in colour, cut to the film's own shape; its longer side is `side` pixels.

        Colour alone, never the film. Opacity rises with the map, so a film without evidence stays clear.
        """
        return _png(_colour(self._map_on_film(label, side)))

    def overlay_png(self, label: str, film: Film) -> bytes:
        """RGB PNG of the film at its full size with the label's heat map laid over it."""
        return _png(self.overlay(label, film))

    def overlay(self, label: str, film: Film) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR: the film at its full size with the label's heat map laid over it."""
        height, width = film.pixels.shape
        colours = _colour(self._map_on_film(label, max(height, width)))
        colours = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        opacity = colours[..., 3:] / 255 * 0.6
        blended = film.pixels[..., None] * 255 * (1 - opacity) + colours[..., :3] * opacity
        return np.asarray(blended.round(), np.uint8)

    def _position(self, label: str) -> int:
        labels = [f.label for f in self.findings]
        if label not in labels:
            raise NotFound(f"The model {self.model.name} has no finding {label!r}; it knows {', '.join(labels)}.")
        return labels.index(label)

    def _map_on_film(self, label: str, side: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the label's map enlarged smoothly and cut to where the film lies in the square."""
        square_side = round(side / max(self.box.right - self.box.left, self.box.bottom - self.box.top))
        square = cv2.resize(self.map_of(label), (square_side, square_side), interpolation=cv2.INTER_LINEAR)
        rows = slice(round(self.box.top * square_side), max(1, round(self.box.bottom * square_side)))
        columns = slice(round(self.box.left * square_side), max(1, round(self.box.right * square_side)))
        return np.asarray(square[rows, columns], np.uint8)


def _below_its_point(finding: Finding) -> float:
    """Log odds from the probability up to the operating point; infinite without one."""
    return math.inf if finding.margin is None else -finding.margin


def share_of(log_odds: float) -> float:
    """In [0, 1]; of a margin over an operating point it is the length of a finding's bar, 0.5 at the point."""
    return 1 / (1 + math.exp(-log_odds))


def log_odds(probability: float) -> float:
    """Finite: as of at least 1e-7 and at most 1 - 1e-7."""
    clipped = min(max(probability, 1e-7), 1 - 1e-7)
    return float(np.log(clipped / (1 - clipped)))


def _maps(stored: bytes, count: int) -> NDArray[np.uint8]:
    """What `maps_png()` made of `count` maps. Raises ValueError for anything else."""
    if not count:
        return np.zeros((0, 1, 1), np.uint8)
    tall = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE)
    if tall is None:
        raise ValueError("the stored maps are not a PNG")
    return tall.reshape(count, -1, tall.shape[1]).astype(np.uint8, copy=False)


def _finding(raw: dict[str, Any]) -> Finding:
    interval = raw.get("interval")
    point = OperatingPoint(**raw["operating_point"]) if raw["operating_point"] else None
    return Finding(**{**raw, "operating_point": point, "interval": tuple(interval) if interval else None})


def _identity(raw: dict[str, Any]) -> ModelIdentity:
    site = raw.get("calibration")
    return ModelIdentity(
        **{**raw, "calibration": SiteSample(**{**site, "labels": tuple(site["labels"])}) if site else None}
    )


def _metadata(raw: dict[str, Any]) -> Metadata:
    spacing = raw["pixel_spacing_mm"]
    return Metadata(**{**raw, "notes": tuple(raw["notes"]), "pixel_spacing_mm": tuple(spacing) if spacing else None})


def _colour(heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 -> (H, W, 4) uint8 BGRA: inferno, which is ordered in lightness and safe for colour-blind eyes."""
    return np.dstack([cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), heat]).astype(np.uint8, copy=False)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of (H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA pixels."""
    return bytes(cv2.imencode(".png", pixels)[1])
