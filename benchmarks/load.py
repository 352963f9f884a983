"""A shared desk under load: is any film lost, read twice or mixed up, and does memory grow?

    python benchmarks/load.py                                    # two workers, 16 clients, 2,000 uploads
    python benchmarks/load.py --uploads 500 --kills 50           # workers killed with -9 at random moments
    python benchmarks/load.py --uploads 500 --hosts 2 --kill-a-host --storage s3 \\
        --database-url postgresql+psycopg://...                  # an empty database; the bucket is made here

Phantoms with known answers are uploaded, each in bytes of its own. Prints one JSON object; the exit
status is 1 where there is a fault.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxr.reading.reader import Reader
from cxr.settings import Settings
from tests.desk.buckets import open_bucket
from tests.desk.hosts import Host, Upload, known_films, open_hosts, send_all
from tests.desk.judging import Outcome, judge, keep_ledger

MOST_GROWTH = 5  # percent of memory
WARM = 200  # uploads after which memory is compared


def main() -> None:
    options = _parser().parse_args()
    films = known_films(Reader.load(), options.films, options.side)
    with tempfile.TemporaryDirectory() as folder, open_bucket() if options.storage == "s3" else nullcontext("") as url:
        names = [Path(folder) / f"host{number}" for number in range(options.hosts)]
        shared = {"database_url": options.database_url, "storage_url": url, "lease_s": options.lease}
        settings = Settings(instance_path=str(names[0]), **shared)
        with open_hosts(names, options.workers, options.threads, **shared) as hosts, keep_ledger(settings) as ledger:
            watch, began = _Watch(hosts, options), time.monotonic()
            uploads = send_all(hosts, films, options.uploads, options.clients, watch)
            seconds = time.monotonic() - began
            found = judge(uploads, hosts, ledger)
    figures = _figures(options, uploads, found, watch, seconds)
    print(json.dumps(figures, indent=1))
    sys.exit(bool(figures["faults"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16, help="that send at the same time")
    parser.add_argument("--hosts", type=int, default=1, help="gunicorns, each with an instance folder of its own")
    parser.add_argument("--workers", type=int, default=2, help="of each host")
    parser.add_argument("--threads", type=int, default=24, help="of each worker")
    parser.add_argument("--kills", type=int, default=0, help="workers killed with -9 at random moments")
    parser.add_argument("--kill-a-host", action="store_true", help="kill the first host with -9 in the middle")
    parser.add_argument("--database-url", default="", help="an empty database of PostgreSQL (default: SQLite)")
    parser.add_argument("--storage", choices=("folder", "s3"), default="folder")
    parser.add_argument("--lease", type=int, default=10, help="CXR_LEASE_S")
    parser.add_argument("--films", type=int, default=8, help="different phantoms")
    parser.add_argument("--side", type=int, default=256, help="of the phantoms, in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    return parser


class _Watch:
    """Told of each acknowledged upload: kills when it is time, and weighs the workers."""

    def __init__(self, hosts: list[Host], options: argparse.Namespace) -> None:
        self.hosts, self.chance = hosts, random.Random(options.seed)
        self.kills = sorted(self.chance.choices(range(1, options.uploads), k=options.kills))
        self.dies_at = options.uploads // 2 if options.kill_a_host else 0
        self.memory_mb: dict[int, float] = {}

    def __call__(self, count: int) -> None:
        while self.kills and count >= self.kills[0]:
            self.kills.pop(0)
            time.sleep(self.chance.uniform(0, 0.3))
            self.chance.choice(self.hosts).kill_worker(self.chance)
        if count == self.dies_at:
            self.hosts[0].kill()
        if count % WARM == 0:
            self.memory_mb[count] = sum(host.memory_mb() for host in self.hosts)


def _figures(
    options: argparse.Namespace, uploads: Sequence[Upload], found: Outcome, watch: _Watch, seconds: float
) -> dict[str, Any]:
    waits = [upload.seconds for upload in uploads]
    memory_mb = list(watch.memory_mb.values())
    growth = round(100 * (memory_mb[-1] / memory_mb[0] - 1), 1) if memory_mb else None
    return {
        "run": {name: getattr(options, name) for name in ("uploads", "clients", "hosts", "workers", "kills", "lease")}
        | {"kill_a_host": options.kill_a_host, "database": options.database_url.partition(":")[0] or "sqlite"}
        | {"storage": options.storage, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
        "faults": _faults(options, found, growth),
        "outcome": {**vars(found), "longest_wait_s": round(found.longest_wait_s, 1)},
        "uploads_per_s": round(len(uploads) / seconds, 1),
        "answer_ms": {"median": _ms(statistics.median(waits)), "p99": _ms(statistics.quantiles(waits, n=100)[-1])},
        "memory_mb": {str(count): round(mb) for count, mb in watch.memory_mb.items()},
        "memory_growth_percent": growth,
    }


def _faults(options: argparse.Namespace, found: Outcome, growth: float | None) -> dict[str, float]:
    """Those of the outcome; where nobody is killed, also growing memory, and a 503 for fewer clients than may wait."""
    faults: dict[str, float] = dict(found.faults())
    if options.kills or options.kill_a_host:
        return faults
    if growth and growth > MOST_GROWTH:
        faults["memory_growth_percent"] = growth
    if found.put_off and options.clients <= Settings().max_waiting:
        faults["put_off"] = found.put_off
    return faults


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


if __name__ == "__main__":
    main()
