"""Who is asking: a person with a session or a token, or somebody who needs neither."""

import hashlib
import secrets
import time
from dataclasses import dataclass

from flask_login import UserMixin
from sqlalchemy import Engine, delete, exists, select, update
from sqlalchemy.orm import Session

from cxr.desk.people import Guard, clean_name, is_password, no_guard
from cxr.desk.people_tables import Person, Role, SignIn, Token
from cxr.desk.tables import reading, writing
from cxr.desk.tries import Tries
from cxr.errors import BadRequest, CxrError, NotFound, SettingError, SignInNeeded
from cxr.settings import Settings, variable

TOUCH_S = 60  # a session is written to this often at most while it is used
DAY_S = 86_400
LONGEST_TOKEN_DAYS = 366
MOST_TOKENS = 50  # of one person
TOKEN_MARK = "cxr_"  # so that tools which look for secrets in files know one


class SignInRefused(CxrError):
    """The name or the password is wrong, or the person disabled; which of them, nobody is told."""

    status = 401


@dataclass(frozen=True)
class Visitor(UserMixin):
    """Whoever sends a request.

    `person_id`: None without an account. `key`: of the session; `token_id`: of the token; one of them is empty.
    `manages`: whether people and passwords may be changed and tokens made, as far as the role allows; a session always
    may, a token where it was made so.
    """

    name: str
    role: Role
    person_id: int | None = None
    key: str = ""
    token_id: str = ""
    manages: bool = False

    def get_id(self) -> str:
        """What the signed cookie holds: no number of a person, but the key of one session, which can be ended."""
        return self.key

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN


LOCAL = Visitor("local", Role.ADMIN, manages=True)  # at the desk of `python main.py`
ANYONE = Visitor("(anyone)", Role.CLINICIAN)  # at a shared desk that has no accounts yet


class Sessions:
    """Sessions and tokens of one desk. Safe to share among threads and processes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Raises SettingError for a limit of 0, with which nobody could sign in."""
        _validate_limits(settings)
        self._engine = engine
        self._tries = Tries(engine, settings.sign_in_tries, settings.sign_in_wait_s)
        self._idle_s, self._most_s = settings.session_idle_s, settings.session_most_s

    # --- sessions ---

    def sign_in(self, name: str, password: str, address: str) -> Visitor:
        """A new session. Takes as long for an unknown name as for a wrong password, and says the same.

        Raises:
            SignInRefused: the name is unknown or disabled, or the password wrong.
            TooManyTries: the name, or the address, tried too often.
        """
        name = clean_name(name)
        self._tries.begin(name, address)
        with reading(self._engine) as session:
            person = session.scalar(select(Person).where(Person.name == name))
        right = is_password(person.password if person else None, password)
        if person is None or person.disabled or not right:
            raise SignInRefused("The name or the password is not right; type both again.")
        self._tries.forget(name, address)
        return self.open(person)

    def confirm(self, visitor: Visitor, password: str, address: str) -> None:
        """That it is still the same person at the keyboard. Raises BadRequest, or TooManyTries."""
        self._tries.begin(visitor.name, address)
        with reading(self._engine) as session:
            hashed = session.scalar(select(Person.password).where(Person.id == visitor.person_id))
        if not is_password(hashed, password):
            raise BadRequest("Your password of now is not right; nothing was changed.")
        self._tries.forget(visitor.name, address)

    def open(self, person: Person) -> Visitor:
        """A new session of somebody who proved to be that person."""
        key, now = secrets.token_urlsafe(32), time.time()
        ended = (SignIn.seen_at < now - self._idle_s) | (SignIn.created_at < now - self._most_s)
        with writing(self._engine) as session:
            session.execute(delete(SignIn).where(ended))
            session.execute(update(Person).where(Person.id == person.id).values(signed_in_at=now))
            session.add(SignIn(key_sha256=_sha256(key), person_id=person.id, created_at=now, seen_at=now))
        return _of_session(person, key)

    def sign_out(self, key: str) -> None:
        with writing(self._engine) as session:
            session.execute(delete(SignIn).where(SignIn.key_sha256 == _sha256(key)))

    def by_key(self, key: str) -> Visitor | None:
        """The person of a session that has not ended."""
        now, hashed = time.time(), _sha256(key)
        with reading(self._engine) as session:
            found = session.execute(
                select(Person, SignIn.seen_at)
                .join(SignIn, SignIn.person_id == Person.id)
                .where(SignIn.key_sha256 == hashed, ~Person.disabled)
                .where(SignIn.seen_at > now - self._idle_s, SignIn.created_at > now - self._most_s)
            ).one_or_none()
        if found is None:
            return None
        if found.seen_at < now - TOUCH_S:
            with writing(self._engine) as session:
                session.execute(update(SignIn).where(SignIn.key_sha256 == hashed).values(seen_at=now))
        return _of_session(found.Person, key)

    # --- tokens ---

    def by_token(self, token: str) -> Visitor | None:
        """The person of a token that was not revoked and has not expired."""
        now = time.time()
        with reading(self._engine) as session:
            found = session.execute(
                select(Person, Token.id, Token.used_at, Token.manages)
                .join(Token, Token.person_id == Person.id)
                .where(Token.sha256 == _sha256(token), ~Person.disabled)
                .where(Token.revoked_at.is_(None), Token.expires_at > now)
            ).one_or_none()
        if found is None:
            return None
        if (found.used_at or 0) < now - TOUCH_S:
            with writing(self._engine) as session:
                session.execute(update(Token).where(Token.id == found.id).values(used_at=now))
        person = found.Person
        return Visitor(person.name, Role(person.role), person.id, token_id=found.id, manages=found.manages)

    def make_token(
        self, person_id: int, name: str, days: int, *, manages: bool = False, guard: Guard = no_guard
    ) -> tuple[Token, str]:
        """A new token and its text, which is kept nowhere. Raises BadRequest, or what `guard` does."""
        secret, now = TOKEN_MARK + secrets.token_urlsafe(32), time.time()
        token = Token(
            id=secrets.token_hex(6), person_id=person_id, name=_validate_token_name(name), sha256=_sha256(secret),
            created_at=now, expires_at=now + _validate_days(days) * DAY_S, manages=manages,
        )  # fmt: skip
        with writing(self._engine) as session:
            guard(session)
            if len(_tokens(session, person_id)) >= MOST_TOKENS:
                raise BadRequest(f"You have {MOST_TOKENS} tokens, which is the most; revoke one that is not used.")
            session.add(token)
        return token, secret

    def tokens(self, person_id: int) -> list[Token]:
        """Those of a person that can be used, newest first."""
        with reading(self._engine) as session:
            return _tokens(session, person_id)

    def revoke(self, person_id: int, token_id: str) -> None:
        """Raises NotFound when the person has no such token."""
        own = (Token.id == token_id) & (Token.person_id == person_id) & Token.revoked_at.is_(None)
        with writing(self._engine) as session:
            if not session.execute(update(Token).where(own).values(revoked_at=time.time()).returning(Token.id)).first():
                raise NotFound("You have no such token; your account's page lists those that you have.")


def _validate_limits(settings: Settings) -> None:
    for name in ("sign_in_tries", "sign_in_wait_s", "session_idle_s", "session_most_s"):
        if getattr(settings, name) < 1:
            raise SettingError(f"{variable(name)} is {getattr(settings, name)}; write at least 1.")


def validate_stands(session: Session, visitor: Visitor) -> None:
    """In the transaction of a change: that nothing has ended for whoever asks since the door let the request in.

    Raises SignInNeeded.
    """
    if visitor.person_id is None:
        return
    token = (Token.id == visitor.token_id) & Token.revoked_at.is_(None)
    stands = exists().where(SignIn.key_sha256 == _sha256(visitor.key)) if visitor.key else exists().where(token)
    role = session.scalar(select(Person.role).where(Person.id == visitor.person_id, ~Person.disabled, stands))
    if role != visitor.role:
        raise SignInNeeded("Your session, token or role has ended meanwhile; nothing was changed. Sign in again.")


def _of_session(person: Person, key: str) -> Visitor:
    return Visitor(person.name, Role(person.role), person.id, key, manages=True)


def _tokens(session: Session, person_id: int) -> list[Token]:
    usable = Token.person_id == person_id, Token.revoked_at.is_(None), Token.expires_at > time.time()
    return list(session.scalars(select(Token).where(*usable).order_by(Token.created_at.desc())))


def _validate_token_name(name: str) -> str:
    cleaned = name.strip()
    if not 1 <= len(cleaned) <= 64 or not cleaned.isprintable():
        raise BadRequest("A token's name has 1 to 64 characters; say what the token is for.")
    return cleaned


def _validate_days(days: int) -> int:
    if not 1 <= days <= LONGEST_TOKEN_DAYS:
        raise BadRequest(f"A token lasts 1 to {LONGEST_TOKEN_DAYS} days; choose a number of them.")
    return days


def _sha256(secret: str) -> str:
    """Enough for a secret of 256 random bits, which nobody can guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
