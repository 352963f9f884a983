"""Delete the films that are older than CXR_KEEP_DAYS or the settings page says, with all that was made of them."""

import argparse

from cxr.errors import SettingError
from cxr.settings import Settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say how many films would go, and delete none")


def run(options: argparse.Namespace) -> int:
    """0; a running desk does the same by itself. Raises SettingError when films are kept for ever."""
    from contextlib import closing

    from cxr.desk.audit import COMMAND_LINE
    from cxr.desk.heatmap_files import HeatmapFolder
    from cxr.desk.instance import HEATMAPS, open_store, resolve
    from cxr.desk.retention import expire, expired
    from cxr.desk.site_settings import keep_days

    settings = resolve(Settings.from_environment())
    with closing(open_store(settings)) as store:
        days = keep_days(store.engine, settings)
        if not days:
            raise SettingError(
                "CXR_KEEP_DAYS is 0, or the settings page says so, and films are kept for ever; set a number of days."
            )
        if options.dry_run:
            print(f"{len(expired(store, days))} films are older than {days} days.")
            return 0
        gone = expire(store, HeatmapFolder(HEATMAPS), days, COMMAND_LINE)
    print(f"{len(gone)} films older than {days} days deleted.")
    return 0
