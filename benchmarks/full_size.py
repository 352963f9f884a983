"""Does the answer depend on the size at which a film arrives? Full-size NIH films against their 256 px copies.

    python benchmarks/full_size.py DATA

DATA holds `films/nih_<stem>.png` (1024 px) and `nih/images/<stem>.jpg` (256 px).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from predictions import Predictor  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with films/ and nih/images/")
    data = parser.parse_args().data
    predictor = Predictor.load()
    pairs = [(full, data / "nih" / "images" / f"{full.stem.removeprefix('nih_')}.jpg") for full in _full_size(data)]
    answers = np.array([[_answers(predictor, film) for film in pair] for pair in pairs])  # (N, 2, K, 2)
    difference = np.abs(answers[:, 0, :, 0] - answers[:, 1, :, 0])  # (N, K)
    changed = (answers[:, 0, :, 1] != answers[:, 1, :, 1]).sum()
    print(f"{len(pairs)} films in both sizes, {difference.shape[1]} findings each")
    print(f"difference of probability: mean {difference.mean():.4f}, largest {difference.max():.4f}")
    print(f"findings that change sides of their operating point: {changed} of {difference.size}")


def _full_size(data: Path) -> list[Path]:
    films = sorted((data / "films").glob("nih_*.png"))
    if not films:
        raise SystemExit(f"There is no films/nih_*.png in {data}.")
    return films


def _answers(predictor: Predictor, film: Path) -> list[tuple[float, bool]]:
    return [(finding.probability, finding.above) for finding in predictor.predict(film).findings]


if __name__ == "__main__":
    main()
