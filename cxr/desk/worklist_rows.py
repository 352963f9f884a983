"""Keeps the worklist true: each change of a film that it shows, in the transaction of that change."""

from collections.abc import Mapping
from unicodedata import normalize

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from cxr.desk.tables import UNSYNCED, AnswerRow, FilmRow, State, hold
from cxr.desk.worklist_tables import LABEL_LENGTH, SEARCH_LENGTH, AnsweredBy, FindingAbove, WorklistRow
from cxr.desk.worklist_urgency import NOT_READ, urgency_of, weights_in
from cxr.reading.report import Report


def normalised(text: str) -> str:
    """Text as searches compare it: `Ängström` is found by `ängström`, in whatever way its letters were composed."""
    return normalize("NFKC", text).casefold()


def enlist(session: Session, film: FilmRow, patient: str, study: str) -> None:
    """A film that was taken in. `patient` and `study`: their pseudonyms, empty where the file names none."""
    session.add(WorklistRow(
        film_id=film.id, created_at=film.created_at, state=State.WAITING, task=film.task,
        search=_searched(film.name, patient), patient=patient, study=study,
        study_at=_study_at(session, film, patient, study), urgency=float(weights_in(session)[NOT_READ]),
    ))  # fmt: skip


def _searched(name: str, patient: str) -> str:
    """Cut to its column after it was normalised, which makes up to 18 letters of one (U+FDFA); the patient stays."""
    return normalised(name)[: SEARCH_LENGTH - LABEL_LENGTH - 1] + " " + normalised(patient)


def _study_at(session: Session, film: FilmRow, patient: str, study: str) -> float:
    """When the first film of its study was taken in: this one, unless there is another."""
    if not study:
        return 0.0
    hold(session, f"study {study}")  # two first films at once would each begin one
    same = WorklistRow.patient == patient, WorklistRow.study == study
    return session.scalar(select(func.min(WorklistRow.study_at)).where(*same)) or film.created_at


def note_report(session: Session, film_id: str, report: Report) -> None:
    """A film that was read, or refused when its report has no findings."""
    if not report.findings:
        note_outcome(session, film_id, State.REFUSED)
        return
    strengths = {finding.label: report.strength(finding) for finding in report.alarms()}
    margin = None if report.model.multiclass else report.top().margin
    note_outcome(session, film_id, State.READ, strengths, margin)


def note_outcome(
    session: Session, film_id: str, state: State, above: Mapping[str, float] | None = None, margin: float | None = None
) -> None:
    """How the reading of a film ended, or State.WAITING when it begins anew. `above`: strengths by label."""
    mine, weights = WorklistRow.film_id == film_id, weights_in(session)
    strengths = above or {}
    session.execute(delete(FindingAbove).where(FindingAbove.film_id == film_id), execution_options=UNSYNCED)
    session.add_all(FindingAbove(film_id=film_id, label=label, strength=s) for label, s in strengths.items())
    session.flush()
    outcome = {"state": state, "margin": margin, "urgency": urgency_of(state, strengths, weights)}
    session.execute(update(WorklistRow).where(mine).values(outcome), execution_options=UNSYNCED)


def note_answer(session: Session, film_id: str, by: str) -> None:
    """Somebody answered a film, or withdrew what they had said; the row of that answer is there already."""
    session.flush()
    session.execute(delete(AnsweredBy).where(AnsweredBy.film_id == film_id, AnsweredBy.by == by))
    if _stands(session, film_id, by):
        session.add(AnsweredBy(film_id=film_id, by=by))
        session.flush()
    answered = exists().where(AnsweredBy.film_id == film_id)
    unanswered = 0 if session.scalar(select(answered)) else 1
    session.execute(update(WorklistRow).where(WorklistRow.film_id == film_id).values(unanswered=unanswered))


def _stands(session: Session, film_id: str, by: str) -> bool:
    """Whether an answer under this name still says anything; several people may have given no name."""
    mine = select(AnswerRow).where(AnswerRow.film_id == film_id, AnswerRow.by == by).order_by(AnswerRow.id)
    latest = {(row.label, row.person_id, row.browser): row for row in session.scalars(mine)}
    return any(row.verdict or row.text for row in latest.values())
