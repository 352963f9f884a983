"""Boxes that radiologists drew around findings, to hold heat maps against."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.learning.tables import FilmTable, read_csv

NIH_BOXES = "BBox_List_2017.csv"
NIH_SIDE = 1024  # pixels of the films in which the boxes are given
_COLUMNS = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
_AS_IN_THE_LABELS = {"Infiltrate": "Infiltration"}  # the list of boxes has a word of its own


@dataclass(frozen=True)
class Boxes:
    """M boxes on films of a table."""

    rows: NDArray[np.intp]  # (M,) row of the film in the table
    labels: NDArray[np.str_]  # (M,)
    boxes: NDArray[np.float64]  # (M, 4): left, top, width, height in shares of the film


def read_nih_boxes(folder: Path, table: FilmTable, label_names: tuple[str, ...]) -> Boxes | None:
    """The boxes of NIH's list that lie on films of the table and are of these labels; None where there are none.

    Raises:
        TrainingDataError: the list lacks a column.
    """
    file = folder / NIH_BOXES
    if not file.exists():
        return None
    rows = read_csv(file, _COLUMNS)
    row_of = {path.stem: row for row, path in enumerate(table.paths)}
    stems = [Path(name).stem for name in rows["Image Index"]]
    labels = np.array([_AS_IN_THE_LABELS.get(label, label) for label in rows["Finding Label"]])
    here = np.array([stem in row_of for stem in stems]) & np.isin(labels, label_names)
    if not here.any():
        return None
    boxes = rows[list(_COLUMNS[2:])].to_numpy(np.float64) / NIH_SIDE
    found = np.array([row_of.get(stem, -1) for stem in stems])
    return Boxes(found[here], labels[here], boxes[here])
