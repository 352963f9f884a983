"""Tables of the people who sign in. Secrets are kept as hashes alone. Times are seconds since 1970 (UTC)."""

from enum import StrEnum

from sqlalchemy import ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from cxr.desk.tables import Base

NAME_LENGTH = 64


class Role(StrEnum):
    CLINICIAN = "clinician"
    ADMIN = "admin"


class Person(Base):
    """An account. It is disabled, never deleted, so that the audit log's names keep their meaning."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    password: Mapped[str] = mapped_column(String(200))  # Argon2id with its salt and costs, RFC 9106
    role: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float]
    signed_in_at: Mapped[float | None]


class SignIn(Base):
    """One browser that somebody signed in with; the browser's cookie holds the key, this row its hash."""

    __tablename__ = "sign_ins"

    key_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[float]
    seen_at: Mapped[float]


class SignInTry(Base):
    """A try to sign in, until it succeeds or is old. `who`: hash of the name, or of the address, that tried."""

    __tablename__ = "sign_in_tries"

    id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[float]


class Token(Base):
    """What a program signs in with."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[float]
    expires_at: Mapped[float]
    revoked_at: Mapped[float | None]
    used_at: Mapped[float | None]
    manages: Mapped[bool] = mapped_column(default=False, server_default=false())  # people, passwords and tokens
