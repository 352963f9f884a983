"""An archive from disk to CSV against the engine alone, what decoding takes of the cores, and the memory of a long run.

Rate: films of a folder, repeated until there are enough, are read by `python -m cxr archive`'s own lanes, decoders
beside the engine and rows to disk, and in turn by the engine alone, from prepared arrays in memory, in the same
process, so that both meet the same machine. Memory: that of this process and its decoders (proportional set size: what
they share counts once), at 500 films and at its peak after that.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.films import folder_of_films
from benchmarks.measuring import Part, Row, spread
from cxr.films.read import read_film
from cxr.reading.archive import FilmReading, Plan
from cxr.reading.archive_sources import open_source
from cxr.reading.archive_tables import open_table, resume
from cxr.reading.engine import cores
from cxr.reading.reader import Reader
from cxr.settings import Settings

SETTLED = 500  # films after which memory should no longer grow
PREPARED = 16  # different films that the engine alone is given in turn
ENDINGS = (".jpg", ".png")


def measure(options: argparse.Namespace) -> Part:
    endings = [ending for ending in ENDINGS if not options.films or any(options.films.glob(f"*{ending}"))]
    rows = [_row(ending, options) for ending in endings]
    note = (
        "Most: what is left to the engine where decoders take the same cores, engine / (engine + decoding) of the core "
        "seconds of one film. As many decoders as cores; throughput mode."
    )
    return Part("Archive, films from disk to CSV", rows, note)


def _row(ending: str, options: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory() as drawn:
        folder = folder_of_films(options.films, ending, Path(drawn))
        films = sorted(str(file) for file in folder.glob(f"*{ending}"))
        plan = Plan(open_source(str(folder)), Settings.from_environment(), model=options.model, anyway=True)
        reader = plan.load()
        arrays = [reader.preparation(read_film(name, frontal_only=False)).x for name in films[:PREPARED]]
        with plan.reading(reader, cores()) as reading:
            _archive(reading, films, 20)  # processes started, buffers made
            pairs = [
                (_engine_alone(reader, arrays, options.count), _archive(reading, films, options.count))
                for _ in range(options.rounds)
            ]
            alone, decoding = cores() / median(engine for engine, _ in pairs), _decoding_s(reader, films)
            return {
                "films": f"{ending[1:].upper()}",
                "engine alone, films/s": median(engine for engine, _ in pairs),
                "archive, films/s": median(rate for _, rate in pairs),
                "share of the engine": median(rate / engine for engine, rate in pairs),
                "by round": spread([rate / engine for engine, rate in pairs]),
                "engine, core ms": alone * 1e3,
                "decoding, core ms": decoding * 1e3,
                "most": alone / (alone + decoding),
                "MB with decoders": _resident_bytes() / 1e6,
                **(_memory(reading, films, options.long) if options.long else {}),
            }


def _decoding_s(reader: Reader, films: list[str]) -> float:
    """Core seconds of one film before the engine has it."""
    spent = []
    for name in islice(cycle(films), 3 * PREPARED):
        began = time.thread_time()
        reader.preparation(read_film(name, frontal_only=False))
        spent.append(time.thread_time() - began)
    return median(spent)


def _engine_alone(reader: Reader, arrays: list[NDArray[np.float32]], count: int) -> float:
    """Films a second from arrays (1, C, S, S), asked from as many threads as the engine answers at once, twice over."""
    with ThreadPoolExecutor(2 * reader.at_once) as pool:
        began = time.perf_counter()
        for _ in pool.map(reader._engine.run, islice(cycle(arrays), count)):
            pass
        return count / (time.perf_counter() - began)


def _archive(reading: FilmReading, films: Iterable[str], count: int, watch: "list[int] | None" = None) -> float:
    """Films a second from files to a CSV on disk."""
    with tempfile.TemporaryDirectory() as folder:
        run = reading.plan.run_of(reading.reader)
        with open_table(Path(folder) / "out.csv", run) as table:
            resume(table, iter(()))
            began = time.perf_counter()
            with closing(reading.rows(enumerate(islice(cycle(films), count), 1))) as rows:
                for number, row in enumerate(rows, 1):
                    table.write(row)
                    if watch is not None and number >= SETTLED and number % 100 == 0:
                        watch.append(_resident_bytes())
            table.finish()
        return count / (time.perf_counter() - began)


def _memory(reading: FilmReading, films: list[str], count: int) -> Row:
    watched: list[int] = []
    rate = _archive(reading, films, count, watched)
    return {
        "long run": f"{count} films, {rate:.1f} films/s",
        "MB at 500 films": watched[0] / 1e6,
        "growth after, MB": (max(watched) - watched[0]) / 1e6,
    }


def _resident_bytes() -> int:
    """Of this process and its children, what several share counted once."""
    children = Path("/proc/self/task").glob("*/children")
    pids = ["self", *(pid for file in children for pid in file.read_text().split())]
    return sum(_pss_bytes(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids)


def _pss_bytes(rollup: Path) -> int:
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
