"""Check that the audit log is as it was written, or print it as a table."""

import argparse
import sys
from typing import TYPE_CHECKING

from cxr.settings import Settings

if TYPE_CHECKING:
    from cxr.desk.audit import AuditLog


def add_flags(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    verify = commands.add_parser("verify", help="name the first row that was altered or is missing")
    verify.add_argument("--head", metavar="HASH", default="", help="hash that an earlier run printed: it must be there")
    commands.add_parser("csv", help="print all rows")


def run(options: argparse.Namespace) -> int:
    """0, or 1 when the log is not as it was written."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog, Entry, Wanted, to_csv
    from cxr.desk.instance import open_store, resolve

    with closing(open_store(resolve(Settings.from_environment()))) as store:
        log = AuditLog(store.engine)
        if options.what == "verify":
            return _verify(log, options.head)
        log.record(Entry(COMMAND_LINE, "export audit log"))
        sys.stdout.writelines(to_csv(log.rows(Wanted())))
    return 0


def _verify(log: "AuditLog", head: str) -> int:
    found = log.verify(head)
    if found.trouble:
        print(f"The audit log was altered: {found.trouble}. The {found.rows} rows before are whole.", file=sys.stderr)
        return 1
    print(f"{found.rows} rows, all as they were written. Hash of the last one: {found.head}")
    return 0
