"""From the start of a process to its first answer, with and without what an earlier start compiled; memory."""

import argparse
import tempfile
import time

from benchmarks.desks import desk
from benchmarks.films import png_film
from benchmarks.measuring import Part, Row

STARTS = {"first start": 1, "with the compiled model on disk": 3}


def measure(options: argparse.Namespace) -> Part:
    """gunicorn with one worker; the file caches of the system are warm."""
    film = png_film(options.films)
    with tempfile.TemporaryDirectory() as cache:
        rows = [_start(kind, film, cache) for kind, times in STARTS.items() for _ in range(times)]
    return Part("Start", rows, "One gunicorn worker of four threads; the answer is that of a 1024 px PNG.")


def _start(kind: str, film: bytes, cache: str) -> Row:
    with desk(CXR_CACHE_PATH=cache) as opened:
        opened.wait_until_ready()
        ready = time.monotonic() - opened.began
        opened.upload(film)
        first = time.monotonic() - opened.began
        for _ in range(10):
            opened.upload(film)
        return {"start": kind, "ready, s": ready, "first answer, s": first, "worker, MB": opened.worker_mb()}
