"""The command line: `python -m cxr COMMAND`. Each command imports what it needs when it is called."""

import argparse
import os
import sys
from collections.abc import Callable

from cxr import __version__
from cxr.cli import (
    adopt,
    archive,
    audit,
    backup,
    calibrate,
    card,
    export,
    maps,
    models,
    predict,
    restore,
    retention,
    users,
)
from cxr.errors import CxrError

# name -> (adds its flags, does it and returns the exit status)
COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "predict": (predict.add_flags, predict.run),
    "archive": (archive.add_flags, archive.run),
    "calibrate": (calibrate.add_flags, calibrate.run),
    "export": (export.add_flags, export.run),
    "card": (card.add_flags, card.run),
    "models": (models.add_flags, models.run),
    "maps": (maps.add_flags, maps.run),
    "users": (users.add_flags, users.run),
    "audit": (audit.add_flags, audit.run),
    "backup": (backup.add_flags, backup.run),
    "restore": (restore.add_flags, restore.run),
    "adopt": (adopt.add_flags, adopt.run),
    "retention": (retention.add_flags, retention.run),
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit status, or 1 after one sentence that says what is wrong."""
    options = parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except CxrError as error:
        print(f"cxr: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output, as `head`, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at the end fails, too
        return 128 + 13  # as if by SIGPIPE
    except Exception as error:
        print(f"cxr: {_of_database(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cxr: stopped.", file=sys.stderr)
        return 130


def _of_database(error: Exception) -> CxrError:
    """What it means for people. Raises `error` itself where it is no fault of a database."""
    if "sqlalchemy" in sys.modules:
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        from cxr.desk.faults import database_fault

        if isinstance(error, DBAPIError | PoolTimeout) and (fault := database_fault(error)):
            return fault
    raise error


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("cxr", description="Read chest films. Research and education; not a medical device.")
    top.add_argument("--version", action="version", version=f"cxr {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, (add_flags, run) in COMMANDS.items():
        about = (sys.modules[run.__module__].__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=about, description=about)
        add_flags(command)
        command.set_defaults(run=run)
    return top
