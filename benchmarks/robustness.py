"""Does the answer hang on how a film was resized or compressed? The test part, changed in small ways, side by side.

    python benchmarks/robustness.py DATA [--model FILE.onnx] [--limit N]

Each film is read as it is, saved again as JPEG of quality 50 and 95, blurred by half a pixel, shrunk to 224 px, and
with its borders cut off: what is squashed into a square then shows lungs of another shape. Prints a Markdown table:
mean AUROC of the findings, its difference from that of the films as they are, and how far the probabilities move.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.films.prepare import prepare  # noqa: E402
from cxr.films.read import read_film  # noqa: E402
from cxr.learning.supply import Supply  # noqa: E402
from cxr.metrics import mean_auroc  # noqa: E402
from cxr.reading.engine import SHIPPED, Engine  # noqa: E402
from cxr.settings import Settings  # noqa: E402
from cxr.tasks import TASKS  # noqa: E402

Grey = NDArray[np.uint8]  # (H, W)


def saved_again(film: Grey, quality: int) -> Grey:
    _, file = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8)


def shrunk(film: Grey, side: int) -> Grey:
    scale = side / max(film.shape)
    size = round(film.shape[1] * scale), round(film.shape[0] * scale)
    return np.asarray(cv2.resize(film, size, interpolation=cv2.INTER_AREA), np.uint8)


def cut(film: Grey, rows: float, columns: float) -> Grey:
    """Without these shares of the film at each of two borders."""
    top, left = round(rows * film.shape[0]), round(columns * film.shape[1])
    return np.ascontiguousarray(film[top : film.shape[0] - top, left : film.shape[1] - left])


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "as it is": lambda film: film,
    "JPEG, quality 95": lambda film: saved_again(film, 95),
    "JPEG, quality 50": lambda film: saved_again(film, 50),
    "blurred by half a pixel": lambda film: np.asarray(cv2.GaussianBlur(film, (0, 0), 0.5), np.uint8),
    "224 px": lambda film: shrunk(film, 224),
    "a tenth cut off above and below": lambda film: cut(film, 0.1, 0),
    "a tenth cut off at each side": lambda film: cut(film, 0, 0.1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data set whose test part is read")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="exported model file")
    parser.add_argument("--limit", type=int, help="use the first N films")
    options = parser.parse_args()
    engine = Engine(options.model, Settings.from_environment())
    table = Supply(TASKS[engine.info.task], options.data).read().part("test")
    table = table.take(np.arange(min(options.limit or len(table), len(table))))
    logits = np.array([_logits(engine, path) for path in tqdm(table.paths, unit="film")])  # (N, changes, K)
    given = engine.info.probabilities(logits)
    areas = [mean_auroc(given[:, c], table.labels) for c in range(len(CHANGES))]
    print("| films | mean AUROC | difference | a probability moves by | 99 of 100 by less than |")
    print("|---|---|---|---|---|")
    for c, change in enumerate(CHANGES):
        moved = np.abs(given[:, c] - given[:, 0])
        figures = f"{areas[c]:.4f} | {areas[c] - areas[0]:+.4f} | {moved.mean():.4f} | {np.quantile(moved, 0.99):.4f}"
        print(f"| {change} | {figures} |")


def _logits(engine: Engine, path: Path) -> list[NDArray[np.float32]]:
    """(K,) for each of CHANGES."""
    film = np.round(read_film(path).pixels * 255).astype(np.uint8)
    pictures = (change(film).astype(np.float32) / 255 for change in CHANGES.values())
    return [engine.run(prepare(picture, engine.info.preprocessing)[0]).logits[0] for picture in pictures]


if __name__ == "__main__":
    main()
