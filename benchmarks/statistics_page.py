"""How long the statistics page takes, by number of films.

    python benchmarks/statistics_page.py [--films 100000] [--answers 20000] [--views 9]

Makes an instance folder of its own, in which the films of a year were read by the shipped model: rows of scores drawn
around its operating points, without pixels. Prints one JSON object.
"""

import argparse
import io
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient
from sqlalchemy import Engine, insert, select

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.desk.app import create_app  # noqa: E402
from cxr.desk.intake import Intake  # noqa: E402
from cxr.desk.scores import SCORE, ReadingModel, ScoresRow  # noqa: E402
from cxr.desk.tables import AnswerRow, FilmRow, ReportRow, writing  # noqa: E402
from cxr.settings import Settings  # noqa: E402
from tests.phantom import phantom_png  # noqa: E402

YEAR_S = 365 * 86_400
CHUNK = 5000
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
        began = time.perf_counter()
        _fill(intake.store.engine, options.films - 1, options.answers)
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        print(json.dumps({"films": options.films} | _times_ms(client, options.views), indent=1))
        intake.close()


def _times_ms(client: FlaskClient, views: int) -> dict[str, float]:
    """Median of each page."""
    return {name: _median([_view(client, path) for _ in range(views)]) for name, path in PAGES.items()}


def _median(times_ms: list[float]) -> float:
    return round(statistics.median(times_ms), 1)


def _view(client: FlaskClient, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1e3


def _fill(engine: Engine, films: int, answers: int) -> None:
    """Copies of the one film that was read, each with scores of its own."""
    rng = np.random.default_rng(0)
    with writing(engine) as session:
        model = {table: _columns(session.scalars(select(table)).one()) for table in (FilmRow, ReportRow, ScoresRow)}
        labels = json.loads(session.scalars(select(ReadingModel.labels)).one())
        for start in range(0, films, CHUNK):
            count = min(CHUNK, films - start)
            copies = list(_copies(rng, count, len(labels)))
            session.execute(insert(FilmRow), [model[FilmRow] | {"id": i, "created_at": at} for i, at, _ in copies])
            session.execute(insert(ReportRow), [model[ReportRow] | {"film_id": i} for i, _, _ in copies])
            own = [{"film_id": i, "taken_at": at, "scores": drawn} for i, at, drawn in copies]
            session.execute(insert(ScoresRow), [model[ScoresRow] | each for each in own])
            said = [i for i, _, _ in copies[: answers * count // films]]
            session.execute(insert(AnswerRow), list(_answers(said, labels)))


def _copies(rng: np.random.Generator, count: int, labels: int) -> Iterator[tuple[str, float, bytes]]:
    """(film id, taken in at, scores)."""
    moments = time.time() - rng.random(count) * YEAR_S
    for moment, drawn in zip(moments.tolist(), rng.beta(0.5, 8, (count, labels)).astype(SCORE), strict=True):
        yield secrets.token_hex(10), moment, drawn.tobytes()


def _answers(films: list[str], labels: list[str]) -> Iterator[dict[str, object]]:
    for number, film in enumerate(films):
        label = labels[number % len(labels)]
        yield {"film_id": film, "label": label, "verdict": "agree", "text": "", "by": "a", "at": 0.0}


def _columns(row: FilmRow | ReportRow | ScoresRow) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


if __name__ == "__main__":
    main()
