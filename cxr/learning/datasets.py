"""One door to every data set: which layout a folder has, and its training, validation and test films."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr.errors import TrainingDataError
from cxr.learning.csv_layouts import (
    EXTERNAL,
    NIH_LABELS,
    OWN_CSV,
    UNCERTAIN,
    WHOLE,
    chexpert_csv,
    chexpert_parts,
    nih_parts,
    own_csv,
    own_csv_parts,
    read_nih,
)
from cxr.learning.folder_layouts import are_class_folders, class_folder_parts, is_kermany, kermany_parts
from cxr.learning.packing import MOST_UNREADABLE, PackedFilms, pack, packed_side
from cxr.learning.tables import FilmTable, Wanted, check_apart, index_films, split_by_patient, split_each_patient
from cxr.tasks import Task

__all__ = [
    "LAYOUTS",
    "MOST_UNREADABLE",
    "NIH_LABELS",
    "PARTS",
    "UNCERTAIN",
    "DataSet",
    "FilmTable",
    "PackedFilms",
    "check_apart",
    "detect",
    "index_films",
    "pack",
    "packed_side",
    "read_data_set",
    "read_nih",
    "read_part",
    "split_by_patient",
]

PARTS = ("train", "validation", "test")
# The test part of films without a split of their own: a fifth of the patients, the same ones in every run.
TEST_SHARE = 0.2
TEST_SEED = 0


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies in a folder."""

    signs: str  # what is looked for
    fits: Callable[[Path], bool]
    parts: Callable[[Path, Wanted], dict[str, FilmTable]]  # "train", "test", perhaps "validation"; or WHOLE alone


def _is_nih(folder: Path) -> bool:
    return any(folder.glob("Data_Entry_2017*.csv"))


def _is_chexpert(folder: Path) -> bool:
    try:
        return chexpert_csv(folder, "train.csv").parent == chexpert_csv(folder, "valid.csv").parent
    except TrainingDataError:
        return False


def _is_own_csv(folder: Path) -> bool:
    return own_csv(folder).is_file()


LAYOUTS = {
    "nih": Layout("Data_Entry_2017*.csv (NIH)", _is_nih, nih_parts),
    "chexpert": Layout("train.csv with valid.csv (CheXpert)", _is_chexpert, chexpert_parts),
    "kermany": Layout("train/PNEUMONIA/*_bacteria_* (Kermany)", is_kermany, kermany_parts),
    "csv": Layout(f"{OWN_CSV} (a csv of one's own)", _is_own_csv, own_csv_parts),
    "class folders": Layout("two folders with films (class folders)", are_class_folders, class_folder_parts),
}


def detect(folder: Path) -> str:
    """The layout, a key of LAYOUTS, in which a data set lies in `folder` (or the csv of one's own that it is).

    Raises:
        TrainingDataError: it has none of them; the message says what was looked for.
    """
    found = next((name for name, layout in LAYOUTS.items() if layout.fits(folder)), None)
    if found is None:
        signs = ", no ".join(layout.signs for layout in LAYOUTS.values())
        raise TrainingDataError(f"There is no {signs} in {folder}; give the folder of a data set with --data.")
    return found


@dataclass(frozen=True)
class DataSet:
    """A data set as it was downloaded: its official parts, apart by patient."""

    layout: str
    official: dict[str, FilmTable]

    def part(
        self, part: str, val_share: float = 0.1, seed: int = 0, most_unreadable: float = MOST_UNREADABLE
    ) -> FilmTable:
        """The films of `part`, one of PARTS.

        Where the official split has no validation films, they are `val_share` of the training patients, drawn by
        `seed`. Where there is no split at all, the test part is TEST_SHARE of the patients, whatever the seed: each is
        drawn by itself, so that films that are added later move no patient to the other side.

        Raises:
            TrainingDataError: the part has no film, or more than `most_unreadable` (a share) of the films that its
                table names are missing.
        """
        self._check_complete(self._source(part), most_unreadable)
        tables = dict(self.official)
        if WHOLE in tables:
            tables["train"], tables["test"] = split_each_patient(tables[WHOLE], TEST_SHARE, TEST_SEED)
        if "validation" not in tables and part != "test":
            tables["train"], tables["validation"] = split_by_patient(tables["train"], val_share, seed)
        if not len(tables[part]):
            other = "" if part == "test" else " or another --val-share"
            raise TrainingDataError(f"The {part} part has no film; give more films{other}.")
        return tables[part]

    def external(self, most_unreadable: float = MOST_UNREADABLE) -> FilmTable:
        """What a model trained elsewhere is tested on: `external/`, else all films or the official test part."""
        source = next((name for name in (EXTERNAL, WHOLE) if name in self.official), None)
        if source is None:
            return self.part("test", most_unreadable=most_unreadable)
        self._check_complete(source, most_unreadable)
        return self.official[source]

    @property
    def draws_test(self) -> bool:
        """Whether the test part is no official one, so that other films would have other test patients."""
        return WHOLE in self.official

    @property
    def holds_out(self) -> bool:
        """Whether it has films from which the validation part is taken."""
        return not self.official.keys().isdisjoint(self._sources("validation"))

    def _source(self, part: str) -> str:
        """The official part that the films of `part` are taken from."""
        source = next((name for name in self._sources(part) if name in self.official), None)
        if source is None:
            raise TrainingDataError(f"The data set has no {part} part; it has {', '.join(self.official)}.")
        return source

    @staticmethod
    def _sources(part: str) -> tuple[str, ...]:
        return (part, WHOLE, "train") if part == "validation" else (part, WHOLE)

    def _check_complete(self, source: str, most_unreadable: float) -> None:
        table = self.official[source]
        named = len(table) + len(table.missing)
        if len(table.missing) > most_unreadable * named or not len(table):
            first = f", first {table.missing[0]}" if table.missing else ""
            raise TrainingDataError(
                f"{len(table.missing)} of the {named} films of the {source} part are not in the folder{first}; "
                f"more than {most_unreadable:.0%} may not be missing (--most-unreadable allows more)."
            )


def read_data_set(folder: Path, task: Task, uncertain: str = "ignore") -> DataSet:
    """The data set in `folder` with the labels of `task`; its films are indexed once.

    `uncertain` says what becomes of CheXpert's -1: a key of UNCERTAIN.

    Raises:
        TrainingDataError: the layout is not known, its tables are not what they should be, a patient is in two parts,
            or a film has not exactly one class of a multiclass task.
    """
    layout = detect(folder)
    official = LAYOUTS[layout].parts(folder, Wanted(task.labels, uncertain))
    for one, other in itertools.combinations(official.values(), 2):
        check_apart(one, other)
    if task.kind == "multiclass":
        for table in official.values():
            _check_one_class(table)
    return DataSet(layout, official)


def read_part(folder: Path, part: str, task: Task, uncertain: str = "ignore") -> FilmTable:
    """The films of one part of the data set in `folder`; see `read_data_set` and `DataSet.part`."""
    return read_data_set(folder, task, uncertain).part(part)


def _check_one_class(table: FilmTable) -> None:
    """Raises TrainingDataError unless each row of labels is one 1 and else 0."""
    wrong = np.flatnonzero((table.labels.sum(axis=1) != 1) | (table.labels.max(axis=1, initial=0) != 1))
    if len(wrong):
        raise TrainingDataError(
            f"{len(wrong)} films have not exactly one class of {', '.join(table.label_names)}, "
            f"first {table.paths[wrong[0]].name}."
        )
