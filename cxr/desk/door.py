"""Who may come in, and what browsers are told: Host, Origin, CSRF, Content-Security-Policy, cookies, caching.

At a shared desk that has accounts, `visitors` asks who it is.
Trust comes from the door that was opened, never from the client's address: behind a proxy everyone is loopback.
"""

import os
import posixpath
import secrets
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSessionInterface
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from cxr.desk.api import api
from cxr.desk.visitors import recognise
from cxr.errors import Forbidden, NotFound, SettingError
from cxr.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CONTENT_SECURITY_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
PROBES = ("/healthz", "/readyz")  # asked by IP address, and telling nothing
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class _CookieByScheme(SecureCookieSessionInterface):
    """Session cookies are Secure where the request came over https, so that plain http on loopback works too."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def guard(app: Flask, settings: Settings, local: bool) -> None:
    """Put all guards in front of `app`. Raises SettingError when a shared desk has no secret key."""
    app.secret_key = _secret_key(settings, local)
    app.config.update(SESSION_COOKIE_NAME="cxr_session", SESSION_COOKIE_SAMESITE="Lax", WTF_CSRF_TIME_LIMIT=None)
    app.config["WTF_CSRF_SSL_STRICT"] = False  # _check_origin does it, for http as well
    app.session_interface = _CookieByScheme()
    named = frozenset() if local else _named_hosts(settings.allowed_hosts)
    app.before_request(lambda: _check_host(request, named))
    app.before_request(lambda: _check_origin(request, named))
    app.before_request(lambda: _check_heatmap_files(request, local))
    csrf = CSRFProtect()
    recognise(app, csrf, local=local)  # first: whoever has to sign in is told so, not that a form is too old
    csrf.init_app(app)
    csrf.exempt(api)
    if settings.proxies and not local:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    Talisman(
        app,
        force_https=False,  # the proxy's work; the local desk has no certificate
        session_cookie_secure=False,  # see _CookieByScheme
        frame_options="DENY",
        content_security_policy=CONTENT_SECURITY_POLICY,
        # Not no-referrer: with it browsers send "Origin: null" for forms, and the Origin could not be checked.
        referrer_policy="same-origin",
    )
    app.after_request(_forbid_caching)


def _secret_key(settings: Settings, local: bool) -> str:
    if settings.secret_key:
        return settings.secret_key
    if not local:
        raise SettingError("CXR_SECRET_KEY is not set; a shared desk signs its forms with it. Set a long random text.")
    return _own_key(Path(settings.instance_path) / "secret_key")


def _own_key(path: Path) -> str:
    """The local desk's key, made once, so that open pages outlive a restart."""
    if not path.exists() or not path.read_text():
        handle, part = tempfile.mkstemp(dir=path.parent)  # its owner alone may read it
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        Path(part).replace(path)
    return path.read_text()


def _named_hosts(listed: str) -> frozenset[str]:
    """`Desk.example:8443, ::1` -> {"desk.example", "::1"}."""
    entries = [entry.rpartition("://")[2] for entry in listed.replace(",", " ").split()]
    return frozenset(_host_name(f"[{e}]" if e.count(":") > 1 and "[" not in e else e) for e in entries) - {""}


def _check_host(request: Request, named: frozenset[str]) -> None:
    """A page that a stranger's name resolves to (DNS rebinding) carries the stranger's name in its Host header."""
    if request.path not in PROBES and _host_name(request.host) not in (named or LOOPBACK):
        raise Forbidden(
            "The desk does not answer to this host name; open it under one of its own, "
            "or, where it is shared, list the name in CXR_ALLOWED_HOSTS."
        )


def _check_origin(request: Request, named: frozenset[str]) -> None:
    origin = request.headers.get("Origin")
    if request.method not in WRITES or origin is None:
        return
    come_from = origin.rpartition("://")[2]
    if come_from != request.host and _host_name(come_from) not in named:
        raise Forbidden("The request was sent by a page of another site; send it from the desk's own pages.")


def _check_heatmap_files(request: Request, local: bool) -> None:
    if not local and _is_heatmap_file(request):
        raise NotFound("There is no such page.")


def _is_heatmap_file(request: Request) -> bool:
    """Whether the path leads into static/gradcam, by whatever detour."""
    path = "/" + posixpath.normpath(request.path).lstrip("/")
    return path == "/static/gradcam" or path.startswith("/static/gradcam/")


def _host_name(netloc: str) -> str:
    """`Desk.example:8443` -> `desk.example`; empty when there is none in it."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:  # brackets that hold no address
        return ""


def _forbid_caching(response: Response) -> Response:
    if request.endpoint != "static" or _is_heatmap_file(request):
        response.headers["Cache-Control"] = "no-store"
    return response
