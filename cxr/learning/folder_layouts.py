"""Data sets whose labels are names of folders or films: Kermany's paediatric pneumonia, and class folders."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cxr.errors import TrainingDataError
from cxr.learning.csv_layouts import EXTERNAL, WHOLE
from cxr.learning.tables import FILM_ENDINGS, FilmTable, Wanted, check_apart, patient_of, plain, read_csv, walk_films

KERMANY_FOLDERS = ("train", "val", "test")
# What a label means among Kermany's three kinds of films.
KERMANY_LABELS = {
    "bacterial": {"bacteria"},
    "viral": {"virus"},
    "viral pneumonia": {"virus"},
    "normal": {"normal"},
    "pneumonia": {"bacteria", "virus"},
}
SOURCES = "SOURCES.csv"  # `file` (below the csv's folder), `patient`
HEALTHY = {"normal", "no finding"}  # a class folder that need not be a label: no label holds for its films
# Folders of a part, beside one another; `external` comes from other hospitals and is only ever tested on.
PART_FOLDERS = {
    "train": ("train", "internal"),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
    EXTERNAL: ("external",),
}
NAMED_APART = (
    f"where only the films' names tell, give each film a name of its own or write {SOURCES} with the columns file and "
    "patient; else split the films by patient"
)


def kermany_parts(folder: Path, wanted: Wanted) -> dict[str, FilmTable]:
    """Kermany et al. 2018: `train/` and `test/`; validation films are to be taken from `train/`, patient by patient.

    The 16 films of `val/` are too few to choose a model by and are not used. See `read_kermany`.
    """
    unused = len(walk_films(_kermany_root(folder) / "val"))
    unused_note = f"The {unused} films of Kermany's val/ are not used: validation patients are taken from train/."
    notes = (unused_note, shared_numbers(folder))
    return {part: read_kermany(folder, part, wanted.label_names, notes) for part in ("train", "test")}


def read_kermany(folder: Path, part: str, label_names: tuple[str, ...], notes: tuple[str, ...] = ()) -> FilmTable:
    """The films of Kermany's `train/`, `val/` or `test/`, with (N, K) labels by `KERMANY_LABELS`.

    The patient is folder and number, since numbers are used again in other folders; `person12_bacteria` and
    `person12_virus` of one folder may be one child and are kept together.

    Raises:
        TrainingDataError: a label is none of Kermany's, or a film of PNEUMONIA/ is neither bacterial nor viral.
    """
    unknown = [name for name in label_names if plain(name) not in KERMANY_LABELS]
    if unknown:
        offered = ", ".join(KERMANY_LABELS)
        raise TrainingDataError(f"Kermany's films have no label {', '.join(unknown)}; they have {offered}.")
    paths = tuple(walk_films(_kermany_root(folder) / part))
    kinds = [_kermany_kind(path) for path in paths]
    meanings = [KERMANY_LABELS[plain(name)] for name in label_names]
    labels = np.array([[kind in meaning for meaning in meanings] for kind in kinds], np.float32)
    patients = np.array([f"{part}/{patient_of(path)}" for path in paths], str)
    return FilmTable(label_names, paths, labels.reshape(-1, len(label_names)), patients, notes=notes)


def is_kermany(folder: Path) -> bool:
    """Whether `folder`, or `chest_xray/` in it, has Kermany's folders with his names of films."""
    some = _kermany_root(folder) / "train" / "PNEUMONIA"
    return some.is_dir() and any(re.search("_(bacteria|virus)_", path.name) for path in some.iterdir())


def shared_numbers(folder: Path) -> str:
    """A sentence on the person numbers that the public split itself has in more than one folder."""
    root, folders, kinds = _kermany_root(folder), defaultdict(set), defaultdict(set)
    for part in KERMANY_FOLDERS:
        for path in walk_films(root / part):
            folders[patient_of(path)].add(part)
            kinds[patient_of(path), _kermany_kind(path)].add(part)
    shared = sorted(number for number, parts in folders.items() if len(parts) > 1)
    if not shared:
        return "No person number of Kermany's stands in two of train/, val/, test/."
    same = sum(len(parts) > 1 for parts in kinds.values())
    return (
        f"{len(shared)} of Kermany's person numbers stand in more than one of train/, val/, test/ ({same} of them with "
        f"one kind of pneumonia in both), {shared[0]} among them; whether they are the same children is not published."
    )


def _kermany_root(folder: Path) -> Path:
    return folder / "chest_xray" if (folder / "chest_xray").is_dir() else folder


def _kermany_kind(path: Path) -> str:
    if path.parent.name == "NORMAL":
        return "normal"
    named = re.search("_(bacteria|virus)_", path.name)
    if not named:
        raise TrainingDataError(
            f"Film {path.name} in {path.parent.name}/ is neither _bacteria_ nor _virus_ by its name."
        )
    return named.group(1)


def class_folder_parts(folder: Path, wanted: Wanted) -> dict[str, FilmTable]:
    """The parts that `PART_FOLDERS` beside one another name, or one whole where the class folders lie at once.

    Beside `external/` alone the training folder is a whole too: it has test films of its own hospitals.
    """
    found = {part: _first_folder(folder, names) for part, names in PART_FOLDERS.items()}
    parts = {part: read_class_folders(place, wanted.label_names) for part, place in found.items() if place}
    if EXTERNAL in parts and "train" in parts and "test" not in parts:
        parts[WHOLE] = parts.pop("train")
    for one, other in itertools.combinations(parts.values(), 2):
        check_apart(one, other, NAMED_APART)
    return parts or {WHOLE: read_class_folders(folder, wanted.label_names)}


def _first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def read_class_folders(folder: Path, label_names: tuple[str, ...]) -> FilmTable:
    """`folder/CLASS/*.png`, or `folder/CLASS/images/*.png` with masks beside them, which are no films.

    Labels are (N, K), 1 in the column of the film's folder and 0 elsewhere, in the order of `label_names`. The patient
    is what a `SOURCES.csv` in the folder or the one above says, else what the film's name tells, else the film.

    Raises:
        TrainingDataError: a class of the task has no folder, or a folder is none of its classes.
    """
    places = class_folders(folder)
    _validate_classes(folder, places, label_names)
    columns = {plain(name): k for k, name in enumerate(label_names)}
    order = [*columns, *(name for name in sorted(places) if name not in columns)]
    films = [(path, name) for name in order for path in walk_films(places[name])]
    labels = np.zeros((len(films), len(label_names)), np.float32)
    for row, (_, name) in enumerate(films):
        if name in columns:
            labels[row, columns[name]] = 1
    known = _known_patients(folder)
    patients = np.array([known.get(path) or patient_of(path) for path, _ in films], str)
    return FilmTable(label_names, tuple(path for path, _ in films), labels, patients)


def are_class_folders(folder: Path) -> bool:
    """Whether two folders with films lie in `folder`, or in the first part of it."""
    place = _first_folder(folder, itertools.chain(*PART_FOLDERS.values())) or folder
    return len(class_folders(place)) >= 2


def class_folders(folder: Path) -> dict[str, Path]:
    """Plain name -> the folder of its films, for every folder in `folder` that holds films."""
    if not folder.is_dir():
        return {}
    places = {
        sub.name: sub / "images" if (sub / "images").is_dir() else sub for sub in folder.iterdir() if sub.is_dir()
    }
    return {plain(name): place for name, place in places.items() if name[0] != "." and _holds_films(place)}


def _holds_films(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in FILM_ENDINGS for entry in entries)


def _validate_classes(folder: Path, places: dict[str, Path], label_names: tuple[str, ...]) -> None:
    wanted = {plain(name) for name in label_names}
    lacking = [name for name in label_names if plain(name) not in places]
    strangers = sorted(places.keys() - wanted - HEALTHY)
    if lacking or strangers:
        raise TrainingDataError(
            f"{folder.name}/ has class folders {', '.join(sorted(places)) or 'none'}, but the task predicts "
            f"{', '.join(label_names)}: {', '.join([*lacking, *strangers])} does not fit."
        )


def _known_patients(folder: Path) -> dict[Path, str]:
    """Path -> patient, from `SOURCES.csv` in the folder or the one above; empty where there is none."""
    file = next((place / SOURCES for place in (folder, folder.parent) if (place / SOURCES).is_file()), None)
    if file is None:
        return {}
    rows = read_csv(file, ("file", "patient"))
    return {file.parent / name: patient for name, patient in zip(rows["file"], rows["patient"], strict=True)}
