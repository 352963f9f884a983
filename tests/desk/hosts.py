"""Hosts of a shared desk as they run in a department, and clients that send them films: for tests and benchmarks."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import requests

from cxr.desk.app import ROOT
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.settings import variable
from tests.films.pngs import chunk
from tests.phantom import draw_phantom

PATIENCE_S = 120  # of a client whose upload is broken off or put off
END = 12  # bytes of the last chunk of a PNG
TOLERANCE = 2e-3  # of a probability: threads add in another order


@dataclass
class Host:
    """One gunicorn, a master and its workers."""

    process: "subprocess.Popen[bytes]"
    address: str
    killed_at: list[float] = field(default_factory=list)  # when workers were killed, in seconds since 1970

    def workers(self) -> list[int]:
        pid = self.process.pid
        with suppress(FileNotFoundError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def kill_worker(self, chance: random.Random) -> None:
        workers = self.workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                self.killed_at.append(time.time())

    def kill(self) -> None:
        """As when the power goes."""
        for pid in [self.process.pid, *self.workers()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.killed_at.append(time.time())
        self.process.wait()

    def memory_mb(self) -> float:
        """Resident memory of all workers."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.workers()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def open_hosts(folders: Sequence[Path], workers: int, threads: int = 24, **settings: Any) -> Iterator[list[Host]]:
    """One host for each instance folder."""
    with ExitStack() as opened:
        hosts = [opened.enter_context(_open_host(folder, workers, threads, settings)) for folder in folders]
        for host in hosts:
            _wait_until_ready(host)
        yield hosts


@contextmanager
def _open_host(folder: Path, workers: int, threads: int, settings: dict[str, Any]) -> Iterator[Host]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "main:app", "--bind", address, "--workers", str(workers)]
    command += ["--worker-class", "gthread", "--threads", str(threads), "--log-level", "warning"]
    chosen = {"instance_path": folder, "secret_key": "only for tests", "workers": workers, **settings}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    variables = {variable(name): str(value) for name, value in chosen.items()}
    process = subprocess.Popen(command, cwd=ROOT, env=kept | variables)
    try:
        yield Host(process, f"http://{address}")
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(host: Host, limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and host.process.poll() is None:
        with suppress(requests.RequestException):
            if requests.get(f"{host.address}/readyz", timeout=5).ok:
                return
        time.sleep(0.05)
    raise AssertionError(f"the host did not answer within {limit_s:.0f} s")


# --- films whose answers are known ---


@dataclass(frozen=True)
class Known:
    """A film, and the probability of each of its findings."""

    content: bytes
    answer: dict[str, float]

    def numbered(self, number: int) -> bytes:
        """The same pixels in other bytes."""
        return self.content[:-END] + chunk(b"tEXt", b"number\0%d" % number) + self.content[-END:]

    def says(self, film: dict[str, Any]) -> bool:
        """Whether the JSON of a film that was read has this answer."""
        found = {finding["label"]: finding["probability"] for finding in film["findings"]}
        return found.keys() == self.answer.keys() and all(
            abs(found[label] - probability) < TOLERANCE for label, probability in self.answer.items()
        )


def known_films(reader: Reader, count: int, side: int = 256) -> list[Known]:
    """Phantoms whose answers differ."""
    films: list[Known] = []
    for seed in range(10 * count):
        content = _exposed(side, seed)
        report = reader.read(read_film(content), anyway=True)
        answer = {finding.label: finding.probability for finding in report.findings}
        if all(_distance(answer, other.answer) > 5 * TOLERANCE for other in films):
            films.append(Known(content, answer))
        if len(films) == count:
            return films
    raise AssertionError("the phantoms are too much alike")


def _exposed(side: int, seed: int) -> bytes:
    """PNG of a phantom, each of another exposure, which moves a model's answer more than vessels and noise do."""
    grey = draw_phantom(side, side, seed) ** (0.6 + 0.2 * seed)
    return cv2.imencode(".png", np.round(grey * 255).astype(np.uint8))[1].tobytes()


def _distance(one: dict[str, float], other: dict[str, float]) -> float:
    return max(abs(one[label] - other[label]) for label in one)


# --- clients ---


@dataclass
class Upload:
    """One film on its way, and what became of it."""

    number: int
    film: Known
    film_id: str = ""
    statuses: list[int] = field(default_factory=list)
    broken_at: list[float] = field(default_factory=list)  # when its connection was lost
    seconds: float = 0.0
    mixed_up: bool = False

    def send(self, hosts: Sequence[Host]) -> None:
        """Until it is acknowledged, each time with the same key, to one host after the other."""
        began, tries = time.monotonic(), 0
        while not self.film_id and time.monotonic() - began < PATIENCE_S:
            self._try(hosts[(self.number + tries) % len(hosts)])
            tries += 1
        self.seconds = time.monotonic() - began

    def _try(self, host: Host) -> None:
        form = {"files": {"film": (f"{self.number}.png", self.film.numbered(self.number))}, "data": {"anyway": "1"}}
        headers = {"Idempotency-Key": f"upload-number-{self.number:08d}"}
        try:
            answer = requests.post(f"{host.address}/api/v1/films", **form, headers=headers, timeout=60)  # type: ignore[arg-type]
        except requests.RequestException:
            self.broken_at.append(time.time())
            time.sleep(0.2)
            return
        self.statuses.append(answer.status_code)
        if answer.status_code == 201:
            film = answer.json()
            self.film_id = film["id"]
            self.mixed_up = film["state"] == "read" and not self.film.says(film)
        else:
            time.sleep(float(answer.headers.get("Retry-After", 0.2)) / 5)


def send_all(
    hosts: Sequence[Host],
    films: Sequence[Known],
    count: int,
    clients: int,
    on_acknowledged: Callable[[int], None] = lambda _: None,
) -> list[Upload]:
    """`count` uploads by so many clients at once. `on_acknowledged` is told how many there were, after each."""
    uploads = [Upload(number, films[number % len(films)]) for number in range(count)]
    done, lock = iter(range(1, count + 1)), threading.Lock()

    def send(upload: Upload) -> None:
        upload.send(hosts)
        with lock:
            on_acknowledged(next(done))

    with ThreadPoolExecutor(clients) as people:
        list(people.map(send, uploads))
    return uploads
