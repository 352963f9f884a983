"""Schemathesis sends what the document allows, and some that it forbids; answers must be as documented."""

from collections.abc import Iterator

import pytest
import schemathesis
from argon2 import PasswordHasher
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode, checks

from cxr.desk.openapi import OPERATIONS, path_of
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
EXAMPLES = 12  # of each operation and mode; about a minute in all
KEPT = ("delete",)  # operations that would take the film away from the others
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[Desk]:
    """A local desk, where everybody is an admin; with passwords that are quickly hashed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cxr.desk.people._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        with open_desk(tmp_path_factory.mktemp("schema"), reader) as desk:
            yield desk


@pytest.fixture(scope="module")
def film_id(served: Desk) -> str:
    return str(served.api_upload("a.png", phantom_png(160)).get_json()["id"])


@pytest.fixture(scope="module")
def schema(served: Desk) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", served.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("endpoint", OPERATIONS)
def test_answers_are_as_documented(
    served: Desk, schema: BaseSchema, film_id: str, endpoint: str, mode: GenerationMode
) -> None:
    path, method = _route(served.app, endpoint)
    operation = schema[path][method]

    @bounded
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        if "film_id" in case.path_parameters and mode.is_positive and endpoint.partition(".")[2] not in KEPT:
            case.path_parameters["film_id"] = film_id
        case.call_and_validate(checks=CHECKS)

    try:
        send()
    except Unsatisfiable:
        assert mode.is_negative  # any text is a film's id, and a finding's name
        pytest.skip("nothing can be sent that the document forbids")


def _route(app: Flask, endpoint: str) -> tuple[str, str]:
    rule = next(rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint)
    return path_of(rule), next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"})).lower()
