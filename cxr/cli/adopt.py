"""Say that the storage of films belongs to the database, as after a restore; no other database may open it then."""

import argparse

from cxr.settings import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Stop all desks first. The desk deletes films in the storage that the database does not name."


def run(options: argparse.Namespace) -> int:
    """0; raises SettingError when database or storage cannot be opened."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog, Entry
    from cxr.desk.instance import open_store, resolve

    with closing(open_store(resolve(Settings.from_environment()), adopt=True)) as store:
        AuditLog(store.engine).record(Entry(COMMAND_LINE, "adopt storage"))
        print(f"{store.storage.root} belongs to this database now. Films that it does not name will be deleted.")
    return 0
