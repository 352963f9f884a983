"""What clinicians say of a film and of the model's findings in it. Never part of the model's report."""

import time
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cxr.desk.audit import Entry, tell
from cxr.desk.tables import AnswerRow, FilmRow
from cxr.desk.worklist_rows import note_answer
from cxr.errors import BadRequest, NotFound

VERDICTS = ("agree", "disagree", "unsure")  # with what the model says of a finding
WHOLE_FILM = ""  # the label of an answer to the film as a whole: text alone
TEXT_LENGTH = 1000
NAME_LENGTH = 80


@dataclass(frozen=True)
class Answer:
    """One person's answer to one finding, or to the film as a whole."""

    label: str
    verdict: str = ""  # one of VERDICTS; empty: none
    text: str = ""
    by: str = ""  # the account's name, or what somebody typed, which nobody checked
    at: float = 0.0  # seconds since 1970, UTC
    person_id: int | None = None  # the account; None: nobody was signed in
    browser: str = ""  # where nobody was signed in and no name was typed: in which browser's session

    @property
    def person(self) -> tuple[int | None, str, str]:
        """Equal for the answers of one person: the account, else the typed name, else the browser."""
        return self.person_id, self.by, self.browser

    @property
    def signature(self) -> str:
        """Who says it, and whether that was checked; empty without a name."""
        return f"{self.by} (typed name)" if self.by and self.person_id is None else self.by

    @property
    def is_empty(self) -> bool:
        """Nothing is said, or what was said is withdrawn."""
        return not self.verdict and not self.text

    def repeats(self, other: "Answer") -> bool:
        return (self.verdict, self.text) == (other.verdict, other.text)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: null where nothing was said, and for the film as a whole."""
        label, verdict = self.label or None, self.verdict or None
        signed_in = self.person_id is not None
        return {
            "label": label,
            "verdict": verdict,
            "text": self.text,
            "by": self.by,
            "signed_in": signed_in,
            "at": self.at,
        }


def new_answer(label: str, verdict: str = "", text: str = "", by: str = "") -> Answer:
    """An answer as a person or a program sends it, cleaned. Raises BadRequest for one that cannot be kept."""
    text, by = _clean(text), " ".join(_clean(by).split())
    if verdict and verdict not in VERDICTS:
        raise BadRequest(f"The verdict {verdict[:32]!r} is none; send {', '.join(VERDICTS)}, or none at all.")
    if verdict and label == WHOLE_FILM:
        raise BadRequest("A verdict needs a finding (label); of the film as a whole send text alone.")
    _validate_length("The text", text, TEXT_LENGTH)
    _validate_length("The name", by, NAME_LENGTH)
    return Answer(label, verdict, text, by, time.time())


def _validate_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise BadRequest(f"{what} has {len(text)} characters, the most is {most}; nothing was saved, shorten it.")


def _clean(text: str) -> str:
    """Composed (NFC), without control characters but for line ends, and without space around it."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines).strip()


def latest(history: Iterable[Answer]) -> list[Answer]:
    """The answer of each person to each finding that counts, the oldest first; withdrawn ones are left out."""
    newest: dict[tuple[Any, ...], Answer] = {}
    for answer in history:
        newest.pop((answer.label, answer.person), None)  # so that the order is that of the answers that count
        newest[answer.label, answer.person] = answer
    return [answer for answer in newest.values() if not answer.is_empty]


class Answers:
    """The table of answers. Safe to share among threads and processes."""

    def __init__(self, read: Callable[[], Session], write: Callable[[], AbstractContextManager[Session]]) -> None:
        self._read, self._write = read, write

    def add(self, film_id: str, answer: Answer, told: Entry | None = None) -> bool:
        """Keep an answer; False when it repeats the person's latest one, as a second click does.

        `told`: what the audit log says of it, in the same transaction.
        Raises NotFound when the film is gone.
        """
        mine = (AnswerRow.film_id == film_id) & (AnswerRow.label == answer.label) & _is_of(answer)
        with self._write() as session:  # from here on nobody else writes
            if session.get(FilmRow, film_id) is None:
                raise NotFound("The film was deleted meanwhile, so the answer was not saved. See the list of films.")
            before = session.scalar(select(AnswerRow).where(mine).order_by(AnswerRow.id.desc()).limit(1))
            if answer.repeats(_restore(before) if before else Answer(answer.label)):
                return False
            session.add(AnswerRow(film_id=film_id, **asdict(answer)))
            note_answer(session, film_id, answer.by)
            if told:
                tell(session, told)
        return True

    def history(self, film_id: str) -> list[Answer]:
        """All answers that were ever given to a film, the oldest first; none of a film that there is not."""
        with self._read() as session:
            rows = session.scalars(select(AnswerRow).where(AnswerRow.film_id == film_id).order_by(AnswerRow.id))
            return [_restore(row) for row in rows]


def _is_of(answer: Answer) -> ColumnElement[bool]:
    """Rows of the same person."""
    account = AnswerRow.person_id.is_not_distinct_from(answer.person_id)  # two without an account are alike in that
    return account & (AnswerRow.by == answer.by) & (AnswerRow.browser == answer.browser)


def _restore(row: AnswerRow) -> Answer:
    return Answer(row.label, row.verdict, row.text, row.by, row.at, row.person_id, row.browser)
