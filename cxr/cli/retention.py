"""Delete the films that are older than CXR_KEEP_DAYS, with all that was made of them."""

import argparse

from cxr.errors import SettingError
from cxr.settings import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say how many films would go, and delete none")


def run(options: argparse.Namespace) -> int:
    """0; a running desk does the same by itself. Raises SettingError when films are kept for ever."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE, AuditLog
    from cxr.desk.heatmap_files import HeatmapFolder
    from cxr.desk.instance import HEATMAPS, open_store, resolve
    from cxr.desk.retention import expire, expired

    settings = resolve(Settings.from_environment())
    if not settings.keep_days:
        raise SettingError("CXR_KEEP_DAYS is 0, so films are kept for ever; set it to a number of days.")
    with closing(open_store(settings)) as store:
        if options.dry_run:
            print(f"{len(expired(store, settings.keep_days))} films are older than {settings.keep_days} days.")
            return 0
        audit = AuditLog(store.engine)
        gone = expire(store, HeatmapFolder(HEATMAPS), audit, settings.keep_days, COMMAND_LINE)
    print(f"{len(gone)} films older than {settings.keep_days} days deleted.")
    return 0
