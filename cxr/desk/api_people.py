"""People, tokens and the audit log, for programs. What could outlive a leaked token takes one made for that."""

from dataclasses import asdict, dataclass

from flask import Response, jsonify, request
from flask_login import login_user

from cxr.desk.api import api
from cxr.desk.audit import COLUMNS
from cxr.desk.audit_pages import audit_rows, export
from cxr.desk.forms import json_fields, role
from cxr.desk.people import clean_name
from cxr.desk.people_tables import Person, Token
from cxr.desk.sessions import LONGEST_TOKEN_DAYS
from cxr.desk.trail import new_token, tells_of
from cxr.desk.visitors import guard, people, sessions, validate_admin, validate_manages, visitor
from cxr.errors import NotFound

Empty = tuple[str, int]


@dataclass(frozen=True)
class PersonTold:
    """An account as admins see it. Times in seconds since 1970, UTC."""

    name: str
    role: str
    disabled: bool
    created_at: float
    signed_in_at: float | None

    @classmethod
    def of(cls, person: Person) -> "PersonTold":
        return cls(person.name, person.role, person.disabled, person.created_at, person.signed_in_at)


@dataclass(frozen=True)
class TokenTold:
    """A token without its text, of which only a hash is kept."""

    id: str
    name: str
    created_at: float
    expires_at: float
    used_at: float | None
    manages: bool

    @classmethod
    def of(cls, token: Token) -> "TokenTold":
        return cls(token.id, token.name, token.created_at, token.expires_at, token.used_at, token.manages)


@api.get("/api/v1/account")
def account() -> Response:
    asking = visitor()
    told = {"name": asking.name, "role": asking.role, "has_account": asking.person_id is not None}
    return jsonify(told | {"manages": asking.manages, "token_id": asking.token_id or None})


@api.post("/api/v1/account/password")
def set_own_password() -> Empty:
    """Other sessions end and other tokens are revoked: whoever asks goes on."""
    validate_manages()
    _person_id()
    asking, (current, new) = visitor(), json_fields(current=str, new=str)
    sessions().confirm(asking, current, request.remote_addr or "")
    people().set_password(asking.name, new, guard(), spared=asking.token_id)
    if asking.key:
        login_user(sessions().open(people().named(asking.name)))
    return "", 204


@api.get("/api/v1/tokens")
def tokens() -> Response:
    return jsonify(tokens=[asdict(TokenTold.of(token)) for token in sessions().tokens(_person_id())])


@api.post("/api/v1/tokens")
def make_token() -> tuple[Response, int]:
    validate_manages()
    owner = _person_id()
    name, days, manages = json_fields({"manages": False}, name=str, days=int, manages=bool)
    token, secret = sessions().make_token(
        owner, name, min(days, LONGEST_TOKEN_DAYS + 1), manages=manages, guard=guard()
    )
    tells_of(detail=new_token(token))
    return jsonify(asdict(TokenTold.of(token)) | {"token": secret}), 201


@api.delete("/api/v1/tokens/<token_id>")
def revoke_token(token_id: str) -> Empty:
    sessions().revoke(_person_id(), token_id)
    tells_of(detail=token_id)
    return "", 204


@api.get("/api/v1/people")
def everybody() -> Response:
    validate_admin()
    return jsonify(people=[asdict(PersonTold.of(person)) for person in people().all()])


@api.post("/api/v1/people")
def add_person() -> tuple[Response, int]:
    _validate_may_change()
    name, password, chosen = json_fields(name=str, password=str, role=str)
    person = people().add(name, password, role(chosen), guard())
    tells_of(detail=person.name)
    return jsonify(asdict(PersonTold.of(person))), 201


@api.post("/api/v1/people/<name>/role")
def set_role(name: str) -> Empty:
    _validate_may_change()
    (chosen,) = json_fields(role=str)
    people().set_role(name, role(chosen), guard())
    return _changed(name, f" {chosen}")


@api.post("/api/v1/people/<name>/password")
def set_password(name: str) -> Empty:
    _validate_may_change()
    (password,) = json_fields(password=str)
    people().set_password(name, password, guard())
    return _changed(name)


@api.post("/api/v1/people/<name>/disable")
def disable(name: str) -> Empty:
    _validate_may_change()
    people().disable(name, guard())
    return _changed(name)


@api.post("/api/v1/people/<name>/enable")
def enable(name: str) -> Empty:
    _validate_may_change()
    people().enable(name, guard())
    return _changed(name)


@api.get("/api/v1/audit")
def audit() -> Response:
    validate_admin()
    rows, older = audit_rows()
    return jsonify(rows=[{name: getattr(row, name) for name in COLUMNS} for row in rows], before=older)


@api.get("/api/v1/audit.csv")
def audit_csv() -> Response:
    validate_admin()
    return export()


def _changed(name: str, how: str = "") -> Empty:
    tells_of(detail=clean_name(name) + how)
    return "", 204


def _validate_may_change() -> None:
    validate_admin()
    validate_manages()


def _person_id() -> int:
    """Raises NotFound where there are no accounts."""
    if (number := visitor().person_id) is None:
        raise NotFound("You are not signed in with an account, so there are no tokens of one.")
    return number
