"""What came of one film file: its report, or the reason why there is none; and that as a row of a table."""

import os
from dataclasses import dataclass
from pathlib import Path

from cxr.errors import BadRequest
from cxr.films.film import Film
from cxr.reading.reader import Reader
from cxr.reading.report import Report
from cxr.reading.table import columns, row


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    name: str
    report: Report | None = None
    error: str = ""  # also of a film that was refused, and of one that was refused and read anyway

    @classmethod
    def of(cls, name: str, report: Report) -> "Outcome":
        mark = "" if report.check.accepted else "Refused, read anyway: " if report.findings else "Refused: "
        return cls(name, report, mark + report.check.sentence)

    @property
    def is_read(self) -> bool:
        return self.report is not None and bool(self.report.findings)


def film_name(path: str | os.PathLike[str]) -> str:
    """A path as text that any terminal and any table takes, also where it is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def columns_of(reader: Reader) -> list[str]:
    return columns(reader.info.labels)


def row_of(outcome: Outcome, reader: Reader) -> dict[str, str]:
    """Column -> text; without the labels where the film was not read."""
    findings = outcome.report.findings if outcome.report else ()
    return row(outcome.name, reader.info.task, reader.identity.sha256, findings, outcome.error)


def draw_overlays(outcome: Outcome, film: Film, folder: Path, number: str) -> None:
    """One PNG for each alarm; the film's `number` keeps films of one name apart. Raises BadRequest if it cannot."""
    if outcome.report is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for finding in outcome.report.alarms():
            file = folder / f"{number}_{Path(outcome.name).stem}_{finding.label}.png"
            file.write_bytes(outcome.report.overlay_png(finding.label, film))
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written ({error.strerror}); choose another --overlays.") from error
