"""Stored values of a DICOM film -> grey in [0, 1], in the order of PS3.3 C.11.

Modality LUT or rescale (C.11.1), VOI LUT or window (C.11.2), then the Presentation LUT Shape (C.11.6). A stored
value has at most 16 bits, so the whole chain is worked out once for each value that there can be, in float64, and
the film is one look-up in that table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]  # float64
_STRIP = 64  # rows


@dataclass(frozen=True)
class Lut:
    """A look-up table, as (0028,3002) LUT Descriptor and (0028,3006) LUT Data give it."""

    first: int  # the value that the first entry stands for; below it the first entry holds, above the last, the last
    entries: NDArray[np.uint16]
    bits: int  # of an entry


@dataclass(frozen=True)
class Window:
    """Window Center (0028,1050), Window Width (0028,1051), VOI LUT Function (0028,1056)."""

    centre: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True)
class Rendering:
    """How the stored values of one film become grey."""

    bits: int  # stored; values have bits above these masked off
    signed: bool = False
    slope: float = 1.0  # Rescale Slope (0028,1053)
    intercept: float = 0.0  # Rescale Intercept (0028,1052)
    modality_lut: Lut | None = None  # replaces slope and intercept
    voi: Lut | Window | None = None
    padding: tuple[int, int] | None = None  # lowest and highest stored value that is no part of the film
    inverted: bool = False


def render(stored: NDArray[Any], how: Rendering) -> NDArray[np.float32]:
    """Stored values (H, W), unsigned as they lie in memory -> (H, W) float32 in [0, 1], dense bone white."""
    if how.bits < 8 * stored.itemsize:
        stored = stored & stored.dtype.type(2**how.bits - 1)
    table, grey = grey_table(stored, how), np.empty(stored.shape, np.float32)
    # By strips, because take() makes 64-bit indices of all that it is given at once: 9 ms become 5 at 2500 x 2048.
    for top in range(0, len(stored), _STRIP):
        strip = slice(top, top + _STRIP)
        table.take(stored[strip], out=grey[strip], mode="clip")  # clip: no second check of masked values
    return grey


def grey_table(stored: NDArray[Any], how: Rendering) -> NDArray[np.float32]:
    """Grey of each of the 2**bits stored values, indexed by its bits taken as an unsigned number."""
    codes = _stored_values(how)
    values = _apply_modality(codes, how)
    grey = _apply_voi(values, how.voi) if how.voi else _stretch(values, _present(stored, codes, how))
    table: NDArray[np.float32] = np.clip(1.0 - grey if how.inverted else grey, 0.0, 1.0).astype(np.float32)
    return table


def _stored_values(how: Rendering) -> NDArray[np.int64]:
    codes = np.arange(2**how.bits)
    return np.where(codes >= 2 ** (how.bits - 1), codes - 2**how.bits, codes) if how.signed else codes


def _apply_modality(codes: NDArray[np.int64], how: Rendering) -> Values:
    if how.modality_lut:
        return _look_up(codes, how.modality_lut)
    return codes * how.slope + how.intercept


def _apply_voi(values: Values, voi: Lut | Window) -> Values:
    if isinstance(voi, Lut):
        grey: Values = _look_up(np.round(values).astype(np.int64), voi) / (2**voi.bits - 1)
        return grey
    return WINDOWS[voi.function](values, voi.centre, voi.width)


def _look_up(values: NDArray[np.int64], lut: Lut) -> Values:
    return lut.entries[np.clip(values - lut.first, 0, len(lut.entries) - 1)].astype(np.float64)


def _linear(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.2.1; a width of 1 is a threshold."""
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.2."""
    return (values - centre) / width + 0.5


def _sigmoid(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.1; the exponent is held where exp() is finite."""
    grey: Values = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    return grey


WINDOWS: dict[str, Callable[[Values, float, float], Values]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}


def _present(stored: NDArray[Any], codes: NDArray[np.int64], how: Rendering) -> NDArray[np.bool_]:
    """Which of the 2**bits values count when a film without a window is stretched."""
    # Up to 8 bits a film has been windowed by whoever made it, and its range is the whole range: 0 to 255.
    if how.bits <= 8:
        return np.ones(len(codes), np.bool_)
    present = np.zeros(len(codes), np.bool_)
    present[stored] = True
    # Padding lies far outside the film's values; were it counted, the film would be left with a sliver of the greys.
    lowest, highest = how.padding or (1, 0)
    film = present & ~((codes >= lowest) & (codes <= highest))
    return film if film.any() else present


def _stretch(values: Values, present: NDArray[np.bool_]) -> Values:
    """Least to greatest value that is present -> 0 to 1.

    A detector's raw values fill some part of their 10 to 16 bits and nothing says which; unstretched such a film is
    flat grey. Viewers do the same with a film that brings no window.
    """
    least, greatest = values[present].min(), values[present].max()
    stretched: Values = (values - least) / max(greatest - least, 1e-12)
    return stretched
