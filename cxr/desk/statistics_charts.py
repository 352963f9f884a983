"""The statistics as pictures: SVG without style or script, each with its text alternative."""

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from cxr.charts import Column, Frame, column_chart, interval_axis, interval_strip, value_range
from cxr.desk.statistics import SPANS, ShareAbove, Volume
from cxr.desk.statistics_drift import Drift
from cxr.metrics import Interval

WIDE, SMALL = (860, 220), (192, 150)  # pixels


def day(start: float) -> str:
    """Seconds since 1970 -> `2026-11-21`, in UTC."""
    return datetime.fromtimestamp(start, UTC).date().isoformat()


def volume_chart(told: Volume) -> Markup:
    """Films read and, above them, refused, in each span."""
    most = max((span.read + span.refused for span in told.spans), default=0)
    columns = [Column(day(span.start)[5:], (span.read, span.refused)) for span in told.spans]
    frame = Frame(*WIDE, y_range=(0, value_range((0, max(most, 1)))[1]), left=48)
    title = f"Films by {SPANS[told.days]}: {told.read} read, {told.refused} refused, at most {most} at once"
    return column_chart(columns, frame, title, "month and day (UTC)", "films", stacked=True)


def share_chart(share: ShareAbove, label: str) -> Markup:
    """The share here with its interval, and below it that of the calibration sample."""
    known = share.sample_share is not None
    there = Interval(share.sample_share or 0.0, float("nan"), float("nan")) if known else None
    return interval_strip([share.share, there], (0.0, 1.0), 200, says=f"{label}: {spoken(share)}")


def share_axis() -> Markup:
    """The scale above `share_chart`."""
    return interval_axis((0.0, 1.0), 200)


def spoken(share: ShareAbove) -> str:
    """`12 % (8 to 17) of 120 films; 10 % of the calibration sample`."""
    here = "no film" if not share.films else f"{in_percent(share.share)} of {share.films} films"
    if share.sample_share is None:
        return here
    return f"{here}; {100 * share.sample_share:.1f} % of the calibration sample"


def in_percent(figure: Interval | None) -> str:
    """`12.0 % (8.1 to 17.2)`."""
    if figure is None:
        return ""
    return f"{100 * figure.value:.1f} % ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def drift_chart(drifted: Drift, label: str) -> Markup:
    """Shares of the films in each bin of scores, beside those of the calibration sample."""
    names = _bins(drifted.edges)
    pairs = zip(names, drifted.shares, drifted.sample_shares, strict=True)
    columns = [Column(name, (here, there)) for name, here, there in pairs]
    most = max(*drifted.shares, *drifted.sample_shares)
    frame = Frame(*SMALL, y_range=(0, value_range((0, most))[1]), left=40)
    told = ", ".join(f"{column.name}: {_percent(column.values)}" for column in columns)
    return column_chart(columns, frame, f"{label}, score here and in the sample: {told}", "score", "share of films")


def _percent(pair: Sequence[float]) -> str:
    return " and ".join(f"{100 * share:.0f} %" for share in pair)


def _bins(edges: Sequence[float]) -> list[str]:
    """`< .02`, `≥ .02`, ...: short, since they stand under narrow bars."""
    shown = [f"{edge:.2g}".removeprefix("0") for edge in edges]
    return [f"<{shown[0]}", *(f"≥{edge}" for edge in shown)]
