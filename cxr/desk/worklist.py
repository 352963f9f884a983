"""The worklist: which films, in which order, and what stands before and after one of them.

Pages are found by their cursor, the place of the last film before (keyset), never by counting films: a page is as quick
at the end of the list as at its beginning, and films that come meanwhile neither hide others nor show them twice.
"""

import json
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from cxr.desk.tables import FilmRow, ReportRow, State, reading
from cxr.desk.worklist_tables import AnsweredBy, FindingAbove, WorklistRow
from cxr.errors import NotFound
from cxr.reading.report import log_odds, share_of

Column = InstrumentedAttribute[Any]
Expression = Column | ColumnElement[Any]
Key = tuple[Column, ...]
_NEWEST: Key = (WorklistRow.created_at, WorklistRow.film_id)
# Each falls in all its columns, so that a place is compared as one row value, which indexes understand.
ORDERS: dict[str, Key] = {
    "urgency": (WorklistRow.unanswered, WorklistRow.urgency, *_NEWEST),
    "date": _NEWEST,
    "patient": (WorklistRow.patient, WorklistRow.study_at, WorklistRow.study, *_NEWEST),
}
MOST_COMPARABLE = 12  # films that a film's page offers for a comparison
LATEST = 200  # among so many they are looked for, so that a film's page is as quick at any number of films
NOBODY, ANYBODY, BY = "no", "yes", "by:"  # values of `answered`; the last before a person's name


@dataclass(frozen=True)
class Wanted:
    """Which films, in which order; empty: all. Moments in seconds since 1970 (UTC), `until` left out."""

    sort: str = "urgency"  # one of ORDERS
    finding: str = ""  # label that is above
    state: str = ""
    task: str = ""
    answered: str = ""  # NOBODY, ANYBODY, or BY and a name
    since: float | None = None
    until: float | None = None
    patient: str = ""  # pseudonym
    words: tuple[str, ...] = ()  # each somewhere in the name or the patient's label, as `normalised` makes them
    or_patient: str = ""  # or, instead of the words, this patient: the search was a whole Patient ID
    upload: str = ""
    films: tuple[str, ...] = ()  # ids

    @property
    def passes(self) -> bool:
        """Whether one pass over all rows finds them, because the index of their order does not know what is asked.

        SQLite takes an index for each condition that has one, also where nearly all rows meet it. To look 100,000 of
        them up one by one takes ten times as long as to read them all as they lie.
        """
        elsewhere_than_by_date = self.state or self.since is not None or self.until is not None
        return bool(self.words or self.task or (elsewhere_than_by_date and self.sort != "date"))

    def conditions(self) -> list[ColumnElement[bool]]:
        state, task, created_at = map(self._column, (WorklistRow.state, WorklistRow.task, WorklistRow.created_at))
        found = [WorklistRow.patient == self.patient] if self.patient else []
        found += [column == value for column, value in ((state, self.state), (task, self.task)) if value]
        found += [created_at >= self.since] if self.since is not None else []
        found += [created_at < self.until] if self.until is not None else []
        return [*found, *self._elsewhere(), *self._searched()]

    def order(self) -> list[Expression]:
        """Each falls."""
        return [self._column(column) for column in ORDERS[self.sort]]

    def cursor(self, place: WorklistRow) -> str:
        """The place of a film as it is now, for an address: what is behind it is found when it has left, too."""
        return "~".join(str(getattr(place, column.key)) for column in ORDERS[self.sort])  # str of a float is exact

    def parse_cursor(self, cursor: str) -> tuple[Any, ...]:
        """Raises NotFound for one of another order."""
        columns, texts = ORDERS[self.sort], cursor.split("~")
        try:
            return tuple(_value(column, text) for column, text in zip(columns, texts, strict=True))
        except ValueError:
            raise NotFound("There is no such page of the list; begin again at its first page.") from None

    def _column(self, column: Column) -> Expression:
        return func.coalesce(column, column) if self.passes else column  # an expression that no index knows

    def _elsewhere(self) -> list[ColumnElement[bool]]:
        """Conditions on other tables, whose films are found by an index."""
        film_id = WorklistRow.film_id
        found: list[ColumnElement[bool]] = []
        if self.films:
            found.append(film_id.in_(self.films))
        if self.finding:
            found.append(film_id.in_(select(FindingAbove.film_id).where(FindingAbove.label == self.finding)))
        if self.upload:
            found.append(film_id.in_(select(FilmRow.id).where(FilmRow.upload == self.upload)))
        if self.answered.startswith(BY):
            name = self.answered.removeprefix(BY)
            found.append(film_id.in_(select(AnsweredBy.film_id).where(AnsweredBy.by == name)))
        elif self.answered:
            found.append(self._column(WorklistRow.unanswered) == int(self.answered == NOBODY))
        return found

    def _searched(self) -> list[ColumnElement[bool]]:
        if not self.words:
            return []
        named = and_(*(WorklistRow.search.contains(word, autoescape=True) for word in self.words))
        return [or_(named, WorklistRow.patient == self.or_patient) if self.or_patient else named]


@dataclass(frozen=True)
class Line:
    """One film in the worklist."""

    film: FilmRow  # with its report
    place: WorklistRow
    above: tuple[str, ...]  # labels, the strongest first
    answered_by: tuple[str, ...]  # names, of which one may be empty

    @property
    def bar(self) -> float | None:
        """Percent of the top finding's bar, 50 at its operating point; None where there is nothing to compare with."""
        return None if self.place.margin is None else round(100 * share_of(self.place.margin), 1)

    @property
    def point(self) -> float | None:
        """The operating point of the top finding."""
        if self.place.margin is None or self.film.report is None:
            return None
        return share_of(log_odds(self.film.report.top_probability) - self.place.margin)


@dataclass(frozen=True)
class Page:
    """Some films, and the cursor of those that follow; None at the end."""

    lines: list[Line]
    next: str | None


@dataclass(frozen=True)
class Beside:
    """A film beside another in the list."""

    film_id: str
    at: str  # cursor of its own place


@dataclass(frozen=True)
class Neighbours:
    """The films beside one in the list; None at its ends."""

    previous: Beside | None
    next: Beside | None


@dataclass(frozen=True)
class Worklist:
    """Safe to share among threads and processes."""

    engine: Engine

    def page(self, wanted: Wanted, size: int, before: str = "") -> Page:
        """Films behind the cursor `before`. Raises NotFound for one of another list."""
        with reading(self.engine) as session:
            found = list(session.scalars(page_query(wanted, size + 1, before)))
        following = wanted.cursor(found[size - 1]) if len(found) > size else None
        return Page(self._lines(found[:size]), following)

    def ids(self, wanted: Wanted, most: int | None = None) -> list[str]:
        """Of all films that are wanted, or of the first of them, in their order."""
        falling = (column.desc() for column in wanted.order())
        named = select(WorklistRow.film_id).where(*wanted.conditions()).order_by(*falling)
        with reading(self.engine) as session:
            return list(session.scalars(named.limit(most)))

    def lines(self, film_ids: list[str]) -> list[Line]:
        """In this order, without those that are not there."""
        with reading(self.engine) as session:
            rows = session.scalars(select(WorklistRow).where(WorklistRow.film_id.in_(film_ids)))
            places = {row.film_id: row for row in rows}
        return self._lines([places[film_id] for film_id in film_ids if film_id in places])

    def count(self, wanted: Wanted) -> int:
        conditions = replace(wanted, sort="date").conditions()  # of orders, the one with the most indexes
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).select_from(WorklistRow).where(*conditions)) or 0

    def neighbours(self, wanted: Wanted, film_id: str, at: str = "") -> Neighbours:
        """Of the place `at`, where the film was when it was opened; without it, of the place where it is now.

        An answer moves a film, by urgency far away. Raises NotFound for a cursor of another order.
        """
        order = wanted.order()
        chosen = select(WorklistRow).where(*wanted.conditions(), WorklistRow.film_id != film_id).limit(1)
        with reading(self.engine) as session:
            if not at and (place := session.get(WorklistRow, film_id)):
                at = wanted.cursor(place)
            if not at:
                return Neighbours(None, None)
            here = wanted.parse_cursor(at)
            behind = session.scalar(chosen.where(tuple_(*order) < here).order_by(*(c.desc() for c in order)))
            ahead = session.scalar(chosen.where(tuple_(*order) > here).order_by(*order))
        return Neighbours(_beside(wanted, ahead), _beside(wanted, behind))

    def comparable(self, film: FilmRow) -> list[FilmRow]:
        """Some of the latest other films that were read, those of the same task first."""
        others = select(WorklistRow.film_id, WorklistRow.task).where(
            WorklistRow.state == State.READ, WorklistRow.film_id != film.id
        )
        newest = others.order_by(WorklistRow.created_at.desc(), WorklistRow.film_id.desc()).limit(LATEST)
        with reading(self.engine) as session:
            found = sorted(session.execute(newest), key=lambda row: row.task != film.task)  # stable: the latest first
            ids = [row.film_id for row in found[:MOST_COMPARABLE]]
            films = {row.id: row for row in session.scalars(select(FilmRow).where(FilmRow.id.in_(ids)))}
        return [films[film_id] for film_id in ids if film_id in films]

    def without_reading(self) -> dict[str, int]:
        """State -> films, of those that wait, failed or were refused."""
        states = (State.WAITING, State.FAILED, State.REFUSED)
        counted = (
            select(WorklistRow.state, func.count()).where(WorklistRow.state.in_(states)).group_by(WorklistRow.state)
        )
        with reading(self.engine) as session:
            found = dict(session.execute(counted).all())
        return {state.value: found[state] for state in states if state in found}

    def answerers(self) -> list[str]:
        """Names of the people who answered films, but for those who gave none."""
        with reading(self.engine) as session:
            return [name for name in session.scalars(select(AnsweredBy.by).distinct().order_by(AnsweredBy.by)) if name]

    def tasks(self, wanted: Wanted) -> list[str]:
        """Of the films that are wanted."""
        with reading(self.engine) as session:
            return list(session.scalars(select(WorklistRow.task).where(*wanted.conditions()).distinct()))

    def probabilities(self, film_ids: list[str]) -> dict[str, dict[str, float]]:
        """Of every label, by film; from the reports, whose maps stay where they are."""
        chosen = select(ReportRow.film_id, ReportRow.json).where(ReportRow.film_id.in_(film_ids))
        with reading(self.engine) as session:
            stored = session.execute(chosen).all()
        return {film: {f["label"]: f["probability"] for f in json.loads(text)["findings"]} for film, text in stored}

    def _lines(self, places: list[WorklistRow]) -> list[Line]:
        """A film that was deleted meanwhile is left out."""
        ids = [place.film_id for place in places]
        with reading(self.engine) as session:
            rows = session.scalars(select(FilmRow).where(FilmRow.id.in_(ids)).options(joinedload(FilmRow.report)))
            films = {film.id: film for film in rows}
            above = _by_film(session, FindingAbove.film_id, FindingAbove.label, FindingAbove.strength.desc(), ids)
            names = _by_film(session, AnsweredBy.film_id, AnsweredBy.by, AnsweredBy.by, ids)
        kept = [place for place in places if place.film_id in films]
        return [Line(films[p.film_id], p, above.get(p.film_id, ()), names.get(p.film_id, ())) for p in kept]


def _beside(wanted: Wanted, place: WorklistRow | None) -> Beside | None:
    return Beside(place.film_id, wanted.cursor(place)) if place else None


def page_query(wanted: Wanted, size: int, before: str = "") -> Select[WorklistRow]:
    """Raises NotFound for a cursor of another list."""
    order = wanted.order()
    behind = [tuple_(*order) < wanted.parse_cursor(before)] if before else []
    falling = (column.desc() for column in order)
    return select(WorklistRow).where(*wanted.conditions(), *behind).order_by(*falling).limit(size)


def _by_film(
    session: Session, film_id: Column, text: Column, order: "ColumnElement[Any] | Column", ids: list[str]
) -> dict[str, tuple[str, ...]]:
    """The texts that stand beside each film, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for film, value in session.execute(select(film_id, text).where(film_id.in_(ids)).order_by(order)):
        found[film] = (*found.get(film, ()), value)
    return found


def _value(column: Column, text: str) -> Any:
    """As both databases can compare it with the column. Raises ValueError."""
    comparable = {
        str: str.isprintable,  # PostgreSQL has no text with a NUL
        int: lambda number: abs(number) < 2**31,
        float: isfinite,
    }
    kind = column.type.python_type
    if not comparable[kind](value := kind(text)):
        raise ValueError
    return value
