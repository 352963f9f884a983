"""Calibrate a model on a site's own labelled films: probabilities, intervals and operating points for its patients."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cxr.errors import BadRequest
    from cxr.learning.calibration import Calibration
    from cxr.reading.labels import LabelledFilms
    from cxr.reading.reader import Reader
    from cxr.reading.site import SiteCalibration

FEWEST_PATIENTS = 10  # with the finding, and without; of fewer a calibration is mostly chance
NAMED = 10  # films that are named one by one
CONTRADICTED = (
    "these films contradict the model: the higher its answer, the rarer the finding; are 1 and 0 changed over?"
)


@dataclass(frozen=True)
class Sample:
    """The films that could be read."""

    films: "LabelledFilms"
    logits: "NDArray[np.float32]"  # (N, K)


@dataclass(frozen=True)
class Quality:
    """How far probabilities are from what was the case; None where it cannot be said."""

    ece: float | None
    brier: float | None


@dataclass(frozen=True)
class Figures:
    """What the films say about one label."""

    with_it: int  # films
    without_it: int
    kept: str  # why the model's own calibration stays; empty: it is replaced
    before: Quality
    after: Quality  # on the half of the patients that was not calibrated on


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = "csv with a column film, perhaps patient, and one for each label that is known (1, 0 or empty)"
    parser.add_argument("labels", type=Path, metavar="LABELS.csv", help=about)
    parser.add_argument("films", type=Path, metavar="FILMS", help="folder in which these films lie")
    parser.add_argument("--out", type=Path, required=True, metavar="SITE.json", help="file for CXR_CALIBRATION")
    parser.add_argument("--task", choices=TASKS, help="what is read (default: the task of the first model)")
    parser.add_argument("--model", type=Path, help="exported model file (default: CXR_MODEL and the shipped ones)")


def run(options: argparse.Namespace) -> int:
    """0; films that cannot be read are named and left out."""
    from cxr.films.film import Limits
    from cxr.reading.labels import read_labels
    from cxr.reading.readers import Readers
    from cxr.settings import Settings

    # The logits of a derived task rest on the calibration behind it, so it is the model's own that counts.
    settings = dataclasses.replace(Settings.from_environment(), calibration="")
    readers = Readers.find(settings, [options.model], shipped=None) if options.model else Readers.find(settings)
    reader = readers.of(options.task or "")
    _validate_out(options.out)
    listed = read_labels(options.labels, options.films, reader.info)
    sample = _look(listed, reader, Limits.of(settings))
    figures, fitted = _calibrate(sample, reader)
    _write(options.out, _site(sample, reader, figures, fitted).to_json())
    print("\n".join(_text(sample, len(listed.paths), reader, figures)))
    print(f"Written: {options.out}. The desk and `predict` use it with CXR_CALIBRATION={options.out}")
    return 0


def _validate_out(out: Path) -> None:
    from cxr.errors import BadRequest

    if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise BadRequest(f"{out} cannot be written; give --out a file in a folder that is there.")


def _look(listed: "LabelledFilms", reader: "Reader", limits: Any) -> Sample:
    """The logits of all films that can be read. Raises BadRequest when none can."""
    import numpy as np
    from tqdm import tqdm

    from cxr.errors import BadRequest, CxrError
    from cxr.films.read import read_film

    known = ~np.isnan(listed.truth).all(axis=1)
    rows, logits = [], []
    for row in tqdm(np.flatnonzero(known), unit="film", disable=not sys.stderr.isatty()):
        try:
            logits.append(reader.logits(read_film(listed.paths[row], limits)))
            rows.append(row)
        except CxrError as error:
            tqdm.write(f"left out: {os.fsencode(listed.paths[row]).decode(errors='replace')}: {error}", file=sys.stderr)
    if not rows:
        raise BadRequest("None of the films has a label and can be read; look at the csv and at the films.")
    return Sample(listed.take(np.array(rows)), np.stack(logits))


def _calibrate(sample: Sample, reader: "Reader") -> tuple[dict[str, Figures], "Calibration"]:
    """Figures of each label, and the calibration of those that can have one.

    Raises:
        BadRequest: no label has enough patients, or the films contradict the model in all that have, or in its classes.
    """
    import numpy as np

    from cxr.learning.calibration import SITE_FITS, calibrate, patients_of_each

    info, truth, patients = reader.info, sample.films.truth, sample.films.patients
    kept = _kept(patients_of_each(truth, patients), reader)
    chosen = np.array([k for k, label in enumerate(info.labels) if not kept[label]], int)
    if not len(chosen):
        raise _nothing(kept)
    labels = tuple(info.labels[k] for k in chosen)
    fitted = calibrate(sample.logits[:, chosen], truth[:, chosen], labels, info.kind, patients, SITE_FITS)
    kept |= dict.fromkeys(fitted.inverted, CONTRADICTED)
    fitted = fitted.without(fitted.inverted)  # the classes of one task share their slope, so it is all or none
    if not fitted.platt:
        raise _nothing(kept)
    return _figures(sample, reader, kept), fitted


def _nothing(kept: dict[str, str]) -> "BadRequest":
    from cxr.errors import BadRequest

    remedy = "look at the labels" if CONTRADICTED in kept.values() else "label more of them"
    reasons = "; ".join(f"{label}: {why}" for label, why in kept.items())
    return BadRequest(f"Nothing can be calibrated on these films; {remedy}. {reasons}.")


def _kept(counts: "NDArray[np.intp]", reader: "Reader") -> dict[str, str]:
    """Label -> why the model's own calibration stays, from patients with and without it (K, 2); empty: it does not."""
    why = {
        label: f"{have} patients with it and {lack} without, of {FEWEST_PATIENTS} each that are needed"
        if min(have, lack) < FEWEST_PATIENTS
        else ""
        for label, (have, lack) in zip(reader.info.labels, counts.tolist(), strict=True)
    }
    if reader.info.kind == "multiclass" and any(why.values()):  # all classes are calibrated together
        short = ", ".join(label for label, reason in why.items() if reason)
        return {label: reason or f"calibrated together with {short}" for label, reason in why.items()}
    return why


def _figures(sample: Sample, reader: "Reader", kept: dict[str, str]) -> dict[str, Figures]:
    import numpy as np

    info, truth = reader.info, sample.films.truth
    before = info.probabilities(sample.logits)
    after = _cross_validated(sample, info.kind)
    made = {}
    for k, label in enumerate(info.labels):
        measured = np.where(np.isnan(after[:, k]) & (not kept[label]), np.nan, truth[:, k])
        later = Quality(None, None) if kept[label] else _quality(after[:, k], measured)
        have, lack = (int((truth[:, k] == value).sum()) for value in (1, 0))
        made[label] = Figures(have, lack, kept[label], _quality(before[:, k], measured), later)
    return made


def _cross_validated(sample: Sample, kind: str) -> "NDArray[np.float64]":
    """(N, K); each label by itself, so that each is shared out evenly between the halves, or all classes together."""
    import numpy as np

    from cxr.learning.calibration import SITE_FITS, out_of_fold

    truth, patients = sample.films.truth, sample.films.patients
    if kind == "multiclass":
        return out_of_fold(sample.logits, truth, kind, patients, *SITE_FITS[kind])
    columns = [[k] for k in range(truth.shape[1])]
    each = [out_of_fold(sample.logits[:, k], truth[:, k], kind, patients) for k in columns]
    return np.concatenate(each, axis=1)


def _quality(probabilities: "NDArray[np.float64]", truth: "NDArray[np.float64]") -> Quality:
    import numpy as np

    from cxr.metrics import brier, expected_calibration_error

    error, squared = expected_calibration_error(probabilities, truth), brier(probabilities, truth)
    return Quality(*(None if np.isnan(figure) else round(figure, 5) for figure in (error, squared)))


def _site(sample: Sample, reader: "Reader", figures: dict[str, Figures], fitted: "Calibration") -> "SiteCalibration":
    import numpy as np

    from cxr.modelfile import SiteSample
    from cxr.reading.site import SiteCalibration

    patients = len(np.unique(sample.films.patients))
    today = datetime.now(UTC).date().isoformat()
    return SiteCalibration(
        reader.info.name,
        reader.identity.sha256,
        reader.info.task,
        SiteSample(today, len(sample.logits), patients, tuple(fitted.platt)),
        fitted.platt,
        fitted.operating_points,
        fitted.resampled,
        {label: dataclasses.asdict(each) for label, each in figures.items()},
    )


def _write(out: Path, text: str) -> None:
    """The file appears whole or not at all."""
    from cxr.errors import BadRequest

    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadRequest(f"{out} cannot be written ({error.strerror}); choose another --out.") from error


def _text(sample: Sample, listed: int, reader: "Reader", figures: dict[str, Figures]) -> Iterator[str]:
    import numpy as np

    films = sample.films
    patients = len(np.unique(films.patients)) if films.names_patients else "unknown; each film counts as one"
    yield f"{reader.info.name} {reader.identity.sha256[:12]}, task {reader.info.task}"
    yield f"films: {len(sample.logits)} of {listed} (the others have no label or cannot be read); patients: {patients}"
    if films.undecided:
        first = f"{', '.join(films.undecided[:NAMED])}{', ...' if len(films.undecided) > NAMED else ''}"
        yield f"films with a 0 but no 1, whose class is not known, left out: {len(films.undecided)} ({first})"
    if films.unused:
        yield f"columns that are no label of this model: {', '.join(films.unused)}"
    yield f"{'':26} {'with':>5} {'without':>7}   {'ECE before':>10} {'after':>6}   {'Brier before':>12} {'after':>6}"
    for label, each in figures.items():
        yield _line(label, each, own=label in reader.info.platt)
    yield "After: each half of the patients by a calibration of the other half. The file holds that of all of them."


def _line(label: str, each: Figures, own: bool) -> str:
    """`own`: the model has a calibration of this label."""
    numbers = f"{label:26} {each.with_it:5} {each.without_it:7}   {_shown(each.before.ece):>10}"
    if each.kept:
        stays = "keeps the model's own calibration" if own else "stays uncalibrated"
        return f"{numbers}  {stays} ({each.kept})"
    before, after = each.before, each.after
    return f"{numbers} {_shown(after.ece):>6}   {_shown(before.brier):>12} {_shown(after.brier):>6}"


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"
