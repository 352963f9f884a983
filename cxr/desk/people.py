"""Accounts: who may sign in, with which password and in which role."""

import re
import threading
import time
import unicodedata
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from cxr.desk.people_tables import NAME_LENGTH, Person, Role, SignIn, SignInTry, Token
from cxr.desk.tables import reading, writing
from cxr.desk.tries import digest
from cxr.errors import BadRequest, Conflict, NotFound

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
FEWEST_CHARACTERS = 5  # different ones in a password
NAME = re.compile(r"\w[\w.@-]*")  # Unicode letters too; no spaces or brackets

_hasher = PasswordHasher()  # Argon2id, the second recommended option of RFC 9106: 64 MiB
_one_at_a_time = threading.Lock()  # bounds the memory that people who try passwords can make a process take


Guard = Callable[[Session], None]  # asks once more, in the transaction of a change, whether it may be made


def no_guard(_: Session) -> None:
    """Of changes that nobody asks for from outside."""


class People:
    """The accounts of one desk. Safe to share among threads and processes.

    Every change raises what its `guard` does, too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._some = False

    def some(self) -> bool:
        """Whether there is an account; once there was one, there always is."""
        if not self._some:
            with reading(self._engine) as session:
                self._some = session.scalar(select(Person.id).limit(1)) is not None
        return self._some

    def all(self) -> list[Person]:
        with reading(self._engine) as session:
            return list(session.scalars(select(Person).order_by(Person.name)))

    def has(self, name: str) -> bool:
        with reading(self._engine) as session:
            return session.scalar(select(Person.id).where(Person.name == clean_name(name))) is not None

    def named(self, name: str) -> Person:
        """Raises NotFound."""
        with reading(self._engine) as session:
            return _found(session.scalar(select(Person).where(Person.name == clean_name(name))))

    def add(self, name: str, password: str, role: Role, guard: Guard = no_guard) -> Person:
        """Raises BadRequest for a name or password that cannot be used, Conflict for a name that is taken.

        Conflict too for a first account that is no admin's: it would close the desk to all who could open it again.
        """
        name = _validate_name(name)
        hashed = hash_password(name, password)
        with writing(self._engine) as session:
            guard(session)
            if role != Role.ADMIN and not session.scalar(select(Person.id).limit(1)):
                raise Conflict(
                    "There is no account yet, and the first one must be an admin's: from then on everybody has to sign "
                    "in, and only admins add others. Add it with `python -m cxr users add NAME --admin`."
                )
            if session.scalar(select(Person.id).where(Person.name == name)):
                raise Conflict(f"There is a person {name!r} already; choose another name.")
            person = Person(name=name, password=hashed, role=role, created_at=time.time())
            session.add(person)
        return person

    def set_role(self, name: str, role: Role, guard: Guard = no_guard) -> None:
        """Raises NotFound, or Conflict for the last admin."""
        with writing(self._engine) as session:
            guard(session)
            person = _locked(session, name)
            if role != Role.ADMIN:
                _validate_not_last_admin(session, person)
            person.role = role

    def disable(self, name: str, guard: Guard = no_guard) -> None:
        """Sessions end, tokens are revoked. Raises NotFound, or Conflict for the last admin."""
        with writing(self._engine) as session:
            guard(session)
            person = _locked(session, name)
            _validate_not_last_admin(session, person)
            person.disabled = True
            _end_all(session, person)

    def enable(self, name: str, guard: Guard = no_guard) -> None:
        """Also of somebody whose name is locked after wrong passwords. Raises NotFound."""
        with writing(self._engine) as session:
            guard(session)
            person = _locked(session, name)
            person.disabled = False
            session.execute(delete(SignInTry).where(SignInTry.who == digest("name", person.name)))

    def set_password(self, name: str, password: str, guard: Guard = no_guard, *, spared: str = "") -> None:
        """Sessions end, tokens are revoked, whoever had them, but for the token with the id `spared`.

        Raises NotFound, or BadRequest for a weak password.
        """
        hashed = hash_password(clean_name(name), password)
        with writing(self._engine) as session:
            guard(session)
            person = _locked(session, name)
            person.password = hashed
            session.execute(delete(SignInTry).where(SignInTry.who == digest("name", person.name)))
            _end_all(session, person, spared)


def clean_name(name: str) -> str:
    """Names that look the same are the same, in capitals or not."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def hash_password(name: str, password: str) -> str:
    """Raises BadRequest for a password that is too easily guessed."""
    _validate_password(name, password)
    with _one_at_a_time:
        return _hasher.hash(_normalised(password))


def is_password(hashed: str | None, password: str) -> bool:
    """Whether it is the password of the hash. Takes as long when there is no hash, so that times tell no names."""
    tried = _normalised(password[: LONGEST_PASSWORD + 1])
    with _one_at_a_time:
        if hashed is None:
            return not _hasher.hash(tried)
        try:
            return _hasher.verify(hashed, tried)
        except (VerificationError, InvalidHashError):
            return False


def _normalised(password: str) -> str:
    """The same whichever keyboard composed its characters; NIST SP 800-63B, 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)


def _validate_name(name: str) -> str:
    cleaned = clean_name(name)
    if not NAME.fullmatch(cleaned) or len(cleaned) > NAME_LENGTH:
        raise BadRequest(
            f"A name has 1 to {NAME_LENGTH} letters, digits, '.', '-', '_' or '@', and begins with a letter or digit; "
            f"{name[:NAME_LENGTH]!r} has not."
        )
    return cleaned


def _validate_password(name: str, password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise BadRequest(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; choose another.")
    if len(set(password)) < FEWEST_CHARACTERS or clean_name(name) in password.casefold():
        raise BadRequest(
            f"The password is too easily guessed: it must not hold the name, and needs {FEWEST_CHARACTERS} different "
            "characters; choose another."
        )


def _validate_not_last_admin(session: Session, person: Person) -> None:
    others = (Person.role == Role.ADMIN) & ~Person.disabled & (Person.id != person.id)
    if person.role == Role.ADMIN and not session.scalar(select(func.count()).where(others)):
        raise Conflict(f"{person.name} is the only admin; make somebody else an admin first.")


def _end_all(session: Session, person: Person, spared: str = "") -> None:
    session.execute(delete(SignIn).where(SignIn.person_id == person.id))
    session.execute(delete(Token).where(Token.person_id == person.id, Token.id != spared))


def _locked(session: Session, name: str) -> Person:
    return _found(session.scalar(select(Person).where(Person.name == clean_name(name))))


def _found(person: Person | None) -> Person:
    if person is None:
        raise NotFound("There is no such person; `python -m cxr users list` and the page of people name all.")
    return person
