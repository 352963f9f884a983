"""What is done to a film before the engine sees it, in this process or in another: prepared, and looked at."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.films.film import Film, Metadata
from cxr.films.prepare import Box, prepare
from cxr.films.reasons import Reason
from cxr.reading.check import shipped_checker
from cxr.tasks import Preprocessing


@dataclass(frozen=True)
class Prepared:
    """A film as the engine takes it, and all that is said of it before the engine has seen it."""

    x: NDArray[np.float32]  # (1, C, S, S)
    box: Box
    reasons: tuple[Reason, ...]  # of the film check, without the model's distance
    metadata: Metadata
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Preparation:
    """Film -> Prepared, for the models of one task. Small to pickle: a process has a film check of its own."""

    how: Preprocessing
    task: str

    def __call__(self, film: Film) -> Prepared:
        began = time.perf_counter()
        x, box = prepare(film.pixels, self.how)
        prepared = time.perf_counter()
        reasons = shipped_checker().film_reasons(film, self.task)
        spent = {"prepare": prepared - began, "check": time.perf_counter() - prepared}
        return Prepared(x, box, reasons, film.metadata, {name: round(s * 1e3, 2) for name, s in spent.items()})
