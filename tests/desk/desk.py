"""A desk to test: the real application with the real model, its instance folder thrown away afterwards."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from cxr.desk.app import create_app
from cxr.desk.intake import Intake
from cxr.desk.storage import TOKEN
from cxr.desk.tables import Base
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings

Files = tuple[tuple[str, bytes], ...]


class Desk:
    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.intake: Intake = app.extensions["intake"]
        self.client: FlaskClient = app.test_client()

    @property
    def reader(self) -> Reader:
        """Of the default task."""
        return self.intake.readers.of()

    def token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.client.get("/").text)
        assert found
        return found[1]

    def upload(self, *files: tuple[str, bytes], **fields: str) -> TestResponse:
        """POST /films as the form of the upload page sends it."""
        return self.client.post("/films", **_form(files, {"csrf_token": self.token(), **fields}))

    def script_upload(self, *files: tuple[str, bytes]) -> Any:
        """POST /films as the script of the upload page sends it; the JSON of the answer."""
        form = _form(files, {"csrf_token": self.token()})
        return self.client.post("/films", **form, headers={"Accept": "application/json"}).get_json()

    def api_upload(self, name: str, content: bytes, **fields: str) -> TestResponse:
        return self.client.post("/api/v1/films", **_form(((name, content),), fields))

    def films(self) -> list[dict[str, Any]]:
        listed = self.client.get("/api/v1/films?limit=100").get_json()["films"]
        assert isinstance(listed, list)
        return listed

    def stored_files(self) -> list[Path]:
        found = (self.folder / "instance" / "films").rglob("*")
        return [path for path in found if path.is_file() and path.name != TOKEN]

    def all_rows(self, *but: str) -> str:
        """Everything that stands in the database; `but`: tables that are left out."""
        tables = [table for table in Base.metadata.sorted_tables if table.name not in but]
        with self.intake.store.engine.connect() as connection:
            return repr([connection.execute(sa.select(table)).all() for table in tables])

    def heatmap_files(self) -> list[Path]:
        return list((self.folder / "gradcam").rglob("*.png"))

    def keeps_nothing(self) -> bool:
        return not self.films() and not self.stored_files()


@contextmanager
def open_desk(
    folder: Path, reader: Reader | Readers, *, local: bool = True, housekeeping: bool = False, **settings: Any
) -> Iterator[Desk]:
    """Without housekeeping nothing moves but what the test does."""
    chosen = Settings(instance_path=str(folder / "instance"), **settings)
    readers = reader if isinstance(reader, Readers) else Readers.holding(reader)
    with nullcontext() if housekeeping else mock.patch.object(Intake, "start"):
        app = create_app(chosen, local=local, readers=readers, heatmap_folder=folder / "gradcam")
    intake = app.extensions["intake"]
    try:
        yield Desk(app, folder)
    finally:
        intake.close()


def sentence_of(answer: TestResponse) -> str:
    """What an error page says, without its markup."""
    found = re.search(r'<section class="notice bad".*?</section>', answer.text, re.DOTALL)
    assert found, answer.text
    return " ".join(re.sub(r"<[^>]*>", " ", found[0]).split())


def _form(files: Files, fields: dict[str, str]) -> dict[str, Any]:
    # Encoded here, in memory: the test client leaves the temporary file of a large form open.
    films = [FileStorage(io.BytesIO(content), filename=name) for name, content in files]
    boundary, body = encode_multipart({**fields, "film": films})
    return {"data": body, "content_type": f'multipart/form-data; boundary="{boundary}"'}
