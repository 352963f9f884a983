"""The worklist at 100,000 films: each page, filter, order and search at the server, and how SQLite finds them.

    python benchmarks/worklist.py [--films 100000] [--repeats 20] [--plans] [--keep FOLDER]

Rows are drawn, with a fixed seed: 14 labels, 40,000 patients, a tenth answered by five people, thumbnails of 4 KB. The
times are those of the whole answer, page drawn, without the network. --keep leaves the database, and uses it again.
"""

import argparse
import io
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxr.desk.app import create_app
from cxr.desk.instance import open_store
from cxr.desk.people import People
from cxr.desk.people_tables import Role
from cxr.desk.site_settings_rows import RANKED_WITH, set_value
from cxr.desk.store import Store
from cxr.desk.tables import AnswerRow, FilmRow, ReportRow, writing
from cxr.desk.worklist import Wanted
from cxr.desk.worklist_rows import normalised
from cxr.desk.worklist_tables import AnsweredBy, FindingAbove, WorklistRow
from cxr.desk.worklist_urgency import rank_all
from cxr.settings import Settings
from cxr.tasks import TASKS
from tests.desk.department import ADMIN, PASSWORD, sign_in
from tests.desk.plans import plans, selects
from tests.phantom import phantom_png

Asked = tuple[str, FlaskClient, str]  # name of the list, who asks for it, its address
BATCH = 5000
LABELS = TASKS["chestxray14"].labels
PEOPLE = ("ann", "bert", "carla", "dev", "eve")
START, SPAN_S = 1.7e9, 365 * 86_400
YEAR = "from=2023-11-15&to=2024-11-13"
LISTS = {
    "urgent first": "", "newest first": "sort=date", "by patient": "sort=patient",
    "a common finding": "finding=Infiltration", "a rare finding": "finding=Hernia",
    "a rare finding by date": "finding=Hernia&sort=date",
    "a common state": "state=read", "a common state by patient": "state=read&sort=patient",
    "a rare state": "state=failed", "a task": "task=chestxray14", "no such task": "task=covid3&sort=date",
    "unanswered": "answered=no", "answered": "answered=yes", "answered by one": "answered=by:eve&sort=date",
    "a month": "from=2024-01-01&to=2024-01-31", "a year": YEAR,
    "little at once": "finding=Mass&state=read&answered=by:ann&from=2024-01-01&to=2024-06-30",
    "much at once": f"task=chestxray14&state=read&answered=no&sort=patient&{YEAR}",
}  # fmt: skip
SEARCHES = {"found often": "chest 00", "found once": "chest_0012345.png", "found never": "nowhere to be found"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=100_000, help="films in the database")
    parser.add_argument("--repeats", type=int, default=20, help="how often each list is asked for")
    parser.add_argument("--plans", action="store_true", help="print SQLite's plans of each page")
    parser.add_argument("--keep", type=Path, help="folder of the database, made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(instance_path=str(options.keep or folder))
        _fill_once(settings, options.films)
        app = create_app(settings, local=True)
        print(json.dumps({"films": options.films, "cores": os.cpu_count(), **_rank_s(app)}))
        for name, client, address in chain(_asked(app.test_client()), _asked_by_a_department(app)):
            print(json.dumps({"list": name, **_figures(client, address, options.repeats)}), flush=True)
            if options.plans:
                print("\n".join(f"    {line}" for line in _plans(client, address)))
        app.extensions["intake"].close()


def _asked(client: FlaskClient) -> Iterator[Asked]:
    for name, query in LISTS.items():
        yield name, client, f"/films?{query}"
    for name, text in SEARCHES.items():
        word = client.post("/api/v1/searches", json={"text": text}).get_json()["search"]
        yield f"search, {name}", client, f"/films?search={word}"
        yield f"search, {name}, read", client, f"/films?search={word}&state=read"
        if following := _following(client, f"/films?search={word}&state=read"):
            yield f"search, {name}, read, second page", client, following
        yield f"search, {name}, by date, for programs", client, f"/api/v1/films?search={word}"
    yield "the 1,000th page, for programs", client, f"/api/v1/films?limit=50&before={START + SPAN_S / 2}~x"
    upload = {"film": (io.BytesIO(phantom_png(1024)), "phantom.png"), "anyway": "1"}
    film = client.post("/api/v1/films", data=upload).get_json()["id"]  # really read: a drawn one has no report to show
    for name in ("urgent first", "a common finding", "a common state"):
        way = quote(f"sort=urgency&{LISTS[name]}")
        yield f"a film, with the way through: {name}", client, f"/films/{film}?list={way}"
    client.delete(f"/api/v1/films/{film}")


def _asked_by_a_department(app: Flask) -> Iterator[Asked]:
    """The same films at a shared desk, by somebody who signed in."""
    settings = replace(app.extensions["settings"], secret_key="only measured")
    shared = create_app(settings, readers=app.extensions["intake"].readers)
    people: People = shared.extensions["people"]
    if not people.some():
        people.add(ADMIN, PASSWORD, Role.ADMIN)
    client = shared.test_client()
    assert sign_in(client, ADMIN).status_code == 303
    for name in ("urgent first", "a common state"):
        yield f"{name}, signed in", client, f"/films?{LISTS[name]}"
    shared.extensions["intake"].close()


def _following(client: FlaskClient, address: str) -> str:
    """The page that the link of a page leads to; empty on the last one."""
    links = re.findall(r'href="(/films\?[^"]*before=[^"]*)"', client.get(address).text)
    return unescape(links[-1]) if links else ""


def _get(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text[:500]


def _figures(client: FlaskClient, address: str, repeats: int) -> dict[str, float]:
    _get(client, address)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        _get(client, address)
        seconds.append(time.perf_counter() - began)
    worst = sorted(seconds)[int(np.ceil(0.95 * repeats)) - 1]
    return {"median_ms": round(statistics.median(seconds) * 1e3, 1), "p95_ms": round(worst * 1e3, 1)}


def _plans(client: FlaskClient, address: str) -> list[str]:
    """Of every look into the database that the page takes, each once."""
    engine: sa.Engine = client.application.extensions["intake"].store.engine
    with selects(engine) as sent:
        _get(client, address)
    return sorted({*plans(engine, sent)})


def _rank_s(app: Flask) -> dict[str, float]:
    """How long new weights take, in their one statement."""
    began = time.perf_counter()
    with writing(app.extensions["intake"].store.engine) as session:
        set_value(session, RANKED_WITH, {}, 0.0)
        assert rank_all(session)
    return {"rank_all_s": round(time.perf_counter() - began, 2)}


def _fill_once(settings: Settings, count: int) -> None:
    store = open_store(settings)
    if not store.worklist.count(Wanted()):
        random = np.random.default_rng(0)
        for start in range(0, count, BATCH):
            _fill(store, random, range(start, min(start + BATCH, count)))
    store.close()


def _fill(store: Store, random: np.random.Generator, numbers: range) -> None:
    rows: dict[type[Any], list[dict[str, Any]]] = {
        kind: [] for kind in (FilmRow, ReportRow, WorklistRow, FindingAbove, AnswerRow, AnsweredBy)
    }
    for number in numbers:
        for kind, row in _film(random, number):
            rows[kind].append(row)
    with writing(store.engine) as session:
        for kind, each in rows.items():
            if each:
                session.execute(sa.insert(kind), each)


def _film(random: np.random.Generator, number: int) -> Iterator[tuple[type[Any], dict[str, Any]]]:
    """The rows of one drawn film."""
    film_id, taken, name = random.bytes(10).hex(), START + random.random() * SPAN_S, f"chest_{number:07}.png"
    state = str(random.choice(["read", "refused", "failed", "waiting"], p=[0.95, 0.03, 0.01, 0.01]))
    patient, task = f"P-{random.integers(40_000):010}", "chestxray14"
    margins = random.normal(-1.5, 1.2, len(LABELS)) - np.arange(len(LABELS)) / 8
    shares = 1 / (1 + np.exp(-margins))
    above = [k for k in np.argsort(-margins) if margins[k] > 0] if state == "read" else []
    answered = random.random() < 0.1
    yield FilmRow, {
        "id": film_id, "sha256": random.bytes(32).hex(), "name": name, "format": "PNG", "task": task, "upload": film_id,
        "state": state, "error": "", "claim": "", "lease_until": 9e9, "attempts": 1, "gradcam": "",
        "gradcam_written": False, "created_at": taken, "read_at": taken + 1, "thumbnail": random.bytes(4096),
    }  # fmt: skip
    if state == "read":
        top = int(np.argmax(margins))
        findings = [{"label": label, "probability": 0.1} for label in LABELS]
        yield ReportRow, {
            "film_id": film_id, "json": json.dumps({"findings": findings}), "maps": b"", "model_sha256": "",
            "top_label": LABELS[top], "top_probability": float(shares[top]), "above": len(above),
        }  # fmt: skip
    yield WorklistRow, {
        "film_id": film_id, "created_at": taken, "state": state, "task": task,
        "search": normalised(f"{name} {patient}"), "patient": patient, "study": f"S-{random.integers(90_000):010}",
        "study_at": taken,
        "unanswered": int(not answered), "urgency": 0.0,
        "margin": float(margins.max()) if state == "read" else None,
    }  # fmt: skip
    for k in above:
        yield FindingAbove, {"film_id": film_id, "label": LABELS[k], "strength": float(shares[k])}
    if answered:
        by = str(random.choice(PEOPLE))
        yield AnswerRow, {"film_id": film_id, "label": "", "verdict": "", "text": "seen", "by": by, "at": taken}
        yield AnsweredBy, {"film_id": film_id, "by": by}


if __name__ == "__main__":
    main()
