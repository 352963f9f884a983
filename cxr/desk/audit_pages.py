"""The page of the audit log, and the log as a table, for admins."""

from flask import Blueprint, Response, render_template, request

from cxr.desk.audit import AuditLog, AuditRow, Wanted, to_csv
from cxr.desk.days import end_of, start_of
from cxr.desk.forms import validate_parameters
from cxr.desk.trail import AUDITED, audit_log
from cxr.desk.visitors import validate_admin
from cxr.errors import BadRequest

PAGE_SIZE = 100
BY_ITSELF = {  # told where they are done
    "upload", "read anyway", "answer", "delete", "expire", "settings", "backup", "restore", "adopt storage",
}  # fmt: skip
ACTIONS = sorted({told for each in AUDITED.values() for told in (each.action, each.refused) if told} | BY_ITSELF)
FILTERS = ("person", "film", "action", "since", "until")

audit_pages = Blueprint("trail", __name__)
audit_pages.before_request(validate_admin)


@audit_pages.get("/audit")
def audit() -> str:
    rows, older = audit_rows()
    chosen = {name: request.args.get(name, "") for name in FILTERS if request.args.get(name)}
    return render_template("audit.html", rows=rows, older=older, chosen=chosen, actions=ACTIONS)


@audit_pages.get("/audit.csv")
def export() -> Response:
    log: AuditLog = audit_log()
    headers = {"Content-Disposition": "attachment; filename=audit.csv"}
    return Response(to_csv(log.rows(_wanted())), mimetype="text/csv", headers=headers)


def audit_rows() -> tuple[list[AuditRow], int | None]:
    """The rows that the address asks for, newest first, and the number before which older ones stand."""
    rows = audit_log().page(_wanted("before"), PAGE_SIZE + 1, _before())
    return rows[:PAGE_SIZE], rows[PAGE_SIZE - 1].id if len(rows) > PAGE_SIZE else None


def _wanted(*beside: str) -> Wanted:
    """Raises BadRequest for a filter that is misspelt or there twice: passed over, it would tell of other rows.

    `beside`: other parameters that the address may have.
    """
    validate_parameters("The log takes", (*FILTERS, *beside))
    person, film, action = (request.args.get(name, "").strip() for name in ("person", "film", "action"))
    since, until = (request.args.get(name, "") for name in ("since", "until"))
    return Wanted(person.casefold(), action, film, start_of("since", since), end_of("until", until))


def _before() -> int | None:
    text = request.args.get("before", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest("There is no such page of the log; begin again at its first page.")
    return int(text) if text else None
