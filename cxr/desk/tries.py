"""How often somebody may try to sign in. Kept in the database, so that it holds over several processes."""

import hashlib
import time

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from cxr.desk.people_tables import SignInTry
from cxr.desk.tables import writing
from cxr.errors import CxrError

TRIES_OF_AN_ADDRESS = 10  # times as many as of a name: an office may share one


class TooManyTries(CxrError):
    """Somebody tried to sign in too often."""

    status = 429

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = max(1, round(wait_s))
        minutes = max(1, round(wait_s / 60))
        super().__init__(
            f"Too many tries to sign in; wait {minutes} minute{'' if minutes == 1 else 's'}, or ask an admin."
        )


class Tries:
    """`most` tries for each name within `wait_s`, and ten times as many for each address."""

    def __init__(self, engine: Engine, most: int, wait_s: int) -> None:
        self._engine, self._most, self._wait_s = engine, most, wait_s

    def begin(self, name: str, address: str) -> None:
        """Count a try before the password is looked at, so that many at once are all counted. Raises TooManyTries."""
        limits = {digest("name", name): self._most, digest("address", address): self._most * TRIES_OF_AN_ADDRESS}
        now = time.time()
        with writing(self._engine) as session:
            session.execute(delete(SignInTry).where(SignInTry.at < now - self._wait_s))
            for who, most in limits.items():
                self._validate(session, who, most, now)
            session.add_all(SignInTry(who=who, at=now) for who in limits)

    def forget(self, name: str, address: str) -> None:
        """After a success: all tries of the name, and the one that succeeded of the address."""
        of_address = select(func.max(SignInTry.id)).where(SignInTry.who == digest("address", address)).scalar_subquery()
        with writing(self._engine) as session:
            session.execute(delete(SignInTry).where(SignInTry.who == digest("name", name)))
            session.execute(delete(SignInTry).where(SignInTry.id == of_address))

    def _validate(self, session: Session, who: str, most: int, now: float) -> None:
        of_who = select(func.count(), func.min(SignInTry.at)).where(SignInTry.who == who)
        count, first = session.execute(of_who).one()
        if count >= most:
            raise TooManyTries(first + self._wait_s - now)


def digest(kind: str, text: str) -> str:
    """A name or an address as the table holds it: people type passwords into the field of the name."""
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()
