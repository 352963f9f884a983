"""What a card needs besides the figures of a test: calibration before and after, who is in the data, dark maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.cards.measured import DarkMaps, Population
from cxr.learning.calibration import SITE_FITS, Calibration
from cxr.learning.evaluation import attributes
from cxr.learning.reliability import Answers, Reliability, held_out, reliability
from cxr.learning.tables import FilmTable
from cxr.modelfile import FAINTEST
from cxr.tasks import Task

HELD_OUT = "held-out validation patients"
BY_HALVES = "calibrated on half of its own patients"


@dataclass(frozen=True)
class Watched:
    """Films of one part, and what a model gives for them."""

    part: str
    table: FilmTable
    logits: NDArray[np.float32]  # (N, K)
    maps: NDArray[np.float32]  # (N, K, h, w), not scaled


def reliabilities(
    task: Task, calibration: Calibration, validation: Watched, tested: Sequence[Watched]
) -> tuple[Reliability, ...]:
    """Of halves of the validation patients; of each test set by the calibration of all of them, and of its own halves.

    The last says what a site may expect that calibrates the model on its own films (cxr.cli.calibrate).
    """
    halved = held_out(validation.logits, validation.table, task.kind)
    found = [reliability(HELD_OUT, validation.logits, halved, validation.table, task.kind)]
    for each in tested:
        by_site = held_out(each.logits, each.table, task.kind, SITE_FITS)
        ways = {each.part: Answers.of(calibration, each.logits), f"{each.part}, {BY_HALVES}": by_site}
        found += [reliability(name, each.logits, told, each.table, task.kind) for name, told in ways.items()]
    return tuple(found)


def population(part: str, table: FilmTable) -> Population:
    """Who is in a table."""
    return Population(
        part,
        len(table),
        len(np.unique(table.patients)),
        {label: int((table.labels[:, k] == 1).sum()) for k, label in enumerate(table.label_names)},
        {name: _counted(values) for name, values in attributes(table).items()},
        table.fingerprint(),
    )


def _counted(values: NDArray[np.str_]) -> dict[str, int]:
    """Value -> films, those of unknown value last."""
    names, films = np.unique(values, return_counts=True)
    counted = dict(zip(names.tolist(), films.tolist(), strict=True))
    unknown = counted.pop("", 0)
    return counted | ({"not known": unknown} if unknown else {})


def dark_maps(watched: Watched, scale: Mapping[str, float]) -> tuple[DarkMaps, ...]:
    """Of each label the films that have it, and those of them whose heat map, drawn on its scale, shows nothing."""
    found = []
    for k, label in enumerate(watched.table.label_names):
        peaks = watched.maps[watched.table.labels[:, k] == 1, k].max(axis=(1, 2), initial=0)
        shown = np.rint(np.clip(peaks / scale[label], 0, 1) * 255) >= FAINTEST
        found.append(DarkMaps(label, len(peaks), int((~shown).sum())))
    return tuple(found)
