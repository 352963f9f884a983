"""Make the instance folder of a desk from a backup."""

import argparse
from pathlib import Path

from cxr.settings import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="what `python -m cxr backup` wrote")
    parser.add_argument("--to", type=Path, metavar="DIR", required=True, help="new or empty folder: CXR_INSTANCE_PATH")


def run(options: argparse.Namespace) -> int:
    """0; raises BackupError or SettingError when nothing was restored."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog, Entry
    from cxr.desk.backup import restore
    from cxr.desk.instance import open_store

    made = restore(options.file, options.to)
    with closing(open_store(Settings(instance_path=str(options.to.absolute())))) as store:
        AuditLog(store.engine).record(Entry(COMMAND_LINE, "restore", detail=f"database {made.database.sha256}"))
    print(f"{options.to}: {len(made.films)} films. Open the desk with CXR_INSTANCE_PATH={options.to.absolute()}")
    return 0
