"""Films uploaded by many clients at once: throughput, and how long each waits."""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import requests

from benchmarks.desks import Desk, desk
from benchmarks.films import png_film
from benchmarks.measuring import Part, Row

CLIENTS = (1, 4, 16, 64)


def measure(options: argparse.Namespace) -> Part:
    film = png_film(options.films)
    with desk() as opened:
        opened.wait_until_ready()
        opened.upload(film)
        rows = [_ask(opened, film, clients, options.seconds) for clients in CLIENTS]
    note = (
        "One gunicorn worker of four threads; every client uploads its next film when it has the last one's findings."
    )
    return Part("Clients at once, a 1024 px PNG each", rows, note)


def _ask(opened: Desk, film: bytes, clients: int, seconds: float) -> Row:
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as threads:
        waits = list(threads.map(lambda _: _client(opened, film, began + seconds), range(clients)))
    spent = np.concatenate(waits)
    p50, p95, p99 = np.percentile(spent, [50, 95, 99]) * 1e3
    return {
        "clients": str(clients),
        "films": str(len(spent)),
        "films/s": len(spent) / (time.monotonic() - began),
        "p50, ms": p50,
        "p95, ms": p95,
        "p99, ms": p99,
    }


def _client(opened: Desk, film: bytes, until: float) -> list[float]:
    """Seconds of each upload."""
    spent: list[float] = []
    with requests.Session() as session:
        while not spent or time.monotonic() < until:
            began = time.perf_counter()
            opened.upload(film, session)
            spent.append(time.perf_counter() - began)
    return spent
