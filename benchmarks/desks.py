"""A desk under gunicorn, as a department runs it, and requests to it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
GUNICORN = ("-m", "gunicorn", "main:app", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning")


@dataclass(frozen=True)
class Desk:
    """One gunicorn with one worker of four threads."""

    address: str
    began: float  # time.monotonic() of its start
    master: int  # process

    def wait_until_ready(self, limit_s: float = 60) -> None:
        while time.monotonic() < self.began + limit_s:
            try:
                if requests.get(f"{self.address}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:  # not there yet, or busy with its start
                time.sleep(0.02)
        raise SystemExit(f"The desk did not answer within {limit_s:.0f} s.")

    def upload(self, film: bytes, session: requests.Session | None = None) -> dict[str, Any]:
        """The answer: findings of one film. Raises requests.HTTPError."""
        post = session.post if session else requests.post
        answer = post(f"{self.address}/api/v1/films", files={"film": ("film", film)}, timeout=120)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        assert len(told["findings"]) == 14
        return told

    def worker_mb(self) -> float:
        """Resident memory of the worker."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        pages = max(int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children)
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def desk(**settings: str) -> Iterator[Desk]:
    """Started, and not yet ready; its films go with the block."""
    with tempfile.TemporaryDirectory() as instance:
        port = _free_port()
        own = {"CXR_INSTANCE_PATH": instance, "CXR_SECRET_KEY": "only for this benchmark", **settings}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *GUNICORN, "--bind", f"127.0.0.1:{port}"], cwd=ROOT, env={**os.environ, **own}
        )
        try:
            yield Desk(f"http://127.0.0.1:{port}", began, process.pid)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
