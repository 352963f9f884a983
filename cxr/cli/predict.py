"""Read films and print or store what the model sees; a film that cannot be read is a row with its reason."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from cxr.errors import BadRequest, CxrError
from cxr.films.film import Film, Limits
from cxr.films.read import read_film
from cxr.films.reasons import REFUSE, WARN
from cxr.reading.archive_sources import Folder
from cxr.reading.outcomes import Outcome, columns_of, draw_overlays, film_name, row_of
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.reading.report import DISCLAIMER, Finding, Report
from cxr.settings import Settings
from cxr.tasks import TASKS


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("films", nargs="+", type=Path, metavar="FILM", help="PNG, JPEG or DICOM file, or a folder")
    parser.add_argument("--task", choices=TASKS, help="what to read (default: the task of the first model)")
    parser.add_argument(
        "--model", type=Path, help="exported model file, read with alone (default: CXR_MODEL and the shipped ones)"
    )
    parser.add_argument("--csv", type=Path, metavar="OUT", help="write one row for each film, with all probabilities")
    parser.add_argument(
        "--overlays", type=Path, metavar="DIR", help="write the film with the heat map of each finding above"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="read films that the film check refuses, too; their rows say so"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each film, a line each")


def run(options: argparse.Namespace) -> int:
    """0, or 1 when a film could not be read."""
    settings = Settings.from_environment()
    readers = Readers.find(settings, [options.model], shipped=None) if options.model else Readers.find(settings)
    reader = readers.of(options.task or "")
    files = list(_files(options.films))
    if not files:
        raise BadRequest("There is no PNG, JPEG or DICOM file in the folders given.")
    failed = 0
    with ExitStack() as stack:
        table = _table(stack, options.csv, reader) if options.csv else None
        progress = tqdm(files, unit="film", disable=len(files) < 2 or not sys.stderr.isatty())
        for number, file in enumerate(progress, start=1):
            outcome, film = _read(file, reader, Limits.of(settings), options.anyway)
            failed += not outcome.is_read
            _show(outcome, options.json)
            if table:
                table.writerow(row_of(outcome, reader))
            if options.overlays and film:
                draw_overlays(outcome, film, options.overlays, f"{number:04d}")
    if failed:
        print(f"{failed} of {len(files)} films could not be read.", file=sys.stderr)
    return 1 if failed else 0


def _files(given: list[Path]) -> Iterator[str]:
    for path in given:
        yield from Folder(str(path)).films() if path.is_dir() else [str(path)]


def _read(file: str, reader: Reader, limits: Limits, anyway: bool) -> tuple[Outcome, Film | None]:
    try:
        film = read_film(file, limits, frontal_only=False)
        return Outcome.of(film_name(file), reader.read(film, anyway=anyway)), film
    except CxrError as error:
        return Outcome(film_name(file), error=str(error)), None


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        about = outcome.report.to_dict() if outcome.report else {"error": outcome.error}
        tqdm.write(json.dumps({"path": outcome.name, **about}), file=sys.stdout)
    elif outcome.report and outcome.is_read:
        tqdm.write(f"{outcome.name}\n{_checked(outcome.report)}{_text(outcome.report)}", file=sys.stdout)
    else:
        tqdm.write(f"{outcome.name}: {outcome.error}", file=sys.stderr)


def _checked(report: Report) -> str:
    """A line for each reason of the film check, before the findings."""
    named = {REFUSE: "READ ANYWAY", WARN: "warning"}
    return "".join(f"  {named[reason.severity]}: {reason.text}\n" for reason in report.check.reasons)


def _text(report: Report) -> str:
    if report.model.multiclass:
        lines = [_class_line(finding) for finding in report.ranked()]
    else:
        lines = [f"  {report.headline()}.", *(_finding_line(finding) for finding in report.ranked())]
    lines += [f"  note: {note}" for note in report.film.notes]
    if site := report.model.calibration:
        lines.append(f"  calibrated on {site.films} films of this site, {site.date}: {', '.join(site.labels)}")
    return "\n".join([*lines, f"  {report.model.name} {report.model.sha256[:12]}. {DISCLAIMER}"])


def _finding_line(f: Finding) -> str:
    point = f.operating_point
    if point is None:
        return f"  {'-':5}  {f.title:20} {f.probability:6.1%}  (not calibrated, no operating point)"
    told = f"{f.probability:6.1%}{_interval(f)}"
    return f"  {_remark(f, 'above', 'below')}  {f.title:20} {told}  (operating point {point.threshold:.1%})"


def _class_line(f: Finding) -> str:
    return f"  {_remark(f, 'most probable', ' ' * 13)}  {f.title:20} {f.probability:6.1%}{_interval(f)}"


def _interval(f: Finding) -> str:
    return f" ({f.interval[0]:.1%} to {f.interval[1]:.1%})" if f.interval else ""


def _remark(finding: Finding, above: str, below: str) -> str:
    """In capitals where it is an alarm."""
    if finding.alarm:
        return above.upper()
    return above if finding.above else below


def _table(stack: ExitStack, out: Path, reader: Reader) -> "csv.DictWriter[str]":
    try:
        file: TextIO = stack.enter_context(out.open("w", newline="", encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"{out} cannot be written ({error.strerror}); choose another --csv.") from error
    table = csv.DictWriter(file, columns_of(reader))
    table.writeheader()
    return table
