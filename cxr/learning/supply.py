"""Which films a command works on: the parts of a data set, what is held out, and the packed films."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxr.errors import CxrError, TrainingDataError
from cxr.films.read import read_film
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


class OtherFilms(TrainingDataError):
    """The validation films are not those that a run held out, so that some of them may have taught it."""


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

    def held_out(self, films: DataSet, recipes: Sequence[Recipe], records: Sequence[Mapping[str, Any]]) -> FilmTable:
        """`validation`, where it is known to be what the runs of these recipes and records have held out.

        Raises:
            OtherFilms: it is not.
            TrainingDataError: no film was held out by all of them.
        """
        for recipe, record in zip(recipes, records, strict=True):
            self._check_held_out(films, recipe, record)
        return self.validation(films, recipes)

    def _check_held_out(self, films: DataSet, recipe: Recipe, record: Mapping[str, Any]) -> None:
        """By the fingerprint of the record; one from before there were any is taken at its word."""
        recorded = record.get("fingerprints", {}).get("validation")
        if recorded is None:
            return
        if not films.holds_out:
            raise OtherFilms(f"{self.folder} has no validation or training films; {_REMEDY}")
        uncertain = uncertain_of(record, None)
        if uncertain != self.uncertain:
            films = replace(self, uncertain=uncertain).read()  # the labels are part of the fingerprint
        table = films.part("validation", recipe.val_share, recipe.seed, self.most_unreadable)
        if table.fingerprint() == recorded:
            return
        counts = record.get("films", {})
        if not counts.get("left_out") or table.without(_unreadable(table)).fingerprint() != recorded:
            raise OtherFilms(
                f"The {len(table)} validation films of {self.folder} (--val-share {recipe.val_share:g}, --seed "
                f"{recipe.seed}) are not the {counts.get('validation', 'ones')} that the run held out, so some of them "
                f"may have taught it; {_REMEDY}"
            )

    def packed(self, table: FilmTable, size: int) -> tuple[FilmTable, PackedFilms]:
        """The films of `table` that can be read, decoded once for inputs of `size`, and the table of these alone."""
        fit = self.task.preprocessing.fit
        films = pack(table, self.cache, fit, self.most_unreadable, packed_side(size))
        for why in films.left_out.values():
            print(f"left out: {why}", file=sys.stderr)
        return table.without(films.left_out), films


_REMEDY = (
    "give the data set that the run was trained on, with all its films, or where these were packed for it the folder "
    "that they were unpacked into."
)


def _unreadable(table: FilmTable) -> list[int]:
    """The rows of the films that cannot be read."""

    def fails(path: Path) -> bool:
        try:
            read_film(path)
        except CxrError:
            return True
        return False

    return [row for row, path in enumerate(table.paths) if fails(path)]


def warn_of_labels(validation: FilmTable) -> None:
    """Name the labels that the validation films are all alike in: they will not be calibrated."""
    for value, which in ((1, "positive"), (0, "negative")):
        lacking = [
            label for k, label in enumerate(validation.label_names) if not (validation.labels[:, k] == value).any()
        ]
        if lacking:
            print(
                f"No validation film is {which} in {', '.join(lacking)}: no calibration and no operating point "
                "there, and their AUROC does not choose the epoch; raise --val-share, or choose another --seed.",
                file=sys.stderr,
            )


def uncertain_of(record: Mapping[str, Any], given: str | None) -> str:
    """What a command makes of uncertain labels: what its flag says, else what the run did."""
    return given or str(record.get("uncertain", "ignore"))
