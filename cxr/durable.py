"""What was written stays written when the machine loses its power."""

import os
import sys
from pathlib import Path
from typing import IO, Any


def sync_file(file: IO[Any]) -> None:
    """Its content is on the disk when this returns; its name is when that of its folder is."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """The names of its files are on the disk when this returns. fsync(2)"""
    if sys.platform != "win32":  # which opens no folders
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
