"""Which requests the audit log tells of, and in which words: one place, after the view and before the answer leaves."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from flask import Flask, Response, g, request

from cxr.desk.audit import DESK, AuditLog, Entry
from cxr.desk.extensions import extension
from cxr.desk.people_tables import Token
from cxr.desk.visitors import visitor
from cxr.settings import Settings

QUIET_S = 600  # looking at a film again within so long is told once: pages redraw, and have many parts
UNTOLD_SETTINGS = (
    "secret_key",
    "database_url",
    "storage_url",
    "instance_path",
    "model",
    "calibration",
)  # secrets, and names of files


@dataclass(frozen=True)
class Told:
    """What the log says of a request that went well, and of one that was refused; empty: nothing."""

    action: str
    refused: str = ""
    quiet_s: float = 0


SEE = Told("see", quiet_s=QUIET_S)
# endpoint -> what is told
AUDITED = {
    "pages.films": Told("see list", quiet_s=QUIET_S),
    "pages.film": SEE,
    "pages.heatmap": SEE,
    "pages.preview": SEE,
    "pages.pixels": SEE,
    "pages.state": SEE,
    "viewing.maps": SEE,
    "viewing.compare": SEE,
    "reports.pdf": Told("export"),
    "reports.table": Told("export"),
    "site.change": Told("change settings"),
    "site.change_weights": Told("change settings"),
    "site.add_calibration": Told("change settings"),
    "site.remove_calibration": Told("change settings"),
    "api.films": Told("see list", quiet_s=QUIET_S),
    "api.film": SEE,
    "api.answers": SEE,
    "api.pdf": Told("export"),
    "api.table": Told("export"),
    "api.heatmap": SEE,
    "api.maps": SEE,
    "api.pixels": SEE,
    "api.preview": SEE,
    "api.thumbnail": SEE,  # by programs, which may do so without a list
    "api.set_own_password": Told("change own password", refused="password change refused"),
    "api.make_token": Told("make token"),
    "api.revoke_token": Told("revoke token"),
    "api.add_person": Told("add person"),
    "api.set_role": Told("change role"),
    "api.set_password": Told("set password"),
    "api.disable": Told("disable person"),
    "api.enable": Told("enable person"),
    "api.audit": Told("see audit log", quiet_s=QUIET_S),
    "api.audit_csv": Told("export audit log"),
    "api.films_table": Told("export"),
    "api.chosen_films_table": Told("export"),
    "api.write_settings": Told("change settings"),
    "api.write_calibration": Told("change settings"),
    "api.delete_calibration": Told("change settings"),
    "people.try_sign_in": Told("sign in", refused="sign-in refused"),
    "people.sign_out": Told("sign out"),
    "people.set_own_password": Told("change own password", refused="password change refused"),
    "people.make_token": Told("make token"),
    "people.revoke_token": Told("revoke token"),
    "people.add": Told("add person"),
    "people.set_role": Told("change role"),
    "people.disable": Told("disable person"),
    "people.enable": Told("enable person"),
    "people.set_password": Told("set password"),
    "trail.audit": Told("see audit log", quiet_s=QUIET_S),
    "trail.export": Told("export audit log"),
}
STORED = "told in the transaction that does it; see Store and Answers"
# endpoint -> why nothing is told here
NOT_AUDITED = {
    "pages.upload": STORED,
    "pages.read_anyway": STORED,
    "answers.answer": STORED,
    "api.upload": STORED,
    "api.read_anyway": STORED,
    "api.answer": STORED,
    "pages.delete": STORED,
    "pages.act_on_films": "each film is told when it is deleted, or leaves in a table; see worklist_csv",
    "api.delete": STORED,
    "api.delete_chosen": STORED,
    "api.delete_list": STORED,
    "static": "parts of every page",
    "pages.upload_page": "tells of no film",
    "pages.thumbnail": "part of the list, which is told",
    "pages.choose_films": "leads to the list, which is told",
    "site.settings": "tells of no film; each change is told",
    "api.search": "leads to the list, which is told",
    "api.read_settings": "tells of no film; each change is told",
    "cards.models": "tells of no film",
    "cards.model": "tells of no film",
    "api.models": "tells of no film",
    "api.model": "tells of no film",
    "api.account": "tells a person of themselves",
    "api.tokens": "tells a person of themselves",
    "api.everybody": "names of accounts, to admins alone; each change is told",
    "statistics.page": "counts of many films, none of which is named",
    "statistics.statistics_csv": "counts of many films, none of which is named",
    "api.statistics_json": "counts of many films, none of which is named",
    "api.statistics_csv": "counts of many films, none of which is named",
    "api.healthz": "tells of nobody and no film",
    "api.readyz": "tells of nobody and no film",
    "api.openapi": "tells of nobody and no film",
    "api.openapi_at_root": "tells of nobody and no film",
    "answers.answered_by": "the name stands in the answers, which are told",
    "looks.theme": "a browser's colours",
    "people.sign_in": "an empty form",
    "people.account": "tells a person of themselves",
    "people.everybody": "names of accounts, to admins alone; each change is told",
}


def audit_log() -> AuditLog:
    return extension("audit", AuditLog)


def tells_of(films: Iterable[str] | None = None, person: str = "", detail: str = "") -> None:
    """What the log cannot see from the address: the films of an upload, who signed in, whom a change concerns."""
    g.told_films, g.told_person, g.told_detail = films, person, detail


def new_token(token: Token) -> str:
    """What the log says of one that was made."""
    return f"{token.id} manages" if token.manages else token.id


def keep_trail(app: Flask) -> None:
    app.after_request(_record)


def record_settings(log: AuditLog, settings: Settings) -> None:
    """Tell the settings that are not the default ones, when they are not those that were told last."""
    given = dataclasses.asdict(settings)
    chosen = [
        f"{field.name}={given[field.name]}"
        for field in dataclasses.fields(settings)
        if given[field.name] != field.default and field.name not in UNTOLD_SETTINGS
    ]
    last, detail = log.last("settings"), " ".join(chosen)
    if (last.detail if last else "") != detail:
        log.record(Entry(DESK, "settings", detail=detail))


def _record(response: Response) -> Response:
    """A film whose being seen cannot be told is not shown: when this fails, so does the request."""
    told = AUDITED.get(request.endpoint or "")
    action = told and (told.action if response.status_code < 400 else told.refused)
    person = g.get("told_person") or ("visitor" in g and visitor().name)  # neither: turned away at the door
    if told and action and person and request.method != "OPTIONS":
        films, detail = g.get("told_films"), g.get("told_detail", "")
        if not told.quiet_s and (token := visitor().token_id):  # so that what one did that leaked can be found
            detail = f"{detail} by token {token}".strip()
        if films is None:
            films = [(request.view_args or {}).get("film_id", "")]
        # Whoever is turned away for trying too often would fill the log.
        quiet_s = QUIET_S if response.status_code == HTTPStatus.TOO_MANY_REQUESTS else told.quiet_s
        audit_log().record(*(Entry(person, action, film, detail) for film in films), quiet_s=quiet_s)
    return response
