"""The desk under gunicorn: time from start to first answer, from upload to JSON answer, and memory of a worker.

    python benchmarks/desk.py [--film FILM.png] [--uploads 50]

Without --film a drawn 1024 px phantom is uploaded. Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ADDRESS = "127.0.0.1:8765"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, help="film to upload (default: a drawn 1024 px phantom)")
    parser.add_argument("--uploads", type=int, default=50, help="how many timed uploads follow the first")
    options = parser.parse_args()
    film = options.film.read_bytes() if options.film else _phantom()
    with tempfile.TemporaryDirectory() as instance, _desk(instance) as (began, process):
        _wait_until_ready()
        ready = time.monotonic() - began
        _upload(film)
        first = time.monotonic() - began
        seconds = [_upload(film) for _ in range(options.uploads)]
        print(json.dumps(_figures(ready, first, seconds, _worker_memory(process.pid)), indent=1))


def _figures(ready: float, first: float, seconds: list[float], memory_mb: float) -> dict[str, float]:
    return {
        "start_to_ready_s": round(ready, 2),
        "start_to_first_answer_s": round(first, 2),
        "upload_to_json_median_ms": round(statistics.median(seconds) * 1e3, 1),
        "upload_to_json_p95_ms": round(statistics.quantiles(seconds, n=20)[-1] * 1e3, 1),
        "worker_memory_mb": round(memory_mb),
        "cores": os.cpu_count() or 0,
    }


@contextmanager
def _desk(instance: str) -> Iterator[tuple[float, "subprocess.Popen[bytes]"]]:
    """A gunicorn with one worker of four threads; (moment of start, process)."""
    command = [sys.executable, "-m", "gunicorn", "main:app", "--bind", ADDRESS]
    command += ["--worker-class", "gthread", "--threads", "4", "--log-level", "warning"]
    settings = {"CXR_INSTANCE_PATH": instance, "CXR_SECRET_KEY": "only for this benchmark"}
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})
    try:
        yield began, process
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(limit_s: float = 60) -> None:
    for _ in range(int(limit_s / 0.02)):
        try:
            if requests.get(f"http://{ADDRESS}/readyz", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.02)
    raise SystemExit(f"The desk did not answer within {limit_s:.0f} s.")


def _upload(film: bytes) -> float:
    """Seconds from sending a film to holding its findings."""
    began = time.perf_counter()
    answer = requests.post(f"http://{ADDRESS}/api/v1/films", files={"film": ("film.png", film)}, timeout=60)
    answer.raise_for_status()
    assert len(answer.json()["findings"]) == 14
    return time.perf_counter() - began


def _worker_memory(master: int) -> float:
    """Resident memory of the largest child of the gunicorn master, in MB."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    pages = [int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _phantom() -> bytes:
    from tests.phantom import phantom_png

    return phantom_png(side=1024)


if __name__ == "__main__":
    main()
