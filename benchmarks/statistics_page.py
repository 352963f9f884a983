"""How long the statistics page takes, by number of films.

    python benchmarks/statistics_page.py [--films 100000] [--answers 20000] [--views 9]

Makes an instance folder of its own, in which the films of a year were read by the shipped model: copies of a drawn
phantom, each with scores of its own. Prints one JSON object of medians in milliseconds, in this process.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from flask.testing import FlaskClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.desk.app import create_app  # noqa: E402
from cxr.desk.intake import Intake  # noqa: E402
from cxr.settings import Settings  # noqa: E402
from tests.desk.many_films import copy_film  # noqa: E402
from tests.phantom import phantom_png  # noqa: E402

PAGES = {"page": "/statistics?days=all", "page_30_days": "/statistics", "json": "/api/v1/statistics?days=all"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--views", type=int, default=9, help="timed views of each page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(instance_path=folder), local=True)
        intake: Intake = app.extensions["intake"]
        client = app.test_client()
        assert client.post("/api/v1/films", data={"film": (io.BytesIO(phantom_png(512)), "a.png")}).status_code == 201
        copy_film(intake.store.engine, options.films - 1, options.answers, intake.readers.of().info.labels)
        print(json.dumps({"films": options.films} | _times_ms(client, options.views), indent=1))
        intake.close()


def _times_ms(client: FlaskClient, views: int) -> dict[str, float]:
    return {name: _median([_view(client, path) for _ in range(views)]) for name, path in PAGES.items()}


def _median(times_ms: list[float]) -> float:
    return round(statistics.median(times_ms), 1)


def _view(client: FlaskClient, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
