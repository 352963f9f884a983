"""Read films and print or store what the model sees; a film that cannot be read is a row with its reason."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from cxr.errors import BadRequest, CxrError
from cxr.films.film import Film, Limits
from cxr.films.read import read_film
from cxr.films.reasons import REFUSE, WARN
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.reading.report import DISCLAIMER, Finding, Report
from cxr.reading.table import columns, row
from cxr.settings import Settings
from cxr.tasks import TASKS

FILM_ENDINGS = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ""}  # looked for in folders; a named file may have any


@dataclass(frozen=True)
class Answer:
    """What came of one file: a film with its report, or the reason why there is none."""

    path: Path
    film: Film | None = None
    report: Report | None = None
    error: str = ""  # also of a film that was refused and read anyway

    @property
    def is_read(self) -> bool:
        return self.report is not None and bool(self.report.findings)


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
            answer = _answer(file, reader, Limits.of(settings), options.anyway)
            failed += not answer.is_read
            _show(answer, options.json)
            if table:
                table.writerow(_row(answer, reader))
            if options.overlays:
                _draw(answer, options.overlays, number)
    if failed:
        print(f"{failed} of {len(files)} films could not be read.", file=sys.stderr)
    return 1 if failed else 0


def _files(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if _looks_like_a_film(p))
        else:
            yield path


def _looks_like_a_film(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in FILM_ENDINGS and not path.name.startswith(".")


def _answer(file: Path, reader: Reader, limits: Limits, anyway: bool) -> Answer:
    try:
        film = read_film(file, limits, frontal_only=False)
        report = reader.read(film, anyway=anyway)
        mark = "" if report.check.accepted else "Refused, read anyway: " if report.findings else "Refused: "
        return Answer(file, film, report, mark + report.check.sentence)
    except CxrError as error:
        return Answer(file, error=str(error))


def _show(answer: Answer, as_json: bool) -> None:
    if as_json:
        about = answer.report.to_dict() if answer.report else {"error": answer.error}
        tqdm.write(json.dumps({"path": _name(answer), **about}), file=sys.stdout)
    elif answer.report and answer.is_read:
        tqdm.write(f"{_name(answer)}\n{_checked(answer.report)}{_text(answer.report)}", file=sys.stdout)
    else:
        tqdm.write(f"{_name(answer)}: {answer.error}", file=sys.stderr)


def _checked(report: Report) -> str:
    """A line for each reason of the film check, before the findings."""
    named = {REFUSE: "READ ANYWAY", WARN: "warning"}
    return "".join(f"  {named[reason.severity]}: {reason.text}\n" for reason in report.check.reasons)


def _name(answer: Answer) -> str:
    """The path as text that any terminal and any csv takes, also where its name is not UTF-8."""
    return os.fsencode(answer.path).decode("utf-8", "backslashreplace")


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
    table = csv.DictWriter(file, columns(reader.info.labels))
    table.writeheader()
    return table


def _row(answer: Answer, reader: Reader) -> dict[str, str]:
    findings = answer.report.findings if answer.report else ()
    return row(_name(answer), reader.info.task, reader.identity.sha256, findings, answer.error)


def _draw(answer: Answer, folder: Path, number: int) -> None:
    """One PNG for each alarm; the film's number keeps films of one name apart."""
    if answer.report is None or answer.film is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for finding in answer.report.alarms():
            file = folder / f"{number:04d}_{answer.path.stem}_{finding.label}.png"
            file.write_bytes(answer.report.overlay_png(finding.label, answer.film))
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written ({error.strerror}); choose another --overlays.") from error
