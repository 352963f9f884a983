"""Searches, each under a random word that stands for it in addresses.

Addresses are kept: in logs of proxies, histories of browsers and the Referer header. What people search for are names
and numbers of patients. So a search is sent as a form, kept here for some hours, and named by a word that says nothing.
"""

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from cxr.desk.tables import reading, writing
from cxr.desk.worklist_tables import SearchRow
from cxr.errors import BadRequest, NotFound

KEPT_S = 12 * 3600  # a working day
LONGEST = 200


@dataclass(frozen=True)
class Searches:
    """Safe to share among threads and processes."""

    engine: Engine

    def keep(self, text: str, person: str) -> str:
        """The word that stands for a search of this person; empty for an empty one. Raises BadRequest."""
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if len(text) > LONGEST:
            raise BadRequest(f"The search has {len(text)} characters, the most is {LONGEST}; search for less.")
        if not text:
            return ""
        row = SearchRow(token=secrets.token_urlsafe(12), text=text, person=person, created_at=time.time())
        with writing(self.engine) as session:
            forget_searches(session)
            session.add(row)
        return row.token

    def text(self, token: str, person: str) -> str:
        """Raises NotFound when it is somebody else's or was forgotten."""
        mine = (SearchRow.token == token) & (SearchRow.person == person)
        with reading(self.engine) as session:
            found = session.scalar(select(SearchRow.text).where(mine, SearchRow.created_at > time.time() - KEPT_S))
        if found is None:
            raise NotFound("This search was forgotten, as all are after some hours; search again.")
        return found


def forget_searches(session: Session) -> None:
    session.execute(delete(SearchRow).where(SearchRow.created_at < time.time() - KEPT_S))
