"""Schemathesis asks the running service what its document allows and forbids; each answer is as the document says."""

import itertools

import pytest
import schemathesis
from fakeredis import FakeRedis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    ignored_auth,
    positive_data_acceptance,
    unsupported_method,
)

from app import create_app
from app.config import load_settings
from app.document.openapi_generator import make_document
from tests.conftest import ENVIRONMENT
from tests.live.server import Service

SECRET = "what-the-gateway-and-prometheus-show-to-be-let-in"
SECRETS = {"GATEWAY_SECRET": SECRET, "METRICS_SECRET": SECRET}
_app = create_app(load_settings(ENVIRONMENT | SECRETS), FakeRedis(protocol=2))
with _app.app_context():
    schema = schemathesis.openapi.from_dict(make_document(_app))

bounded = settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the fixture sees to it that it is fresh
)


def excluded_checks(path):
    """Those that cannot hold."""
    # What fits its schema may still be a wrong password, a ticket that is over or an e-mail address that is taken.
    checks = [positive_data_acceptance]
    if path in ("/login", "/register") or path.startswith(("/me/sessions/", "/me/remembered/")):
        # Pages have some of these paths too; a session's id may stand where others have a word.
        checks += [allow_header_conformance, unsupported_method]
    if path == "/logout":
        checks.append(ignored_auth)  # a browser whose session is over already forgets it all the same
    return checks


@pytest.fixture(scope="module")
def whole_service(live_server):
    service = Service(live_server.url, **SECRETS)
    yield service
    service.close()


class Somebody:
    """Signed in, with the password of the document's examples; somebody else after whatever may have ended that."""

    def __init__(self, service) -> None:
        self._service = service
        self._numbers = itertools.count()
        self.renew()

    def renew(self) -> None:
        self._token = self._service.device().register(f"somebody{next(self._numbers)}@example.com").token

    def authorization(self, path: str) -> str:
        needs_secret = path == "/metrics" or (path.startswith("/gateway/") and path != "/gateway/verify")
        return f"Bearer {SECRET}" if needs_secret else self._token


@pytest.fixture
def somebody(whole_service):
    return Somebody(whole_service)


@schema.parametrize()
@bounded
def test_answers_to_nobody(case, whole_service):
    case.call_and_validate(base_url=whole_service.url, excluded_checks=excluded_checks(case.operation.path))


@schema.parametrize()
@bounded
def test_answers_to_somebody(case, whole_service, somebody):
    answer = case.call_and_validate(
        base_url=whole_service.url,
        headers={"Authorization": somebody.authorization(case.operation.path)},
        excluded_checks=excluded_checks(case.operation.path),
    )
    if case.operation.method.upper() != "GET" and answer.status_code < 300:
        somebody.renew()
