from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png


@pytest.fixture(scope="session")
def reader() -> Reader:
    """The shipped model, loaded once."""
    return Reader.load()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader) -> Iterator[Desk]:
    """The local desk, as main.py opens it."""
    with open_desk(tmp_path, reader, heatmap_files=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def film_png() -> bytes:
    return phantom_png(256)
