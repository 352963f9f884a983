"""Tables of films: what is known of each film, and splits that keep a patient on one side."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr.errors import TrainingDataError

FILM_ENDINGS = {".png", ".jpg", ".jpeg", ".dcm"}
OLDEST_YEARS = 120  # ages above are typing errors: NIH's first csv had patients of 411

# Film names that say whose film it is: NIH's 00000013_005, Kermany's person12_virus_46 and (NORMAL2-)IM-0115-0001.
_PATIENT_IN_NAME = (
    r"(?:^|_)(?=\d{8}_)0*(\d+)_\d{3}$",
    r"^(person\d+)_(?:bacteria|virus)_",
    r"^((?:NORMAL2-)?IM-\d+)-\d",
)
_SAME_CLASS = {"covid 19": "covid", "covid19": "covid", "bacterial pneumonia": "bacterial"}


@dataclass(frozen=True)
class FilmTable:
    """Films in a fixed order, with what is known of each."""

    label_names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.float32]  # (N, K): 1, 0, or NaN where not known
    patients: NDArray[np.str_]  # (N,)
    missing: tuple[str, ...] = ()  # named by the table, not in the folder
    sex: NDArray[np.str_] = field(default_factory=lambda: np.array([], str))  # (N,): "F", "M", "" where not known
    age_years: NDArray[np.float64] = field(default_factory=lambda: np.array([]))  # (N,), NaN where not known
    view: NDArray[np.str_] = field(default_factory=lambda: np.array([], str))  # (N,): "PA", "AP", "" where not known
    notes: tuple[str, ...] = ()  # sentences about these films that belong into every record of them

    def __post_init__(self) -> None:
        unknown = {"sex": "", "age_years": np.nan, "view": ""}
        for name, value in unknown.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self), value))

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: NDArray[np.intp]) -> "FilmTable":
        """These rows, in this order."""
        by_film = {name: getattr(self, name)[rows] for name in ("labels", "patients", "sex", "age_years", "view")}
        return dataclasses.replace(self, paths=tuple(self.paths[row] for row in rows), **by_film)

    def without(self, rows: Collection[int]) -> "FilmTable":
        """All rows but these, e.g. but those that packing has left out."""
        return self.take(np.setdiff1d(np.arange(len(self)), list(rows)))

    def fingerprint(self) -> str:
        """sha256 of names and labels, so that a training record says which films it saw.

        A name is as much of the end of the path as tells the films apart: CheXpert's are all `view1_frontal.jpg`.
        """
        depth = depth_apart(self.paths) or 1
        digest = hashlib.sha256("\n".join("/".join(path.parts[-depth:]) for path in self.paths).encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Wanted:
    """What a reader is asked for."""

    label_names: tuple[str, ...]
    uncertain: str = "ignore"  # what becomes of CheXpert's -1, one of csv_layouts.UNCERTAIN


def split_by_patient(table: FilmTable, share: float, seed: int) -> tuple[FilmTable, FilmTable]:
    """(the rest, the held-out): `share` of the patients, drawn by `seed`, with all their films."""
    patients = np.unique(table.patients)
    drawn = np.random.default_rng(seed).permutation(patients)[: round(len(patients) * share)]
    held_out = np.isin(table.patients, drawn)
    return table.take(np.flatnonzero(~held_out)), table.take(np.flatnonzero(held_out))


def split_each_patient(table: FilmTable, share: float, seed: int) -> tuple[FilmTable, FilmTable]:
    """(the rest, the held-out): each patient by a hash of its own, so that who else is there moves nobody across."""
    patients, patient_of_film = np.unique(table.patients, return_inverse=True)
    held_out = np.array([_drawn(patient, seed) < share for patient in patients], bool)[patient_of_film]
    return table.take(np.flatnonzero(~held_out)), table.take(np.flatnonzero(held_out))


def _drawn(patient: str, seed: int) -> float:
    """A number in [0, 1) that follows from patient and seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {patient}".encode()).digest()[:8], "big") / 2**64


def check_apart(one: FilmTable, other: FilmTable, remedy: str = "split the films by patient") -> None:
    """Raises TrainingDataError when a patient has films in both tables."""
    both = np.intersect1d(one.patients, other.patients)
    if len(both):
        raise TrainingDataError(f"{len(both)} patients are in both lists, patient {both[0]} among them; {remedy}.")


def depth_apart(paths: Sequence[PurePath]) -> int | None:
    """How many of their last parts tell the paths apart: 1 where the names do; None where one stands there twice."""
    if len(set(paths)) < len(paths):
        return None
    depths = range(1, max((len(path.parts) for path in paths), default=1) + 1)
    return next(depth for depth in depths if len({path.parts[-depth:] for path in paths}) == len(paths))


def walk_films(folder: Path) -> list[Path]:
    """Every film below `folder`, in the order of their paths; hidden files (macOS leaves `._*`) are none."""
    walked = (Path(root) / name for root, _, names in os.walk(folder) for name in names if name[0] != ".")
    return sorted(path for path in walked if path.suffix.lower() in FILM_ENDINGS)


def index_films(folder: Path) -> dict[str, Path]:
    """Stem -> path of every film below `folder`, walked once.

    Raises:
        TrainingDataError: two films have one stem, so that a table cannot say which of them it means.
    """
    films: dict[str, Path] = {}
    for path in walk_films(folder):
        if path.stem in films:
            raise TrainingDataError(f"{films[path.stem]} and {path} are both film {path.stem}; leave one of them.")
        films[path.stem] = path
    return films


def patient_of(path: Path) -> str:
    """The patient that a film's name tells of in a known pattern, else the name itself: each film its own patient."""
    found = (re.search(pattern, path.stem) for pattern in _PATIENT_IN_NAME)
    return next((match.group(1) for match in found if match), path.stem)


def plain(name: str) -> str:
    """A label or class folder without the ways to write it: `Lung_Opacity` and `lung opacity` are one."""
    spaced = re.sub(r"[\s_-]+", " ", name).strip().casefold()
    return _SAME_CLASS.get(spaced, spaced)


def read_csv(file: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """All rows as text.

    Raises:
        TrainingDataError: the file is missing, no table, without rows, or without one of `columns`.
    """
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{file.name} is not a csv table ({str(error).strip()}).") from error
    except OSError as error:
        raise TrainingDataError(f"{file} cannot be read ({error.strerror}).") from error
    lacking = [column for column in columns if column not in rows.columns]
    if lacking:
        raise TrainingDataError(f"{file.name} has no column {', '.join(lacking)}; it must be the original.")
    if rows.empty:
        raise TrainingDataError(f"{file.name} has no rows below its header; it must be the original.")
    return rows


def only_file(folder: Path, pattern: str) -> Path:
    """The file of this name; of several editions the last, so that `Data_Entry_2017_v2020.csv` is preferred."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise TrainingDataError(f"There is no {pattern} in {folder}; give the folder of the data set with --data.")
    return found[-1]


def column(rows: pd.DataFrame, name: str, words: dict[str, str] | None = None) -> NDArray[np.str_]:
    """(N,) text of a column, in `words` of this project; "" where there is no such column or word."""
    if name not in rows.columns:
        return np.full(len(rows), "")
    texts = rows[name].str.strip()
    return np.array([words.get(text, "") for text in texts] if words else texts, str)


def ages_years(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """(N,) ages of a column: `58`, or DICOM's `058Y`, `011M`, `003W`, `020D`; NaN where not known or not possible."""
    if name not in rows.columns:
        return np.full(len(rows), np.nan)
    parts = rows[name].str.strip().str.upper().str.extract(r"^(\d+(?:\.\d+)?)([YMWD]?)$")
    in_a_year = parts[1].map({"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}).astype(float).fillna(1.0)
    years = (parts[0].astype(float) / in_a_year).to_numpy(np.float64)
    return np.where(years <= OLDEST_YEARS, years, np.nan)
