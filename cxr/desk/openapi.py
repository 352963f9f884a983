"""The OpenAPI document: paths and methods are those of the routes themselves, what they mean stands in OPERATIONS.

A route of the API without its operation, and an operation without its route, fail a test.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

PREFIX = "api."  # of the endpoints that the document tells of
REFUSALS = {429: "Busy"}  # status -> schema of the answer, where it is another than the common one
UNGUARDED = ("api.healthz", "api.readyz")


@dataclass(frozen=True)
class Operation:
    """What one route does. `gives`: a schema of the document, a media type, or nothing."""

    summary: str
    gives: str = ""
    status: int = 200
    asks: tuple[str, ...] = ()  # parameters besides those of the path
    takes: str = ""  # schema of the body
    media: str = "application/json"  # of the body
    refuses: tuple[int, ...] = ()  # besides 401, 403 and 503, and 404 where the path names something


BY_MANAGERS = "by a session, or by a token that manages"
UPLOAD = (400, 413, 415, 422, 507)
FILTERS = ("sort", "above", "state", "of_task", "answered", "from", "to", "patient", "search", "of_upload")
OPERATIONS = {
    "api.upload": Operation(
        "Have one film read, or the films of a ZIP file", "Uploaded", 201, ("upload_key",), "Upload",
        "multipart/form-data", UPLOAD,
    ),
    "api.films": Operation("List films", "Films", asks=("limit", "before", "totals", *FILTERS), refuses=(400, 404)),
    "api.films_table": Operation(
        "All films of a list as a table, with the probability of every label", "text/csv", asks=FILTERS,
        refuses=(400, 404),
    ),
    "api.chosen_films_table": Operation(
        "Films that are named, at most 1000, as a table", "text/csv", takes="ChosenFilms", refuses=(400,)
    ),
    "api.delete_chosen": Operation(
        "Delete films that are named, at most 500; names those that were there", "Deleted", takes="ChosenFilms",
        refuses=(400,),
    ),
    "api.delete_list": Operation(
        "Delete the films of a list that were taken in before a moment, at most 500 at a time; says how many are left",
        "DeletedOfList", asks=("taken_before", "all_films", *FILTERS), refuses=(400, 404),
    ),
    "api.search": Operation(
        "A word for a text that is searched for, valid for 12 hours: addresses are logged, and names of patients must "
        "not stand there", "Search", 201, takes="NewSearch", refuses=(400,),
    ),
    "api.read_settings": Operation(
        "The settings in force; for admins", "Settings", asks=("keep_days",), refuses=(400,)
    ),
    "api.write_settings": Operation(
        "Change some settings; those that are left out stay, null takes one back to the environment's; for admins",
        "Settings", takes="NewSettings", refuses=(400,),
    ),
    "api.write_calibration": Operation(
        "Use a site's calibration; refused when it was made for another model; for admins", "Settings",
        takes="SiteCalibration", refuses=(400,),
    ),
    "api.delete_calibration": Operation(
        "Use a site's calibration no longer; for admins", status=204, refuses=(400,)
    ),
    "api.film": Operation("What was read in a film; asked again, whether it was read meanwhile", "Film"),
    "api.delete": Operation("Delete a film, its report and its bytes", status=204),
    "api.read_anyway": Operation("Have a film read that the film check refused", "Film", refuses=(409,)),
    "api.answers": Operation("What clinicians said of a film and of its findings", "Answers"),
    "api.answer": Operation(
        "Answer a finding, or the film as a whole; the same answer again changes nothing", "Answers",
        takes="NewAnswer", refuses=(400,),
    ),
    "api.heatmap": Operation("Heat map of a finding in colour, without the film", "image/png", refuses=(409,)),
    "api.maps": Operation("The maps of all findings as numbers", "Maps", refuses=(409,)),
    "api.pixels": Operation("All pixels of a film, 16 bits each, gzip", "application/octet-stream"),
    "api.preview": Operation("A film as a picture of at most 1024 pixels", "image/png"),
    "api.thumbnail": Operation("A film as a picture of at most 160 pixels", "image/jpeg"),
    "api.pdf": Operation("The report of a film on one A4 page", "application/pdf", asks=("finding",), refuses=(409,)),
    "api.table": Operation(
        "The probabilities of a film as one row, in the columns of python -m cxr predict --csv", "text/csv",
        refuses=(409,),
    ),
    "api.models": Operation("The models that read films here, the default one first", "Models"),
    "api.model": Operation("The model of a task, with all that was measured of it", "ModelCard"),
    "api.statistics_json": Operation(
        "What the films amount to", "Statistics", asks=("model", "days"), refuses=(400, 404)
    ),
    "api.statistics_csv": Operation(
        "The statistics as a table", "text/csv", asks=("model", "days"), refuses=(400, 404)
    ),
    "api.account": Operation("Who is asking", "Account"),
    "api.set_own_password": Operation(
        f"Change one's own password; other sessions end, other tokens are revoked; {BY_MANAGERS}",
        status=204, takes="OwnPassword", refuses=(400, 404, 429),
    ),
    "api.tokens": Operation("One's own tokens that can be used, without their text", "Tokens", refuses=(404,)),
    "api.make_token": Operation(
        f"Make a token; its text is told this once; {BY_MANAGERS}", "NewToken", 201,
        takes="TokenWanted", refuses=(400, 404),
    ),
    "api.revoke_token": Operation("Revoke one of one's own tokens", status=204),
    "api.everybody": Operation("Everybody who has an account; for admins", "People"),
    "api.add_person": Operation(
        f"Make an account; for admins, {BY_MANAGERS}", "Person", 201, takes="NewPerson", refuses=(400, 409)
    ),
    "api.set_role": Operation(
        f"Change a role; for admins, {BY_MANAGERS}", status=204, takes="NewRole", refuses=(400, 409)
    ),
    "api.set_password": Operation(
        f"Set a password, end sessions and revoke tokens; for admins, {BY_MANAGERS}", status=204, takes="NewPassword",
        refuses=(400,),
    ),
    "api.disable": Operation(f"Disable an account; for admins, {BY_MANAGERS}", status=204, refuses=(409,)),
    "api.enable": Operation(f"Enable or unlock an account; for admins, {BY_MANAGERS}", status=204),
    "api.audit": Operation(
        "The audit log, newest first; for admins", "AuditLog",
        asks=("person", "action", "film", "since", "until", "before_row"), refuses=(400,),
    ),
    "api.audit_csv": Operation(
        "The audit log as a table, oldest first; for admins", "text/csv",
        asks=("person", "action", "film", "since", "until"), refuses=(400,),
    ),
    "api.healthz": Operation("Whether the process answers", "Health"),
    "api.readyz": Operation("Whether films can be read", "Health"),
    "api.openapi": Operation("This document", "application/json"),
    "api.openapi_at_root": Operation("This document", "application/json"),
}  # fmt: skip


def document(app: Flask) -> dict[str, Any]:
    """OpenAPI 3.1."""
    made: dict[str, Any] = json.loads(files("cxr.desk").joinpath("openapi.json").read_text("utf-8"))
    parts: dict[str, Any] = made["components"]
    known = {"parameters": parts.pop("x-parameters"), "headers": parts.pop("x-headers")}
    made["paths"] = paths = dict[str, dict[str, Any]]()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPERATIONS:
            for method in sorted(described_methods(rule)):
                paths.setdefault(path_of(rule), {})[method] = _operation(rule, OPERATIONS[rule.endpoint], known)
    return made


def path_of(rule: Rule) -> str:
    """`/films/<film_id>` -> `/films/{film_id}`."""
    return rule.rule.replace("<", "{").replace(">", "}")


def described_methods(rule: Rule) -> set[str]:
    """Those that are not answered by Flask itself."""
    return {method.lower() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}


def _operation(rule: Rule, told: Operation, known: dict[str, Any]) -> dict[str, Any]:
    made = {
        "operationId": rule.endpoint.removeprefix(PREFIX),
        "summary": told.summary,
        "parameters": [known["parameters"][name] for name in (*sorted(rule.arguments), *told.asks)],
        "responses": {str(told.status): _answer(rule, told, known)} | _refusals(rule, told),
    }
    if told.takes:
        made["requestBody"] = {"required": True, "content": {told.media: {"schema": _ref("schemas", told.takes)}}}
    return made


def _answer(rule: Rule, told: Operation, known: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": told.summary}
    if "/" in told.gives:
        made["content"] = {told.gives: {}}
    elif told.gives:
        made = _json(told.summary, told.gives)
    if headers := known["headers"].get(rule.endpoint):
        made["headers"] = headers
    return made


def _refusals(rule: Rule, told: Operation) -> dict[str, Any]:
    if rule.endpoint in UNGUARDED:
        return {"503": _json("Not now", "Health")}
    statuses = {403, *told.refuses, *((404,) if rule.arguments else ())}
    found = {401: "SignIn", 503: "Busy"} | {status: REFUSALS.get(status, "Refusal") for status in statuses}
    return {str(status): _ref("responses", found[status]) for status in sorted(found)}


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref("schemas", schema)}}}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
