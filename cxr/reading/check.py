"""May this film be read? What speaks against it, from its header, its pixels and the model's distance to it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cxr.checkfile import CHECK_KEY, CHECK_OUTPUTS, ROTATED, SIGNS, TURNS, CheckInfo
from cxr.films.film import Film
from cxr.films.header import header_reasons
from cxr.films.prepare import fit_square
from cxr.films.reasons import REFUSE, Reason, because
from cxr.reading.engine import WEIGHTS, validate_finite
from cxr.reading.engine_openvino import Compiled
from cxr.reading.exported import Exported
from cxr.tasks import TASKS

CHECK_FILE = WEIGHTS / "check" / "film.onnx"
LEAST_SIDE = 128  # pixels of the shorter side
LEAST_SPAN = 0.2  # of the grey range, from the 1st to the 99th percentile
LEAST_WHITE = 0.3  # 99th percentile of grey
LARGEST_DISTANCE = 1.5  # in units of the model's `distance_scale`
TURNED = {90: "turned by a quarter, to the left", 180: "upside down", 270: "turned by a quarter, to the right"}


@dataclass(frozen=True)
class Sight:
    """What the network of the film check sees in one film."""

    scores: dict[str, float]  # each of SIGNS, and ROTATED: in [0, 1]
    turn: int  # degrees, to the left: the likeliest if the film was turned at all


class FilmChecker:
    """Looks at films. May be called from several threads at once."""

    def __init__(self, file: Path = CHECK_FILE):
        """Raises ModelFileError when the file is missing, damaged, or no film check."""
        exported = Exported.read(file)
        self.info = CheckInfo.from_json(exported.text(CHECK_KEY))
        # Always in f32 and by one thread: it takes a millisecond, and nobody should have to ask how exact it is.
        self._compiled = Compiled(exported.network, "f32", threads=1)

    def reasons(self, film: Film, task: str, distance: float) -> tuple[Reason, ...]:
        """All that speaks against reading `film` with a model of `task`, which measured `distance`; refusals first."""
        return with_distance(self.film_reasons(film, task), distance)

    def film_reasons(self, film: Film, task: str) -> tuple[Reason, ...]:
        """What speaks against it before a model has seen it."""
        return (*header_reasons(film.metadata), *age_reasons(film, task), *self.pixel_reasons(film))

    def pixel_reasons(self, film: Film) -> tuple[Reason, ...]:
        """What the pixels say; where they are no film, or show too little of one, nothing else is asked of them."""
        rows, columns = film.pixels.shape
        if min(rows, columns) < LEAST_SIDE:
            return (because("too_small", rows=rows, columns=columns),)
        return exposure_reasons(film) or self._shape_reasons(self.look(film))

    def look(self, film: Film) -> Sight:
        square, _ = fit_square(film.pixels, self.info.size, "squash")
        signs, turns = answers = self._compiled.run(square[None, None], CHECK_OUTPUTS)
        validate_finite(answers, self._compiled.version)
        scores = dict(zip(SIGNS, signs[0].tolist(), strict=True)) | {ROTATED: 1 - float(turns[0, 0])}
        return Sight(scores, TURNS[1 + int(turns[0, 1:].argmax())])

    def _shape_reasons(self, sight: Sight) -> tuple[Reason, ...]:
        shown = {name for name, score in sight.scores.items() if score >= self.info.thresholds[name]}
        for together in (("not_a_radiograph",), ("inverted", ROTATED), ("mirrored", "cut_off")):
            codes = [code for code in together if code in shown]
            if codes:  # what comes after can only be told of an upright film
                return tuple(because(code, turn=TURNED[sight.turn]) for code in codes)
        return ()


def with_distance(found: tuple[Reason, ...], distance: float) -> tuple[Reason, ...]:
    """`found` and, where nothing else refuses the film, what the model's `distance` to it says; refusals first."""
    if distance > LARGEST_DISTANCE and not any(reason.severity == REFUSE for reason in found):
        found = (*found, because("unlike_training", distance=distance))
    return tuple(sorted(found, key=lambda reason: reason.severity != REFUSE))


def exposure_reasons(film: Film) -> tuple[Reason, ...]:
    """Too dark or too flat for anybody to see something."""
    rows, columns = (max(1, side // 128) for side in film.pixels.shape)
    low, high = np.percentile(film.pixels[::rows, ::columns], [1, 99])  # of a few thousand pixels, which is enough
    if high < LEAST_WHITE:
        return (because("too_dark", share=high),)
    return (because("flat", share=high - low),) if high - low < LEAST_SPAN else ()


def age_reasons(film: Film, task: str) -> tuple[Reason, ...]:
    """A child before a model for adults, and the reverse; nothing where the age or the task is not known."""
    age = film.metadata.age_years
    if age is None or task not in TASKS:
        return ()
    audience, (youngest, oldest) = TASKS[task].audience, TASKS[task].ages_years
    if youngest <= age < oldest:
        return ()
    told = f"{age:.0f} years" if age >= 1 else f"{age * 12:.0f} months"
    return (because("too_young" if age < youngest else "too_old", audience=audience, age=told),)


@cache
def shipped_checker() -> FilmChecker:
    """The one of this process: all readers share it."""
    return FilmChecker()
