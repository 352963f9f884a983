"""Schemathesis sends what the document allows, and some that it forbids; answers must be as documented."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, checks

from cxr.reading.reader import Reader
from tests.desk.desk import Desk, open_desk
from tests.phantom import phantom_png

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[Desk]:
    """A local desk with one film, called in this process."""
    with open_desk(tmp_path_factory.mktemp("schema"), reader) as desk:
        yield desk
