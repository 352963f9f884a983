"""What stands in the report of a film, and its one row as csv."""

import csv
import io
from dataclasses import dataclass

from cxr.desk.answers import VERDICTS, WHOLE_FILM, Answer
from cxr.desk.tables import FilmRow
from cxr.desk.views import interval, marked, moment, percent
from cxr.reading.report import Finding, Report, title_of
from cxr.reading.table import columns, row

FORMULA_SIGNS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class FilmReport:
    """All that the one page says; `film_jpeg` and `overlay_jpeg` are JPEG bytes."""

    film: FilmRow
    report: Report
    shown: Finding  # whose heat map is on the second picture
    answers: list[Answer]  # those that count, the oldest first
    film_jpeg: bytes
    overlay_jpeg: bytes
    written_at: float  # seconds since 1970, UTC

    @property
    def about(self) -> str:
        """Which film this is: nothing that names the patient but the label that the user gave."""
        film, metadata = self.film, self.report.film
        seen = ", ".join(filter(None, (metadata.format, metadata.view_position)))
        return f"{seen} · taken in {moment(film.created_at)} · film {film.id} · SHA-256 {film.sha256[:12]}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Finding, probability, interval, operating point, what the model says, what the clinicians say."""
        return [self._row(finding) for finding in self.report.ranked()]

    @property
    def comments(self) -> list[tuple[str, str]]:
        """(who said it of what and when, the text), those to the whole film first."""
        told = sorted((a for a in self.answers if a.text), key=lambda answer: answer.label != WHOLE_FILM)
        return [(_head(answer), answer.text) for answer in told]

    @property
    def verdicts(self) -> list[str]:
        """A line for each finding that was answered: who said what of it."""
        said = []
        for finding in self.report.ranked():
            verdicts = [f"{name}: {', '.join(map(signed, answers))}" for name, answers in self._given(finding)]
            said += [" · ".join([finding.title, *verdicts])] if verdicts else []
        return said

    @property
    def check(self) -> list[str]:
        """What the film check and the file itself give to bear in mind."""
        told = [reason.text for reason in self.report.check.reasons]
        anyway = ["Refused, and read because a person said so."] if self.report.check.read_anyway else []
        return [*anyway, *told, *self.report.film.notes] or ["Accepted; nothing to bear in mind."]

    @property
    def model(self) -> list[str]:
        return told_of_model(self.film, self.report)

    def _row(self, finding: Finding) -> tuple[str, ...]:
        point = finding.operating_point
        counts = ", ".join(f"{len(given)} {name}" for name, given in self._given(finding))
        return (
            finding.title,
            percent(finding.probability),
            interval(finding),
            percent(point.threshold) if point else "none",
            self._says(finding),
            counts,
        )

    def _given(self, finding: Finding) -> list[tuple[str, list[Answer]]]:
        """The verdicts that were given of a finding, in their own order, and the answers with each."""
        answers = [answer for answer in self.answers if answer.label == finding.label]
        given = [(name, [answer for answer in answers if answer.verdict == name]) for name in VERDICTS]
        return [(name, answers) for name, answers in given if answers]

    def _says(self, finding: Finding) -> str:
        if self.report.model.multiclass:
            return "most probable" if finding.above else ""
        return "above" if finding.above else "below" if finding.operating_point else "not calibrated"


def told_of_model(film: FilmRow, report: Report) -> list[str]:
    """What read the film and when, in lines for paper."""
    model, site = report.model, report.model.calibration
    calibrated = f"this site’s own of {site.date}, on {site.films} films" if site else "the model’s own"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [
        f"{model.name} ({model.architecture}) for {model.audience} · read {moment(film.read_at or 0)}",
        f"SHA-256 {model.sha256}",
        f"Calibration: {calibrated}. Operating points by {model.points_title}. {versions}.",
    ]


def signed(answer: Answer) -> str:
    return answer.signature or "without a name"


def _head(answer: Answer) -> str:
    of = title_of(answer.label) if answer.label else "The film"
    return " · ".join(filter(None, (of, answer.verdict, answer.signature, moment(answer.at))))


def film_csv(film: FilmRow, report: Report) -> str:
    """A heading and one row, in the columns of `python -m cxr predict --csv`."""
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, columns(finding.label for finding in report.findings))
    table.writeheader()
    error = marked(film) + film.error
    table.writerow(row(safe_cell(film.name), film.task, report.model.sha256, report.findings, error))
    return out.getvalue()


def safe_cell(text: str) -> str:
    """For a table: a spreadsheet would run a text that begins like a formula."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
