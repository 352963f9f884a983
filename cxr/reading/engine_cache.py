"""Compiled networks kept on disk from one start to the next.

Only a cache: what is missing, damaged or cannot be written is no error, the network is compiled anew. Each file is
written under another name and renamed, and carries its own digest, so that several processes may share the folder.
"""

import logging
import os
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.settings import Settings

OFF = "off"
ENDING = ".cxr-compiled"  # of its files: whatever else lies in the folder is left alone
KEPT_S = 30 * 86_400  # a file that no start has asked for in so long goes, e.g. that of an earlier version
_DIGEST = sha256().digest_size

log = logging.getLogger(__name__)


def cache_folder(settings: Settings) -> Path | None:
    """Where compiled networks are kept; None: nowhere."""
    if settings.cache_path == OFF:
        return None
    if settings.cache_path:
        return Path(settings.cache_path)
    with suppress(RuntimeError):  # a user without a home
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr"
    return None


def load(folder: Path, key: str) -> NDArray[np.uint8] | None:
    """What was stored under `key`, or None."""
    file = folder / f"{key}{ENDING}"
    try:
        stored = np.fromfile(file, np.uint8)
        os.utime(file)
    except OSError:
        return None
    digest, blob = stored[:_DIGEST], stored[_DIGEST:]
    return blob if sha256(blob.data).digest() == digest.tobytes() else None


def store(folder: Path, key: str, blob: bytes) -> None:
    """Keeps `blob` where it can, and drops what has not been used for long."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / f"{key}{ENDING}", sha256(blob).digest() + blob)
        for file in folder.glob(f"*{ENDING}"):
            if file.stat().st_mtime < time.time() - KEPT_S:
                file.unlink()
    except OSError as error:  # no room, no right to write, or another process was faster
        log.info("the compiled model is not kept in %s: %s", folder, error)


def _write(file: Path, content: bytes) -> None:
    descriptor, unfinished = tempfile.mkstemp(ENDING, dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        Path(unfinished).replace(file)
    except BaseException:
        Path(unfinished).unlink()
        raise
