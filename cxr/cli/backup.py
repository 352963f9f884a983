"""Write films, reports, people and audit log to one file, also while the desk runs."""

import argparse
from pathlib import Path

from cxr.settings import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="ZIP file to write; replaced when all is written")


def run(options: argparse.Namespace) -> int:
    """0; raises BackupError when the backup cannot be made."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog, Entry
    from cxr.desk.backup import back_up
    from cxr.desk.instance import open_store, resolve

    with closing(open_store(resolve(Settings.from_environment()))) as store:
        made = back_up(store, options.file)
        AuditLog(store.engine).record(Entry(COMMAND_LINE, "backup", detail=f"database {made.database.sha256}"))
    mib = (sum(made.films.values()) + made.database.bytes) / 2**20
    print(f"{options.file}: {len(made.films)} films and the database, {mib:.1f} MiB. It holds films of patients.")
    return 0
