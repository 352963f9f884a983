"""The theme that a browser wears: a cookie, so that the server knows it before the first paint, without a script."""

from urllib.parse import urlsplit

from flask import Blueprint, current_app, redirect, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from cxr.desk.forms import fields
from cxr.desk.site_settings_values import THEMES
from cxr.desk.views import intake
from cxr.errors import BadRequest

COOKIE = "cxr_theme"
YEAR_S = 365 * 24 * 3600

looks = Blueprint("looks", __name__)


@looks.app_context_processor
def _chosen() -> dict[str, object]:
    worn = request.cookies.get(COOKIE, "")
    return {"themes": THEMES, "theme": worn if worn in THEMES else intake().site.now.theme}


@looks.post("/theme")
def theme() -> Response:
    """Wear a theme from now on, and go back to the page."""
    (named,) = fields("theme")
    if named not in THEMES:
        raise BadRequest(f"There is no theme {named[:20]!r}; choose one of: {', '.join(THEMES)}.")
    answer = redirect(_page_before(), 303)
    answer.set_cookie(COOKIE, named, YEAR_S, httponly=True, samesite="Lax", secure=request.is_secure)
    return answer


def _page_before() -> str:
    """The desk's page on which the form stood; never an address that somebody else chose."""
    before = urlsplit(request.referrer or "")
    try:
        current_app.url_map.bind("").match(before.path, "GET")
    except HTTPException:  # no page of the desk, or none that is looked at
        return url_for("pages.upload_page")
    return before.path + (f"?{before.query}" if before.query else "")
