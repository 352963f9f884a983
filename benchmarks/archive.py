"""An archive from disk to CSV against the engine alone, and the memory of a long run.

    python benchmarks/archive.py FOLDER [--films 300] [--rounds 3] [--long 10000]

Rate: the films of FOLDER (PNG, JPEG, DICOM; repeated until there are enough) are read by `python -m cxr archive`'s own
lanes, decoders beside the engine and rows to disk, and in turn by the engine alone, from prepared arrays in memory, in
the same process, so that both meet the same machine. Memory: that of this process and its decoders (proportional set
size: what they share counts once), at 500 films and at its peak after that. Prints one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.films.read import read_film  # noqa: E402
from cxr.reading.archive import FilmReading, Plan  # noqa: E402
from cxr.reading.archive_sources import open_source  # noqa: E402
from cxr.reading.archive_tables import open_table, resume  # noqa: E402
from cxr.reading.reader import Reader  # noqa: E402
from cxr.settings import Settings  # noqa: E402

SETTLED = 500  # films after which memory should no longer grow
PREPARED = 16  # different films that the engine alone is given in turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of films")
    parser.add_argument("--films", type=int, default=300, help="films of each timed round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each, in turn")
    parser.add_argument("--long", type=int, default=0, help="then read so many films and watch the memory")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    options = parser.parse_args()
    plan = Plan(open_source(options.folder), Settings.from_environment(), anyway=True)
    reader = plan.load()
    arrays = _prepared(plan, reader)
    with plan.reading(reader, options.workers) as reading:
        _archive(reading, 50)  # processes started, buffers made
        pairs = [
            (_engine_alone(reader, arrays, options.films), _archive(reading, options.films))
            for _ in range(options.rounds)
        ]
        figures = {"engine": reader.versions["engine"], "workers": options.workers, **_rates(pairs)}
        print(json.dumps(figures | (_memory(reading, options.long) if options.long else {}), indent=1))


def _rates(pairs: list[tuple[float, float]]) -> dict[str, float | list[float]]:
    ratios = [archive / alone for alone, archive in pairs]
    return {
        "engine_alone_films_per_s": round(statistics.median(alone for alone, _ in pairs), 2),
        "archive_films_per_s": round(statistics.median(archive for _, archive in pairs), 2),
        "archive_of_engine": round(statistics.median(ratios), 3),
        "archive_of_engine_by_round": [round(ratio, 3) for ratio in ratios],
    }


def _names(plan: Plan, count: int) -> Iterator[str]:
    """`count` films, those at hand over and over."""
    return islice(cycle(list(islice(plan.source.films(), count))), count)


def _prepared(plan: Plan, reader: Reader) -> list[np.ndarray]:
    names = islice(plan.source.films(), PREPARED)
    return [reader.preparation(read_film(name, frontal_only=False)).x for name in names]


def _engine_alone(reader: Reader, arrays: list[np.ndarray], count: int) -> float:
    """Films a second from arrays (1, C, S, S), asked from as many threads as the engine answers at once, twice over."""
    with ThreadPoolExecutor(2 * reader.at_once) as pool:
        began = time.perf_counter()
        for _ in pool.map(reader._engine.run, islice(cycle(arrays), count)):
            pass
        return count / (time.perf_counter() - began)


def _archive(reading: FilmReading, count: int, watch: "list[int] | None" = None) -> float:
    """Films a second from files to a CSV on disk."""
    with tempfile.TemporaryDirectory() as folder:
        run = reading.plan.run_of(reading.reader)
        with open_table(Path(folder) / "out.csv", run) as table:
            resume(table, iter(()))
            began = time.perf_counter()
            for number, row in enumerate(reading.rows(enumerate(_names(reading.plan, count), 1)), 1):
                table.write(row)
                if watch is not None and number >= SETTLED and number % 100 == 0:
                    watch.append(_resident_bytes())
            table.finish()
        return count / (time.perf_counter() - began)


def _memory(reading: FilmReading, count: int) -> dict[str, float]:
    watched: list[int] = []
    rate = _archive(reading, count, watched)
    return {
        "long_run_films": count,
        "long_run_films_per_s": round(rate, 2),
        "memory_at_500_films_mb": round(watched[0] / 1e6, 1),
        "memory_growth_after_mb": round((max(watched) - watched[0]) / 1e6, 1),
    }


def _resident_bytes() -> int:
    """Of this process and its children, what several share counted once."""
    children = Path("/proc/self/task").glob("*/children")
    pids = ["self", *(pid for file in children for pid in file.read_text().split())]
    return sum(_pss_bytes(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids)


def _pss_bytes(rollup: Path) -> int:
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
