"""The pages of signing in, of one's own account, and, for admins, of everybody's."""

from urllib.parse import urlsplit

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, session, url_for
from flask_login import login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from cxr.desk.forms import count, fields, role, same
from cxr.desk.people import clean_name
from cxr.desk.sessions import LONGEST_TOKEN_DAYS, SignInRefused
from cxr.desk.trail import new_token, tells_of
from cxr.desk.tries import TooManyTries
from cxr.desk.views import wants_json
from cxr.desk.visitors import READS, guard, people, sessions, validate_admin, validate_no_token, visitor
from cxr.errors import BadRequest, Conflict, CxrError, NotFound, SignInNeeded

UNKNOWN = "(unknown)"  # in the log instead of a name that nobody has: people type passwords into its field

people_pages = Blueprint("people", __name__)


# --- signing in and out ---


@people_pages.get("/sign-in")
def sign_in() -> str:
    return render_template("sign_in.html", target=request.args.get("next", ""))


@people_pages.post("/sign-in")
def try_sign_in() -> AnyResponse:
    name, password, target = fields("name", "password", "next")
    tells_of(person=_known(name))
    # The form's token outlives this, so that an upload page in another tab can go on; see Origin in door.
    login_user(sessions().sign_in(name, password, request.remote_addr or ""))
    return redirect(_inside(target), 303)


@people_pages.post("/sign-out")
def sign_out() -> AnyResponse:
    _own_id()
    fields()
    sessions().sign_out(visitor().key)
    logout_user()
    session.clear()
    return redirect(url_for("people.sign_in"), 303)


# --- one's own account ---


@people_pages.get("/account")
def account() -> str:
    return _account()


@people_pages.post("/account/password")
def set_own_password() -> AnyResponse:
    _own_id()
    name, (current, new, again) = visitor().name, fields("current", "new", "again")
    sessions().confirm(visitor(), current, request.remote_addr or "")
    people().set_password(name, same(new, again), guard())
    login_user(sessions().open(people().named(name)))
    return redirect(url_for("people.account", changed=1), 303)


@people_pages.post("/account/tokens")
def make_token() -> tuple[str, int]:
    owner, (name, days, manages) = _own_id(), fields("name", "days", "manages")
    token, secret = sessions().make_token(owner, name, count("days", days), manages=_manages(manages), guard=guard())
    tells_of(detail=new_token(token))
    return _account(secret=secret), 201


@people_pages.post("/account/tokens/<token_id>/revoke")
def revoke_token(token_id: str) -> AnyResponse:
    owner = _own_id()
    fields()
    sessions().revoke(owner, token_id)
    tells_of(detail=token_id)
    return redirect(url_for("people.account"), 303)


# --- everybody's accounts ---


@people_pages.get("/people")
def everybody() -> str:
    _validate_may_change()
    return _everybody()


@people_pages.post("/people")
def add() -> AnyResponse:
    _validate_may_change()
    name, chosen, password, again = fields("name", "role", "password", "again")
    tells_of(detail=people().add(name, same(password, again), role(chosen), guard()).name)
    return redirect(url_for("people.everybody"), 303)


@people_pages.post("/people/<name>/role")
def set_role(name: str) -> AnyResponse:
    _validate_may_change()
    (chosen,) = fields("role")
    people().set_role(name, role(chosen), guard())
    return _changed(name, f" {chosen}")


@people_pages.post("/people/<name>/disable")
def disable(name: str) -> AnyResponse:
    _validate_may_change()
    fields()
    people().disable(name, guard())
    return _changed(name)


@people_pages.post("/people/<name>/enable")
def enable(name: str) -> AnyResponse:
    _validate_may_change()
    fields()
    people().enable(name, guard())
    return _changed(name)


@people_pages.post("/people/<name>/password")
def set_password(name: str) -> AnyResponse:
    _validate_may_change()
    password, again = fields("password", "again")
    people().set_password(name, same(password, again), guard())
    return _changed(name)


# --- what went wrong ---


@people_pages.errorhandler(BadRequest)
@people_pages.errorhandler(Conflict)
@people_pages.errorhandler(SignInRefused)
@people_pages.errorhandler(TooManyTries)
def show_problem(error: CxrError) -> AnyResponse:
    """Above the form that was sent."""
    if request.endpoint == "people.try_sign_in":
        page = render_template("sign_in.html", problem=str(error), target=request.form.get("next", ""))
    elif request.path.startswith("/account") or request.endpoint == "people.sign_out":
        page = _account(problem=str(error))
    else:
        page = _everybody(problem=str(error))
    return make_response(page, error.status, error.headers)


def ask_to_sign_in(error: SignInNeeded) -> AnyResponse:
    """Whoever opens a page is led to the form and back; programs, scripts and forms are told, with 401."""
    scripted = wants_json()  # asked for first: over plain http browsers send no Sec-Fetch-Mode
    opens = not scripted and request.method in READS
    opens &= request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    target = request.full_path.rstrip("?") if opens else urlsplit(request.referrer or "").path
    address = url_for("people.sign_in", next=_inside(target))
    if scripted:
        response = jsonify(error=str(error), status=error.status, sign_in=address)
        response.headers["WWW-Authenticate"] = "Bearer"
    elif opens:
        return redirect(address)
    else:
        response = make_response(render_template("sign_in.html", problem=str(error), target=_inside(target)))
    response.status_code = error.status
    return response


# --- within ---


def _account(**shown: str) -> str:
    tokens = sessions().tokens(_own_id())
    return render_template("account.html", tokens=tokens, longest_days=LONGEST_TOKEN_DAYS, **shown)


def _everybody(**shown: str) -> str:
    return render_template("people.html", everybody=people().all(), **shown)


def _changed(name: str, how: str = "") -> AnyResponse:
    tells_of(detail=clean_name(name) + how)
    return redirect(url_for("people.everybody"), 303)


def _manages(text: str) -> bool:
    """Raises BadRequest."""
    if text not in ("", "1"):
        raise BadRequest(f"manages is {text[:32]!r}; send the form from your account's page.")
    return bool(text)


def _own_id() -> int:
    """Whose account it is. Raises Forbidden for a token, NotFound where there are no accounts."""
    validate_no_token()
    number = visitor().person_id
    if number is None:
        raise NotFound("You are not signed in with an account, so there is no page of one.")
    return number


def _validate_may_change() -> None:
    validate_admin()
    validate_no_token()


def _known(name: str) -> str:
    return clean_name(name) if people().has(name) else UNKNOWN


def _inside(target: str) -> str:
    """The page to go on with: an address of this desk, or the upload page instead."""
    parts = urlsplit(target.replace("\\", "/")) if target.isprintable() else None
    inside = parts and not parts.scheme and not parts.netloc and parts.path.startswith("/")
    return target if inside and not target.startswith("//") else url_for("pages.upload_page")
