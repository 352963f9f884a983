"""What the worklist filters and sorts by, apart from the films: narrow rows, so that a pass over all is quick."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cxr.desk.tables import Base

LABEL_LENGTH = 16  # of patients and studies
SEARCH_LENGTH = 300


class WorklistRow(Base):
    """The place of one film in the worklist. Each transaction that changes film, report or answers writes it too."""

    __tablename__ = "worklist"
    __table_args__ = (
        Index("worklist_newest", "created_at", "film_id"),
        Index("worklist_urgent", "unanswered", "urgency", "created_at", "film_id"),
        Index("worklist_patients", "patient", "study_at", "study", "created_at", "film_id"),
        Index("worklist_states", "state", "created_at", "film_id"),
    )

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[float]  # as in films
    state: Mapped[str] = mapped_column(String(16))  # as in films, but waiting until there is an outcome
    task: Mapped[str] = mapped_column(String(64))
    search: Mapped[str] = mapped_column(String(SEARCH_LENGTH))  # what a search looks through, as `normalised` makes it
    patient: Mapped[str] = mapped_column(String(LABEL_LENGTH))  # pseudonym; empty: the file names nobody
    study: Mapped[str] = mapped_column(String(LABEL_LENGTH))  # pseudonym; empty: the file names none
    study_at: Mapped[float] = mapped_column(default=0.0)  # when its first film was taken in; 0: no study is named
    margin: Mapped[float | None]  # of the top finding over its operating point, log odds; None: nothing to compare
    unanswered: Mapped[int] = mapped_column(default=1)  # 0 while somebody's answer stands: such films come last
    urgency: Mapped[float] = mapped_column(default=0.0)


class FindingAbove(Base):
    """A finding that raised an alarm in a film."""

    __tablename__ = "findings_above"
    __table_args__ = (Index("findings_above_films", "label", "film_id"),)

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    strength: Mapped[float]  # in [0, 1]: as long as its bar on the film's page


class AnsweredBy(Base):
    """A person whose answer to a film stands; withdrawn answers do not."""

    __tablename__ = "answered_by"
    __table_args__ = (Index("answered_by_films", "by", "film_id"),)

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    by: Mapped[str] = mapped_column(String(80), primary_key=True)  # as in answers; empty: gave no name


class SearchRow(Base):
    """What somebody searched for, under the random word that stands for it in addresses. Forgotten after hours."""

    __tablename__ = "searches"

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    text: Mapped[str] = mapped_column(String(200))
    person: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[float]


class PseudonymKey(Base):
    """The key of the labels of patients and studies: one row, made with the database."""

    __tablename__ = "pseudonym_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
