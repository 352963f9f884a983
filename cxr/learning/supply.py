"""Which films a command works on: the parts of a data set, what is held out, and the packed films."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr.errors import TrainingDataError
from cxr.learning.datasets import (
    MOST_UNREADABLE,
    UNCERTAIN,
    DataSet,
    FilmTable,
    PackedFilms,
    pack,
    packed_side,
    read_data_set,
)
from cxr.tasks import Recipe, Task

CACHE = Path("cache")
NAMED = 5  # of the films that are left out, in a run's record


def add_flags(parser: argparse.ArgumentParser, uncertain: str) -> None:
    """`uncertain` says what happens without the flag of that name."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, as it is downloaded")
    about = f"what becomes of CheXpert's uncertain labels; {uncertain} if not given"
    parser.add_argument("--uncertain", choices=UNCERTAIN, help=about)
    parser.add_argument(
        "--most-unreadable",
        type=float,
        default=MOST_UNREADABLE,
        metavar="SHARE",
        help="share of the films that may be missing or unreadable; more stop the command",
    )


@dataclass(frozen=True)
class Supply:
    """One data set, read for a task in the way that a command asks for."""

    task: Task
    folder: Path
    uncertain: str = "ignore"
    most_unreadable: float = MOST_UNREADABLE
    cache: Path = CACHE

    def read(self) -> DataSet:
        """Raises TrainingDataError; see `read_data_set`."""
        return read_data_set(self.folder, self.task, self.uncertain)

    def training(self, films: DataSet, recipe: Recipe) -> FilmTable:
        """The films that a run of this recipe learns from."""
        return films.part("train", recipe.val_share, recipe.seed, self.most_unreadable)

    def validation(self, films: DataSet, recipes: Sequence[Recipe]) -> FilmTable:
        """The films that each of the recipes holds out: any other has taught one of the networks.

        Raises:
            TrainingDataError: there is no such film.
        """
        first, *others = (films.part("validation", r.val_share, r.seed, self.most_unreadable) for r in recipes)
        unseen = set(first.paths).intersection(*(table.paths for table in others))
        if not unseen:
            raise TrainingDataError("No film was held out by all runs; train them with one --seed and --val-share.")
        return first.take(np.flatnonzero([path in unseen for path in first.paths]))

    def packed(self, table: FilmTable, size: int) -> tuple[FilmTable, PackedFilms]:
        """The films of `table` that can be read, decoded once for inputs of `size`, and the table of these alone."""
        fit = self.task.preprocessing.fit
        films = pack(table, self.cache, fit, self.most_unreadable, packed_side(size))
        for why in films.left_out.values():
            print(f"left out: {why}", file=sys.stderr)
        return table.without(films.left_out), films


def uncertain_of(record: dict[str, Any], given: str | None) -> str:
    """What a command makes of uncertain labels: what its flag says, else what the run did."""
    return given or str(record.get("uncertain", "ignore"))
