"""How a desk grows: its answers under load, measured with 1, 2 and 4 workers, beside a simulation of the same load.

    python -m benchmarks.growth [--workers 1 2 4] [--loads 0.4 0.7] [--uploads 200] [--films FOLDER] [--json OUT.json]
    python -m benchmarks.growth --work-ms 60

First the work of one film is measured: uploads one after the other, to one worker whose engine has one thread. Then
films come as a Poisson process, at shares of what the cores could do, and each waits for its answer. The simulation
knows nothing but the works measured first and the number of cores: every film that is being read takes an equal part
of the cores, and at most one (processor sharing). At last the same simulation says how many cores a hospital, a region
and an archive need. With `--work-ms` nothing is measured.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.desks import Desk, desk
from benchmarks.films import png_film

READS_AT_ONCE = 2  # of each worker, as the desk's setting has it
PEAK_HOUR_SHARE = 0.12  # of a day's films that come in its busiest hour: an assumption
ANSWER_S = 1.0  # 95 of 100 films are to be answered within
DAYS = {"hospital": 3_000, "region": 100_000}  # films a day
ARCHIVE = 100_000_000  # films
CORE_HOUR = 0.04  # US dollars, of a rented core: an assumption


@dataclass(frozen=True)
class Load:
    """Answers to films that came at random, in seconds."""

    workers: int
    films_s: float
    median_s: float
    p95_s: float
    simulated_median_s: float
    simulated_p95_s: float


def main() -> None:
    options = parser().parse_args()
    if options.work_ms:
        work, loads = np.array([options.work_ms / 1e3]), list[Load]()
    else:
        film = png_film(options.films)
        work = measure_work(film)
        loads = list(measure_loads(film, work, options))
    cores = {place: cores_for(films, work) for place, films in DAYS.items()}
    print(_text(work, loads, cores))
    if options.json:
        figures = {"work_s": float(work.mean()), "loads": [asdict(load) for load in loads], "cores": cores}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of gunicorn workers")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.4, 0.7], help="shares of what the cores can do")
    parser.add_argument("--uploads", type=int, default=200, help="films of each load")
    parser.add_argument("--films", type=Path, help="folder with a PNG film to upload (default: a drawn phantom)")
    parser.add_argument("--work-ms", type=float, help="work of a film on one core; then nothing is measured")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


@contextmanager
def _desk(workers: int) -> Iterator[Desk]:
    """Ready; each worker's engine has one thread."""
    with desk(WEB_CONCURRENCY=str(workers), CXR_WORKERS=str(workers), CXR_THREADS="1") as opened:
        opened.wait_until_ready()
        yield opened


def _seconds(opened: Desk, film: bytes) -> float:
    began = time.perf_counter()
    opened.upload(film)
    return time.perf_counter() - began


def measure_work(film: bytes, uploads: int = 30) -> NDArray[np.float64]:
    """Seconds of one film on one core (uploads,), nothing beside it."""
    with _desk(workers=1) as opened:
        opened.upload(film)
        return np.array([_seconds(opened, film) for _ in range(uploads)])


def measure_loads(film: bytes, work: NDArray[np.float64], options: argparse.Namespace) -> Iterator[Load]:
    cores = os.cpu_count() or 1
    for workers in options.workers:
        with _desk(workers) as opened:
            for _ in range(4 * workers):
                opened.upload(film)  # each worker has answered before
            for share in options.loads:
                films_s = share * min(workers * READS_AT_ONCE, cores) / float(work.mean())
                answers = answers_under(lambda: _seconds(opened, film), films_s, options.uploads)
                foretold = simulate(films_s, work, workers * READS_AT_ONCE, cores)
                yield Load(workers, films_s, *_quantiles(answers), *_quantiles(foretold))


def answers_under(upload: Callable[[], float], films_s: float, films: int) -> NDArray[np.float64]:
    """Seconds from each arrival to its answer (films,); the next film comes whether the last was answered or not."""
    waits = np.random.default_rng(0).exponential(1 / films_s, films)
    answers = np.full(films, np.nan)

    def send(number: int) -> None:
        answers[number] = upload()

    senders = [threading.Thread(target=send, args=(number,)) for number in range(films)]
    for sender, wait in zip(senders, waits, strict=True):
        time.sleep(wait)
        sender.start()
    for sender in senders:
        sender.join()
    if np.isnan(answers).any():
        raise SystemExit(f"{np.isnan(answers).sum()} of {films} films were not answered; lower --loads.")
    return answers


def simulate(
    films_s: float, work: NDArray[np.float64], slots: int, cores: int, films: int = 20_000, seed: int = 0
) -> NDArray[np.float64]:
    """Seconds from each arrival to its answer (films,): a Poisson process of `films_s`, works drawn from `work`, at
    most `slots` films in work, which share `cores` equally, a film having one core at most. First come, first served.
    """
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / films_s, films))
    works = random.choice(work, films)
    answers = np.zeros(films)
    left: dict[int, float] = {}  # films in work -> seconds of a core that they still need
    now, arrived, begun = 0.0, 0, 0
    while begun < films or left:
        while begun < arrived and len(left) < slots:
            left[begun] = works[begun]
            begun += 1
        speed = min(1.0, cores / len(left)) if left else 1.0
        first = min(left, key=left.__getitem__, default=None)
        done = np.inf if first is None else now + left[first] / speed
        comes = arrivals[arrived] if arrived < films else np.inf
        then = min(done, comes)
        left = {film: rest - (then - now) * speed for film, rest in left.items()}
        now = then
        if first is not None and done <= comes:
            answers[first] = now - arrivals[first]
            del left[first]
        else:
            arrived += 1
    return answers


def cores_for(films_a_day: int, work: NDArray[np.float64]) -> int:
    """The fewest cores, a worker to each, that answer 95 of 100 films of the busiest hour within ANSWER_S."""
    films_s = films_a_day * PEAK_HOUR_SHARE / 3600
    cores = max(1, int(films_s * work.mean()))
    while cores <= films_s * work.mean() or _quantiles(simulate(films_s, work, 2 * cores, cores))[1] > ANSWER_S:
        cores += 1
    return cores


def _quantiles(seconds: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.median(seconds)), float(np.quantile(seconds, 0.95))


def _text(work: NDArray[np.float64], loads: Sequence[Load], needs: dict[str, int]) -> str:
    seconds = float(work.mean())
    lines = [f"work of a film on one core: {seconds * 1e3:.0f} ms", ""]
    if loads:
        lines.append(
            f"{'workers':>7} {'films/s':>8} {'median ms':>10} {'simulated':>10} {'p95 ms':>8} {'simulated':>10}"
        )
    for load in loads:
        median, p95 = load.median_s * 1e3, load.p95_s * 1e3
        foretold, most = load.simulated_median_s * 1e3, load.simulated_p95_s * 1e3
        lines.append(f"{load.workers:7d} {load.films_s:8.1f} {median:10.0f} {foretold:10.0f} {p95:8.0f} {most:10.0f}")
    for place, cores in needs.items():
        lines.append(f"{place}, {DAYS[place]:,} films a day: cores {cores}")
    hours = ARCHIVE * seconds / 3600
    lines.append(f"archive, {ARCHIVE:,} films: {hours:,.0f} core hours, {hours * CORE_HOUR:,.0f} US dollars")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
