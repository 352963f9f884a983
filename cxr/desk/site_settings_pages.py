"""The page of the settings, and the same for programs; for admins, and at the local desk for whoever sits there."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from cxr.desk.api import api
from cxr.desk.audit import Entry
from cxr.desk.forms import count, fields, validate_parameters
from cxr.desk.retention import expired
from cxr.desk.site_settings import CALIBRATION, DAYS, FRESH_S, POINTS, TASK, THEME, InForce, SiteSettings
from cxr.desk.site_settings_values import (
    LARGEST_CALIBRATION,
    LONGEST_DAYS,
    THEMES,
    changes,
    validated,
    validated_calibration,
    weight_titles,
)
from cxr.desk.trail import audit_log, tells_of
from cxr.desk.views import intake
from cxr.desk.visitors import validate_admin, visitor
from cxr.desk.worklist_urgency import MOST, ORDINARY, WEIGHTS
from cxr.errors import BadRequest, CxrError, NotFound, SettingError
from cxr.modelfile import POINT_SETS

CONFIRMED = "confirmed"  # field: the days after which films are to be deleted, once more; empty at first
PLAIN = (TASK, POINTS, DAYS, THEME)  # the settings of the first form

site_pages = Blueprint("site", __name__)
site_pages.before_request(validate_admin)


@site_pages.get("/settings")
def settings() -> str:
    return _page()


@site_pages.post("/settings")
def change() -> AnyResponse:
    """An empty field leaves a setting to the environment."""
    *given, confirmed = fields(*PLAIN, CONFIRMED)
    sent: dict[str, Any] = dict(zip(PLAIN, (text.strip() or None for text in given), strict=True))
    if sent[DAYS] is not None:
        sent[DAYS] = count("The number of days that films are kept", sent[DAYS])
    wanted = validated(sent, intake().readers)
    days = _site().environment.keep_days if wanted[DAYS] is None else wanted[DAYS]
    doomed = _doomed(days)
    if doomed and confirmed != str(days):
        tells_of([])  # nothing was changed yet
        return make_response(_page(to_confirm={**dict(zip(PLAIN, given, strict=True)), CONFIRMED: days}, doomed=doomed))
    _apply(wanted)
    return _saved()


@site_pages.post("/settings/weights")
def change_weights() -> AnyResponse:
    labels = list(weight_titles(intake().readers))
    sent = {
        label: count(f"The weight of {label}", weight) for label, weight in zip(labels, fields(*labels), strict=True)
    }
    _apply(validated({WEIGHTS: sent}, intake().readers))
    return _saved()


@site_pages.post("/settings/calibration")
def add_calibration() -> AnyResponse:
    fields(files=("calibration",))
    files = request.files.getlist("calibration")
    if len(files) != 1:
        raise BadRequest(f"The form has the field calibration {len(files)} times; send one file.")
    text = files[0].stream.read(LARGEST_CALIBRATION + 1).decode("utf-8", "replace")
    _apply(validated_calibration(text, intake().readers))
    return _saved()


@site_pages.post("/settings/calibration/<task>/remove")
def remove_calibration(task: str) -> AnyResponse:
    fields()
    _remove(task)
    return _saved()


@api.get("/api/v1/settings")
def read_settings() -> dict[str, Any]:
    """With `keep_days` also how many films would go if it were set to that, for whoever would rather ask first."""
    validate_admin()
    validate_parameters("The settings take", (DAYS,))
    told = _json(_site().now)
    if DAYS in request.args:
        days = count("keep_days", request.args[DAYS])
        told["would_delete"] = _doomed(validated({DAYS: days}, intake().readers)[DAYS])
    return told


@api.put("/api/v1/settings")
def write_settings() -> dict[str, Any]:
    """Some settings; those that are left out stay, and null takes one back to the environment."""
    validate_admin()
    sent = request.get_json(silent=True)
    if not isinstance(sent, dict):
        raise BadRequest('Settings are a JSON object, e.g. {"keep_days": 30}.')
    _apply(validated(sent, intake().readers))
    return _json(_site().now)


@api.put("/api/v1/settings/calibration")
def write_calibration() -> dict[str, Any]:
    validate_admin()
    _apply(validated_calibration(request.get_data(cache=False).decode("utf-8", "replace"), intake().readers))
    return _json(_site().now)


@api.delete("/api/v1/settings/calibration/<task>")
def delete_calibration(task: str) -> tuple[str, int]:
    validate_admin()
    _remove(task)
    return "", 204


@site_pages.errorhandler(BadRequest)
def show_problem(error: CxrError) -> AnyResponse:
    """Above the form that was sent."""
    return make_response(_page(problem=str(error)), error.status)


def _apply(values: Mapping[str, Any]) -> None:
    """Make them hold, and tell each that changed. Raises BadRequest when the models here cannot be read so."""
    try:
        before = _site().change(values)
    except SettingError as error:
        raise BadRequest(str(error)) from error
    tells_of([])  # one row for each change, instead of one for the request
    entries = [Entry(visitor().name, "change settings", detail=line) for line in changes(before, _site().now)]
    audit_log().record(*entries)


def _doomed(days: int) -> int:
    """How many films go when they are kept for `days` from now on; 0 where that is no shorter than now."""
    held = _site().keep_days
    shorter = days and (not held or days < held)
    return len(expired(intake().store, days)) if shorter else 0


def _remove(task: str) -> None:
    if CALIBRATION + task not in _site().now.stored:
        raise NotFound(f"No calibration of {task[:64]!r} was set here; see the settings page.")
    _apply({CALIBRATION + task: None})


def _saved() -> AnyResponse:
    return redirect(url_for("site.settings", saved=1), 303)


def _site() -> SiteSettings:
    return intake().site


def _json(now: InForce) -> dict[str, Any]:
    calibrations = {
        task: {"model": site.model, "sha256": site.sha256, "date": site.sample.date, "films": site.sample.films}
        for task, site in now.calibrations.items()
    }
    plain = {name: now.value(name) for name in PLAIN}
    weights = {label: now.weights.get(label, ORDINARY) for label in weight_titles(now.readers)}
    set_here = [name for name in (*PLAIN, WEIGHTS) if name in now.stored]
    return {
        **plain,
        WEIGHTS: weights,
        "calibrations": calibrations,
        "set_here": set_here,
        "trouble": now.trouble or None,
    }


def _page(problem: str = "", to_confirm: Mapping[str, Any] | None = None, doomed: int = 0) -> str:
    """`to_confirm`: the fields of a form that would delete so many films."""
    site = _site()
    return render_template(
        "settings.html",
        now=site.now,
        default=site.environment,
        points=POINT_SETS,
        looks=THEMES,
        titles=weight_titles(site.now.readers),
        ordinary=ORDINARY,
        most=MOST,
        longest_days=LONGEST_DAYS,
        fresh_s=int(FRESH_S),
        problem=problem,
        to_confirm=to_confirm,
        doomed=doomed,
    )
