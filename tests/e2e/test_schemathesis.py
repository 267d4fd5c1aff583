"""Requests that nobody would think of, made from the venue's own OpenAPI document.

Whatever is sent, no answer is a 5xx, and each is one that the document knows. The venue is this
module's own: among the requests are kill switches and revoked keys.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from nexustrade.gateway.api import endpoints
from nexustrade.gateway.openapi import document
from tests.running import RunningVenue
from tests.unit.gateway.fakes import make_setup

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATOR_TAG = "Admin"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def own_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVenue]:
    running = RunningVenue(tmp_path_factory.mktemp("schemathesis")).start()
    yield running
    assert running.stop() == 0, running.log_path.read_text()


DOCUMENT = document(endpoints(make_setup().gateway))
schema = schemathesis.openapi.from_dict(DOCUMENT)


def test_the_document_is_the_one_that_is_served(own_venue: RunningVenue) -> None:
    served = own_venue.request("GET", "/openapi.json").body
    assert served == json.loads(json.dumps(DOCUMENT))


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_gets_an_answer_that_the_document_knows(
    case: schemathesis.Case[Any], own_venue: RunningVenue
) -> None:
    is_operators = OPERATOR_TAG in (case.operation.tags or [])
    key = own_venue.admin_key if is_operators else own_venue.key
    secret = own_venue.admin_secret if is_operators else own_venue.secret
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    answer = case.call(base_url=own_venue.url, headers=headers, timeout=30)
    case.validate_response(answer, checks=CHECKS, headers=headers)
