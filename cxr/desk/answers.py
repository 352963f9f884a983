"""What clinicians say of a film and of the model's findings in it. Never part of the model's report."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr.desk.tables import AnswerRow, FilmRow
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
    by: str = ""  # whoever gives no name is one person with all others who give none
    at: float = 0.0  # seconds since 1970, UTC

    @property
    def is_empty(self) -> bool:
        """Nothing is said, or what was said is withdrawn."""
        return not self.verdict and not self.text

    def repeats(self, other: "Answer") -> bool:
        return (self.verdict, self.text) == (other.verdict, other.text)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: null where nothing was said, and for the film as a whole."""
        return asdict(self) | {"label": self.label or None, "verdict": self.verdict or None}


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
    """Without control characters but for line ends, and without space around it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines).strip()


def latest(history: Iterable[Answer]) -> list[Answer]:
    """The answer of each person to each finding that counts, the oldest first; withdrawn ones are left out."""
    newest: dict[tuple[str, str], Answer] = {}
    for answer in history:
        newest.pop((answer.label, answer.by), None)  # so that the order is that of the answers that count
        newest[answer.label, answer.by] = answer
    return [answer for answer in newest.values() if not answer.is_empty]


class Answers:
    """The table of answers. Safe to share among threads and processes."""

    def __init__(self, read: Callable[[], Session], write: Callable[[], AbstractContextManager[Session]]) -> None:
        self._read, self._write = read, write

    def add(self, film_id: str, answer: Answer) -> bool:
        """Keep an answer; False when it repeats the person's latest one, as a second click does.

        Raises NotFound when the film is gone.
        """
        mine = (AnswerRow.film_id == film_id) & (AnswerRow.label == answer.label) & (AnswerRow.by == answer.by)
        with self._write() as session:  # from here on nobody else writes
            if session.get(FilmRow, film_id) is None:
                raise NotFound("The film was deleted meanwhile, so the answer was not saved. See the list of films.")
            before = session.scalar(select(AnswerRow).where(mine).order_by(AnswerRow.id.desc()).limit(1))
            if answer.repeats(_restore(before) if before else Answer(answer.label)):
                return False
            session.add(AnswerRow(film_id=film_id, **asdict(answer)))
        return True

    def history(self, film_id: str) -> list[Answer]:
        """All answers that were ever given to a film, the oldest first; none of a film that there is not."""
        with self._read() as session:
            rows = session.scalars(select(AnswerRow).where(AnswerRow.film_id == film_id).order_by(AnswerRow.id))
            return [_restore(row) for row in rows]


def _restore(row: AnswerRow) -> Answer:
    return Answer(row.label, row.verdict, row.text, row.by, row.at)
