"""How good a model is on films it has never seen: figures with 95 % intervals over patients, as text, JSON, CSV."""

import csv
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import TrainingDataError
from cxr.learning.datasets import FilmTable
from cxr.metrics import Interval, auroc, bootstrap, mean_auroc


@dataclass(frozen=True)
class LabelFigures:
    """One label's figures."""

    label: str
    positives: int
    auroc: Interval


@dataclass(frozen=True)
class Evaluation:
    """All figures of one model on one set of films."""

    films: int
    patients: int
    mean_auroc: Interval  # mean over the labels whose AUROC is defined
    labels: tuple[LabelFigures, ...]

    def to_text(self) -> str:
        """A table for people. Intervals are 95 %, by bootstrap over patients."""
        lines = [f"{self.films} films of {self.patients} patients; AUROC with 95 % interval over patients", ""]
        lines += [f"{f.label:20} {f.positives:5d} positive  {_show(f.auroc)}" for f in self.labels]
        return "\n".join([*lines, "", f"{'mean':20} {'':14}  {_show(self.mean_auroc)}"])

    def to_json(self) -> str:
        """JSON; an undefined figure is null."""
        return json.dumps(_null_for_nan(dataclasses.asdict(self)), indent=1)


def evaluate(scores: NDArray[np.floating], table: FilmTable, draws: int = 1000) -> Evaluation:
    """Figures of scores (N, K) against the table's labels. A label without both classes has NaN figures."""
    labels = tuple(
        LabelFigures(
            label,
            int((table.labels[:, k] == 1).sum()),
            bootstrap(auroc, scores[:, k], table.labels[:, k], table.patients, draws),
        )
        for k, label in enumerate(table.label_names)
    )
    mean = bootstrap(mean_auroc, scores, table.labels, table.patients, draws)
    return Evaluation(len(table), len(np.unique(table.patients)), mean, labels)


def read_scores(file: Path, table: FilmTable) -> NDArray[np.float64]:
    """(N, K) probabilities of the table's films from a csv of `python -m cxr predict --csv`.

    Raises:
        TrainingDataError: a film of the table has no probabilities there, or a label has no column.
    """
    with file.open(newline="") as stream:
        rows = {Path(row["film"]).stem: row for row in csv.DictReader(stream)}
    absent = [path.name for path in table.paths if path.stem not in rows]
    if absent:
        raise TrainingDataError(f"{file.name} lacks {len(absent)} films of the test list, {absent[0]} among them.")
    try:
        return np.array([[float(rows[path.stem][label]) for label in table.label_names] for path in table.paths])
    except (KeyError, ValueError) as error:
        raise TrainingDataError(f"{file.name} lacks a probability of this task ({error}).") from error


def write(evaluation: Evaluation, folder: Path) -> None:
    """`evaluation.txt`, `.json` and `.csv` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.txt").write_text(evaluation.to_text() + "\n")
    (folder / "evaluation.json").write_text(evaluation.to_json() + "\n")
    with (folder / "evaluation.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["label", "positives", "auroc", "low", "high"])
        table.writerows([f.label, f.positives, *dataclasses.astuple(f.auroc)] for f in evaluation.labels)
        table.writerow(["mean", "", *dataclasses.astuple(evaluation.mean_auroc)])


def _show(interval: Interval) -> str:
    return "undefined: one class is absent" if np.isnan(interval.value) else str(interval)


def _null_for_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value
