"""A site's own labelled films: a csv with a row for each, and the folder in which they lie."""

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import BadRequest
from cxr.modelfile import ModelInfo

FILM_COLUMNS = ("film", "path")  # the first that is there names the films
PATIENT_COLUMN = "patient"
VALUES = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "": np.nan}


@dataclass(frozen=True)
class LabelledFilms:
    """Films in the order of the csv."""

    paths: tuple[Path, ...]
    patients: NDArray[np.str_]  # (N,); a film of unknown patient is one of its own
    truth: NDArray[np.float32]  # (N, K) in the order of the model's labels: 1, 0, or NaN where not known
    unused: tuple[str, ...] = ()  # columns that are no label of the model
    names_patients: bool = False
    undecided: tuple[str, ...] = ()  # films with a 0 but no 1: which of the other classes they have is not known

    def take(self, rows: NDArray[np.intp]) -> "LabelledFilms":
        paths = tuple(self.paths[row] for row in rows)
        return replace(self, paths=paths, patients=self.patients[rows], truth=self.truth[rows])


def read_labels(table: Path, folder: Path, info: ModelInfo) -> LabelledFilms:
    """The films of `table` that lie in `folder`, with what is known of each about the labels of the model `info`.

    Raises:
        BadRequest: the csv or the folder cannot be read, a column is missing, a value is none of 1, 0 and nothing, a
            film stands there twice, is not in the folder, or belongs to several of the classes or to none.
    """
    columns, rows = _rows(table)
    film_column = next((name for name in FILM_COLUMNS if name in columns), "")
    if not film_column:
        raise BadRequest(
            f"{table} has no column film or path, by which a film is found; its columns are: {_listed(columns)}. "
            "Separate columns by commas."
        )
    labels = _label_columns(table, columns, info)
    paths = _paths(table, [(line, row[film_column].strip()) for line, row in rows], folder)
    truth = np.array([[_value(table, line, row, labels.get(name)) for name in info.labels] for line, row in rows])
    undecided: tuple[str, ...] = ()
    if info.kind == "multiclass":
        undecided = tuple(
            row[film_column].strip() for (_, row), known in zip(rows, truth, strict=True) if _rules_out_only(known)
        )
        truth = np.array([_one_class(table, line, known, info) for (line, _), known in zip(rows, truth, strict=True)])
    named = [row.get(PATIENT_COLUMN, "").strip() for _, row in rows]
    patients = np.array([f"patient {name}" if name else f"film {n}" for n, name in enumerate(named)])
    used = {film_column, PATIENT_COLUMN, *labels.values()}
    unused = tuple(name for name in columns if name not in used)
    return LabelledFilms(paths, patients, truth.astype(np.float32), unused, PATIENT_COLUMN in columns, undecided)


def _rows(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, and (line number, row) of each row."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = [name.strip() for name in reader.fieldnames or ()]
    except OSError as error:
        raise BadRequest(f"{table} cannot be read ({error.strerror}); give a csv of labels.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"{table} is not a csv in UTF-8 ({error}); save it as one.") from error
    if len(set(columns)) < len(columns):
        raise BadRequest(f"{table} has two columns of one name: {_listed(columns)}; take one of them out.")
    if not rows:
        raise BadRequest(f"{table} lists no film; write a line for each below the names of the columns.")
    for line, row in rows:
        if None in row:
            raise BadRequest(f"{table}, line {line}, has more values than there are columns; take them out.")
    return columns, [(line, {name.strip(): value for name, value in row.items()}) for line, row in rows]


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:20])[:300] or "none"


def _label_columns(table: Path, columns: list[str], info: ModelInfo) -> dict[str, str]:
    """Label -> its column, whatever the capitals and with spaces for underscores. Raises BadRequest without any."""
    by_plain = {_plain(label): label for label in info.labels}
    found: dict[str, str] = {}
    for name in columns:
        label = by_plain.get(_plain(name))
        if label in found:
            raise BadRequest(f"{table} has two columns of {label}: {found[label]} and {name}; take one of them out.")
        if label:
            found[label] = name
    if not found:
        raise BadRequest(
            f"{table} has no column of a label of the model {info.name}, which knows {', '.join(info.labels)}; "
            f"its columns are: {_listed(columns)}."
        )
    return found


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_")


def _value(table: Path, line: int, row: dict[str, str], column: str | None) -> float:
    text = row[column].strip() if column else ""
    if text not in VALUES:
        raise BadRequest(f"{table}, line {line}: {column} is {text[:40]!r}; write 1, 0, or nothing if it is not known.")
    return VALUES[text]


def _rules_out_only(known: NDArray[np.float64]) -> bool:
    """0 in some of the classes and 1 in none."""
    return bool((known == 0).any() and not (known == 1).any())


def _one_class(table: Path, line: int, known: NDArray[np.float64], info: ModelInfo) -> NDArray[np.float64]:
    """Of classes that exclude one another, one that is told tells all; a film with none told is unknown."""
    told = int((known == 1).sum())
    if told > 1 or (known == 0).all():
        raise BadRequest(
            f"{table}, line {line}: the film belongs to {told or 'none'} of the classes {', '.join(info.labels)}, "
            "which exclude one another; write 1 in one of them, or nothing in all."
        )
    return np.nan_to_num(known) if told else np.full(len(known), np.nan)


def _paths(table: Path, named: list[tuple[int, str]], folder: Path) -> tuple[Path, ...]:
    """Raises BadRequest when a film is not in the folder, its name is ambiguous, or it stands in two lines."""
    if not folder.is_dir():
        raise BadRequest(f"There is no folder {folder}; give the one in which the films of {table} lie.")
    by_name = _by_name(folder)
    first: dict[Path, int] = {}
    absent = [(line, name) for line, name in named if not name or not _places(folder, name, by_name)]
    if absent:
        line, name = absent[0]
        raise BadRequest(
            f"{len(absent)} of the {len(named)} films of {table} are not in {folder}, the first in line {line}: "
            f"{name[:200]!r}; write names or paths as they stand below that folder."
        )
    for line, name in named:
        places = _places(folder, name, by_name)
        if len(places) > 1:
            raise BadRequest(
                f"{table}, line {line}: several films in {folder} are named {name!r}; write the path of one."
            )
        if places[0] in first:
            raise BadRequest(
                f"{table}, line {line}: the film {name[:200]!r} stands in line {first[places[0]]} already; "
                "give each film one line."
            )
        first[places[0]] = line
    return tuple(first)


def _places(folder: Path, name: str, by_name: dict[str, list[Path]]) -> list[Path]:
    """Where the film may lie: at its path, else wherever a file has its name."""
    path = Path(os.path.normpath(folder / name))
    return [path] if os.path.isfile(path) else by_name.get(name, [])  # noqa: PTH113 (Path.is_file raises for a long name)


def _by_name(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.setdefault(path.name, []).append(Path(os.path.normpath(path)))
    return found
