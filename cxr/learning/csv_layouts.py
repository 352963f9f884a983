"""Data sets whose labels stand in a csv: NIH ChestX-ray14, CheXpert, and a csv of one's own."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.tables import (
    FilmTable,
    Wanted,
    ages_years,
    column,
    index_films,
    only_file,
    patient_of,
    plain,
    read_csv,
    walk_films,
)
from cxr.tasks import CHESTXRAY14, CHEXPERT14, TASKS

NIH_LABELS = CHESTXRAY14
CHEXPERT_LABELS = tuple(name.replace("_", " ") for name in CHEXPERT14)  # as the columns of its csv are called
# What becomes of CheXpert's -1: U-Ignore, U-Zeros and U-Ones of Irvin et al., AAAI 2019, "Uncertainty Approaches".
UNCERTAIN = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}
OWN_CSV = "films.csv"
OWN_COLUMNS = {"path", "patient", "sex", "age", "view", "part"}  # all others are labels
EXTERNAL = "external"  # films of other hospitals, which only ever test
WHOLE = "all"  # the part of a data set from which its test part is still to be taken
_SEXES = {"M": "M", "F": "F", "Male": "M", "Female": "F", "male": "M", "female": "F"}


def nih_parts(folder: Path, wanted: Wanted) -> dict[str, FilmTable]:
    """NIH's two official lists; validation films are to be taken from the first, patient by patient."""
    rows, films = _nih_rows(folder), index_films(folder)
    lists = {"train": "train_val", "test": "test"}
    return {part: _nih_part(folder, name, wanted.label_names, rows, films) for part, name in lists.items()}


def read_nih(folder: Path, part: str, label_names: tuple[str, ...]) -> FilmTable:
    """NIH ChestX-ray14 (Wang et al. 2017): the films of its `train_val` or `test` list.

    Needs `Data_Entry_2017*.csv` and `<part>_list.txt` in `folder`, and the films anywhere below it, as `.png` or
    resized as `.jpg`: films, rows and lists are matched by stem. What is listed without a row is missing too.

    Raises:
        TrainingDataError: a file is missing, a column is missing, a label is not known, or no film is there.
    """
    table = _nih_part(folder, part, label_names, _nih_rows(folder), index_films(folder))
    if not len(table):
        raise TrainingDataError(f"None of the {len(table.missing)} films of {part}_list.txt is below {folder.name}/.")
    return table


def _nih_rows(folder: Path) -> pd.DataFrame:
    return read_csv(only_file(folder, "Data_Entry_2017*.csv"), ("Image Index", "Finding Labels", "Patient ID"))


def _nih_part(
    folder: Path, part: str, label_names: tuple[str, ...], rows: pd.DataFrame, films: dict[str, Path]
) -> FilmTable:
    listed = {Path(name).stem: name for name in _listed(folder, part)}
    rows = rows.set_index(rows["Image Index"].map(lambda name: Path(name).stem))
    unlabelled = [name for stem, name in listed.items() if stem not in rows.index]
    rows = rows[rows.index.isin(listed.keys())]
    there = rows.index.isin(films.keys())
    missing, rows = (*rows["Image Index"][~there], *unlabelled), rows[there]
    return FilmTable(
        label_names,
        tuple(films[stem] for stem in rows.index),
        _nih_labels(rows["Finding Labels"], label_names),
        rows["Patient ID"].to_numpy(str),
        missing,
        sex=column(rows, "Patient Gender", _SEXES),
        age_years=ages_years(rows, "Patient Age"),
        view=column(rows, "View Position"),
    )


def _listed(folder: Path, part: str) -> list[str]:
    return only_file(folder, f"{part}_list.txt").read_text(errors="replace").split()


def _nih_labels(findings: "pd.Series[str]", label_names: tuple[str, ...]) -> NDArray[np.float32]:
    """ "Effusion|Mass" -> a row of 1 and 0. `No Finding` is a row of zeros; a finding outside the task is no label."""
    known = {*NIH_LABELS, "No Finding"}
    _check_offered(label_names, known, "NIH ChestX-ray14")
    named = [set(text.split("|")) for text in findings]
    strangers = set().union(*named) - known
    if strangers:
        raise TrainingDataError(f"Finding {min(strangers)!r} is none of NIH's: {', '.join(sorted(known))}.")
    labels = np.array([[label in names for label in label_names] for names in named], np.float32)
    return labels.reshape(-1, len(label_names))  # (0, K) of no films


def chexpert_parts(folder: Path, wanted: Wanted) -> dict[str, FilmTable]:
    """CheXpert (Irvin et al. 2019), full or small: `train.csv`, and `valid.csv` as the test part.

    The films of `valid.csv` are the ones that radiologists labelled, so none of them chooses a model: validation
    films are to be taken from `train.csv`, patient by patient. Only frontal films are read. A blank is 0, as in the
    paper's Table 1, which counts as negative whatever is neither positive nor uncertain; -1 becomes
    `UNCERTAIN[wanted.uncertain]`. A film is found by `patient/study/view`, so that the batches of the full download
    may lie side by side.
    """
    films = {"/".join(path.parts[-3:]): path for path in walk_films(folder)}
    lists = {"train": "train.csv", "test": "valid.csv"}
    return {part: _chexpert_part(chexpert_csv(folder, name), wanted, films) for part, name in lists.items()}


def chexpert_csv(folder: Path, name: str) -> Path:
    """`train.csv` or `valid.csv`, in the folder or one below: `CheXpert-v1.0-small/`, `... (validate & csv)/`."""
    below = sorted(folder.glob(f"*/{name}"))
    return below[0] if below and not (folder / name).exists() else only_file(folder, name)


def _chexpert_part(file: Path, wanted: Wanted, films: dict[str, Path]) -> FilmTable:
    _check_offered(wanted.label_names, set(CHEXPERT_LABELS), "CheXpert")
    everything = read_csv(file, ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS))
    rows = everything[everything["Frontal/Lateral"] == "Frontal"]
    names = rows["Path"].map(lambda path: "/".join(path.split("/")[-3:]))
    there = names.map(films.__contains__).to_numpy(bool)
    missing, rows, names = tuple(names[~there]), rows[there], names[there]
    labels = _numbers(rows, wanted.label_names, CHEXPERT_LABELS, {"": 0.0, "-1": UNCERTAIN[wanted.uncertain]}, file)
    return FilmTable(
        wanted.label_names,
        tuple(films[name] for name in names),
        labels,
        np.array([name.split("/")[0] for name in names], str),
        missing,
        sex=column(rows, "Sex", _SEXES),
        age_years=ages_years(rows, "Age"),
        view=column(rows, "AP/PA"),
        notes=(f"{file.name}: {len(everything) - len(rows) - len(missing)} lateral films left out, uncertain labels: "
               f"{wanted.uncertain}.",),
    )  # fmt: skip


def own_csv(folder: Path) -> Path:
    """The csv of one's own: `films.csv` in the folder, or the file itself."""
    return folder if folder.suffix.lower() == ".csv" else folder / OWN_CSV


def own_csv_parts(folder: Path, wanted: Wanted) -> dict[str, FilmTable]:
    """A csv of one's own: `path` (below the csv's folder, or absolute) and a column of 1, 0 or blank for each label.

    May have `patient` (else the film's name tells), `sex` (F or M), `age` (years), `view`, and `part` (train,
    validation or test). Blank labels are NaN. Labels of other tasks may stand there; any other column is an error.
    """
    file = own_csv(folder)
    rows = read_csv(file, ("path",))
    _check_columns(rows, wanted.label_names, file)
    if "part" not in rows.columns:
        return {WHOLE: _own_table(file, rows, wanted.label_names)}
    strangers = set(rows["part"]) - {"train", "validation", "test"}
    if strangers:
        raise TrainingDataError(f"{file.name}: part {min(strangers)!r} is none of train, validation, test.")
    return {part: _own_table(file, of_part, wanted.label_names) for part, of_part in rows.groupby("part")}


def _own_table(file: Path, rows: pd.DataFrame, label_names: tuple[str, ...]) -> FilmTable:
    paths = [file.parent / text for text in rows["path"]]
    there = np.array([path.is_file() for path in paths])
    missing, rows = tuple(rows["path"][~there]), rows[there]
    found = tuple(path for path, is_there in zip(paths, there, strict=True) if is_there)
    named = column(rows, "patient")
    return FilmTable(
        label_names,
        found,
        _numbers(rows, label_names, tuple(rows.columns), {"": np.nan}, file),
        np.array([name or patient_of(path) for name, path in zip(named, found, strict=True)], str),
        missing,
        sex=column(rows, "sex", _SEXES),
        age_years=ages_years(rows, "age"),
        view=column(rows, "view"),
    )


def _check_columns(rows: pd.DataFrame, label_names: tuple[str, ...], file: Path) -> None:
    known = {plain(label) for task in TASKS.values() for label in task.labels} | {plain(name) for name in label_names}
    strangers = [name for name in rows.columns if name not in OWN_COLUMNS and plain(name) not in known]
    if strangers:
        raise TrainingDataError(f"{file.name} has columns that are no label of any task: {', '.join(strangers)}.")
    _check_offered(label_names, set(rows.columns), file.name)


def _check_offered(label_names: tuple[str, ...], offered: set[str], source: str) -> None:
    """Raises TrainingDataError when a label of the task is none of the source's: it would be 0 for all films."""
    unknown = [name for name in label_names if plain(name) not in {plain(label) for label in offered}]
    if unknown:
        raise TrainingDataError(f"{source} has no label {', '.join(unknown)}, which the task predicts; choose another.")


def _numbers(
    rows: pd.DataFrame, label_names: tuple[str, ...], columns: tuple[str, ...], meanings: dict[str, float], file: Path
) -> NDArray[np.float32]:
    """(N, K) from texts `1`, `0`, `1.0`, `0.0` and those in `meanings`."""
    meanings = {"1": 1.0, "0": 0.0, **meanings}
    by_name = {plain(name): name for name in columns}
    labels = np.empty((len(rows), len(label_names)), np.float32)
    for k, label in enumerate(label_names):
        texts = rows[by_name[plain(label)]].str.strip().map(lambda text: re.sub(r"\.0+$", "", text))
        strangers = set(texts) - meanings.keys()
        if strangers:
            raise TrainingDataError(f"{file.name}: {label} is {min(strangers)!r} in a row; it may be 1, 0 or blank.")
        labels[:, k] = texts.map(meanings)
    return labels
