"""Who is asking, and whether they may: sessions and tokens in front of every page but a few."""

from functools import partial

from flask import Flask, g, request
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect

from cxr.desk.extensions import extension
from cxr.desk.people import Guard, People
from cxr.desk.sessions import ANYONE, LOCAL, Sessions, Visitor, validate_stands
from cxr.errors import Forbidden, SignInNeeded

OPEN = ("static", "api.healthz", "api.readyz", "looks.theme", "people.sign_in", "people.try_sign_in")
READS = ("GET", "HEAD", "OPTIONS")


def visitor() -> Visitor:
    """Whoever sent this request and was let in; no query, since error pages show it even where no database answers."""
    found = g.get("visitor", ANYONE)
    assert isinstance(found, Visitor)
    return found


def people() -> People:
    return extension("people", People)


def sessions() -> Sessions:
    return extension("sessions", Sessions)


def recognise(app: Flask, csrf: CSRFProtect, *, local: bool) -> None:
    """Put the question who is asking in front of `app`. The local desk trusts whoever reaches it."""
    manager = LoginManager(app, add_context_processor=False)
    manager.session_protection = None  # the key of a session stands in the database, and can be ended there
    manager.anonymous_user = lambda: ANYONE
    manager.user_loader(lambda key: sessions().by_key(key))
    manager.request_loader(lambda _: sessions().by_token(_bearer()) if _bearer() else None)
    app.before_request(_welcome if local else lambda: _admit(csrf))


def validate_admin() -> None:
    """Raises Forbidden for everybody else."""
    if not visitor().is_admin:
        raise Forbidden("This page is for admins; ask one of them.")


def validate_no_token() -> None:
    """Raises Forbidden for a program, whose way is the API."""
    if visitor().token_id:
        raise Forbidden("A token cannot be used on this page; programs use /api/v1, people sign in.")


def validate_manages() -> None:
    """Raises Forbidden for a token that was not made for it: one that leaked would make others and outlive its end."""
    if visitor().person_id is not None and not visitor().manages:
        raise Forbidden(
            "This token may not change people or passwords, or make tokens; make one that may at /account, or sign in."
        )


def guard() -> Guard:
    """For the transaction of a change that the visitor asks for. Raises SignInNeeded there."""
    return partial(validate_stands, visitor=visitor())


def _welcome() -> None:
    g.visitor = LOCAL


def _admit(csrf: CSRFProtect) -> None:
    if request.endpoint in OPEN:
        return
    found: Visitor = current_user._get_current_object()
    if found.person_id is None and people().some():
        raise SignInNeeded(_why_not())
    g.visitor = found
    if found.key and request.path.startswith("/api/") and request.method not in READS:
        csrf.protect()  # browsers send the cookie of a session by themselves; a token they do not


def _why_not() -> str:
    if _bearer():
        return "The token is wrong, revoked or expired; make another on your account's page."
    if request.method in READS:
        return "Sign in to go on."
    return "Nobody is signed in, or the session has ended; nothing was changed. Sign in, then send it again."


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
