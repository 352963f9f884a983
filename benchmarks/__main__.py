"""What reading films costs, against the usual way, side by side in one run.

    python -m benchmarks [--only maps,film,archive,start,clients] [--films FOLDER] [--json OUT.json]

Prints a Markdown table for each part. Films are drawn unless FOLDER has some; the desk reads with the shipped model.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.measuring import machine

PARTS = ("maps", "film", "archive", "start", "clients")  # modules; each is imported, and torch with it, when it is run


def main() -> None:
    options = parser().parse_args()
    before = machine()
    parts = {}
    for name in options.only:
        parts[name] = import_module(f"benchmarks.{name}").measure(options)
        print(parts[name].table(), end="\n\n", flush=True)
    if options.json:
        told = {
            "command": sys.argv[1:],
            "machine": before,
            "parts": {name: asdict(part) for name, part in parts.items()},
        }
        options.json.write_text(json.dumps(told, indent=1))


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,...", help="parts to measure")
    flags.add_argument("--films", type=Path, help="folder of films (default: drawn ones)")
    flags.add_argument("--json", type=Path, metavar="OUT", help="write all figures there, with the machine's")
    flags.add_argument("--sizes", type=int, nargs="+", default=[224], help="maps: sides of the input, pixels")
    flags.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="maps: films at a time")
    flags.add_argument("--quick", action="store_true", help="maps: leave the backward passes out")
    flags.add_argument("--budget", type=float, default=60, help="maps, film: seconds for each comparison")
    flags.add_argument("--count", type=int, default=120, help="archive: films of each round")
    flags.add_argument("--rounds", type=int, default=3, help="archive: rounds")
    flags.add_argument("--long", type=int, default=0, help="archive: then read so many films and watch the memory")
    flags.add_argument("--model", type=Path, help="archive: exported model file (default: the shipped one)")
    flags.add_argument("--seconds", type=float, default=20, help="clients: for each number of clients")
    return flags


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
