"""Tables of films with labels and patients, read from the public data sets as they come, and the packed cache."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from cxr.errors import CxrError, TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.read import read_film

CACHE_SIDE = 256  # pixels; augmentation cuts smaller inputs out of it
FILM_ENDINGS = {".png", ".jpg", ".jpeg", ".dcm"}


@dataclass(frozen=True)
class FilmTable:
    """Films in a fixed order, with what is known of each."""

    label_names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.float32]  # (N, K): 1, 0, or NaN where not known
    patients: NDArray[np.str_]  # (N,)
    missing: tuple[str, ...] = field(default=())  # named by the table, not in the folder

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: NDArray[np.intp]) -> "FilmTable":
        paths = tuple(self.paths[row] for row in rows)
        return FilmTable(self.label_names, paths, self.labels[rows], self.patients[rows], self.missing)

    def fingerprint(self) -> str:
        """sha256 of names and labels, so that a training record says which films it saw."""
        digest = hashlib.sha256("\n".join(path.name for path in self.paths).encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read_nih(folder: Path, part: str, label_names: tuple[str, ...]) -> FilmTable:
    """NIH ChestX-ray14 (Wang et al. 2017): the films of its `train_val` or `test` list.

    Needs `Data_Entry_2017*.csv` and `<part>_list.txt` in `folder`, and the films anywhere below it, as `.png` or
    resized as `.jpg`: they are matched by stem.

    Raises:
        TrainingDataError: a file is missing, a column is missing, a label is not known, or no film is there.
    """
    rows = _read_csv(_only_file(folder, "Data_Entry_2017*.csv"), ("Image Index", "Finding Labels", "Patient ID"))
    listed = _read_list(_only_file(folder, f"{part}_list.txt"))
    rows = rows[rows["Image Index"].isin(listed)]
    films = index_films(folder)
    there = rows["Image Index"].map(lambda name: Path(name).stem in films).to_numpy(bool)
    missing = tuple(rows["Image Index"][~there])
    rows = rows[there]
    if rows.empty:
        raise TrainingDataError(f"None of the {len(listed)} films of {part}_list.txt is below {folder.name}/.")
    paths = tuple(films[Path(name).stem] for name in rows["Image Index"])
    labels = _nih_labels(rows["Finding Labels"], label_names)
    return FilmTable(label_names, paths, labels, rows["Patient ID"].to_numpy(str), missing)


def _nih_labels(findings: "pd.Series[str]", label_names: tuple[str, ...]) -> NDArray[np.float32]:
    """ "Effusion|Mass" -> a row of 1 and 0. `No Finding` is a row of zeros; a finding outside the task is no label."""
    known = {*NIH_LABELS, "No Finding"}
    named = [set(text.split("|")) for text in findings]
    strangers = set().union(*named) - known
    if strangers:
        raise TrainingDataError(f"Finding {min(strangers)!r} is none of NIH's: {', '.join(sorted(known))}.")
    return np.array([[label in names for label in label_names] for names in named], np.float32)


NIH_LABELS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def index_films(folder: Path) -> dict[str, Path]:
    """Stem -> path of every film below `folder`, walked once."""
    walked = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return {path.stem: path for path in walked if path.suffix.lower() in FILM_ENDINGS}


def split_by_patient(table: FilmTable, share: float, seed: int) -> tuple[FilmTable, FilmTable]:
    """(the rest, the held-out): `share` of the patients, drawn by `seed`, with all their films."""
    patients = np.unique(table.patients)
    drawn = np.random.default_rng(seed).permutation(patients)[: round(len(patients) * share)]
    held_out = np.isin(table.patients, drawn)
    return table.take(np.flatnonzero(~held_out)), table.take(np.flatnonzero(held_out))


def check_apart(one: FilmTable, other: FilmTable) -> None:
    """Raises TrainingDataError when a patient has films in both tables."""
    both = np.intersect1d(one.patients, other.patients)
    if len(both):
        raise TrainingDataError(
            f"{len(both)} patients are in both lists, patient {both[0]} among them; split the films by patient."
        )


@dataclass(frozen=True)
class PackedFilms:
    """All films of a table, decoded once: (N, CACHE_SIDE, CACHE_SIDE) uint8, memory-mapped."""

    squares: NDArray[np.uint8]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.squares)

    def take(self, rows: NDArray[np.intp]) -> "PackedFilms":
        return PackedFilms(self.squares[rows], self.labels[rows])


def pack(table: FilmTable, cache: Path, fit: str) -> PackedFilms:
    """The packed films of `table`, from the cache folder or decoded into it now.

    Raises:
        TrainingDataError: a film cannot be read; the first such film is named, and how many there are.
    """
    names = "\n".join(f"{path.resolve()} {path.stat().st_size}" for path in table.paths)
    key = hashlib.sha256(f"{fit} {CACHE_SIDE}\n{names}".encode()).hexdigest()[:16]
    file = cache / f"films-{key}.npy"
    if not file.exists():
        _decode_all(table, file, fit)
    return PackedFilms(np.load(file, mmap_mode="r"), table.labels)


def _decode_all(table: FilmTable, file: Path, fit: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.npy")
    shape = (len(table), CACHE_SIDE, CACHE_SIDE)
    squares = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
    unreadable: list[str] = []

    def decode(row: int) -> None:
        try:
            square, _ = fit_square(read_film(table.paths[row]).pixels, CACHE_SIDE, fit)
            squares[row] = np.rint(square * 255)
        except CxrError as error:
            unreadable.append(f"{table.paths[row].name}: {error}")

    with ThreadPoolExecutor() as threads:
        for _ in tqdm(threads.map(decode, range(len(table))), total=len(table), desc="packing films", unit="film"):
            pass
    if unreadable:
        unfinished.unlink()
        raise TrainingDataError(f"{len(unreadable)} of {len(table)} films cannot be read, first {unreadable[0]}")
    squares.flush()
    unfinished.replace(file)


def _only_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise TrainingDataError(f"There is no {pattern} in {folder}; give the folder of the data set with --data.")
    return found[0]


def _read_csv(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{file.name} is not a csv table ({error}).") from error
    lacking = [column for column in columns if column not in rows.columns]
    if lacking or rows.empty:
        raise TrainingDataError(f"{file.name} has {len(rows)} rows and no column {lacking}; it must be the original.")
    return rows


def _read_list(file: Path) -> set[str]:
    return set(file.read_text().split())
