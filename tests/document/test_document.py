"""What the service says of itself: /openapi.json and /docs."""

import re
from html import unescape

import openapi_spec_validator
import pytest

from app.web import verify
from tests.conftest import ENVIRONMENT

SECRETS = {
    "GATEWAY_SECRET": "what-the-gateway-shows-to-be-let-in",
    "METRICS_SECRET": "what-prometheus-shows-to-be-let-in",
}
PAGES = (
    *("pages.", "recovery_pages.", "settings_", "static", "docs.", "activity_pages.", "own_data_pages."),
    *("well_known_pages.", "brand."),
)


@pytest.fixture
def app(make_app):
    return make_app(**SECRETS)


@pytest.fixture
def document(app):
    return app.test_client().get("/openapi.json").json


def operations(document):
    return {(method.upper(), path): it for path, item in document["paths"].items() for method, it in item.items()}


def test_it_is_a_document_of_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document)


def test_it_has_every_route_and_no_other(app, document):
    rules = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(PAGES)
    }
    assert set(operations(document)) == rules | {("GET", verify.PATH)}


def test_without_a_secret_it_has_nothing_that_asks_for_one(make_app):
    document = make_app().test_client().get("/openapi.json").json
    assert [path for path in document["paths"] if path.startswith(("/gateway", "/metrics"))] == [verify.PATH]


def test_it_says_what_the_guards_know(document):
    """Body, session, limit and proof are in it because the view has the guard, not because somebody wrote it down."""
    log_in = operations(document)["POST", "/api/v9/auth/login"]
    assert log_in["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Login"}
    assert (
        f"At most {ENVIRONMENT['RATE_LIMIT_LOGIN']} by address and account (`RATE_LIMIT_LOGIN`)"
        in log_in["description"]
    )
    assert {"400", "413", "429", "503"} < set(log_in["responses"])
    assert "security" not in log_in or log_in["security"] == []

    end = operations(document)["POST", "/api/v9/auth/sessions/logout"]
    assert {"token": []} in end["security"]
    assert {"cookie": [], "proofCookie": []} in end["security"]
    assert set(end["responses"]["401"]["content"]["application/json"]["examples"]) == {"Unauthorized", "MfaRequired"}
    assert "403" in end["responses"]
    assert "403" not in operations(document)["GET", "/api/v9/auth/sessions"]["responses"]
    assert operations(document)["POST", "/gateway/reconcile"]["security"] == [{"gatewaySecret": []}]


def test_it_says_where_a_body_may_be_missing(document):
    without = {"/me/sessions/revoke-all", "/me/sessions/{session_id}", "/api/v9/users/@me/mfa/totp/disable"}
    passkeys = "/api/v9/users/@me/mfa/webauthn/credentials"
    without |= {"/me/proof", "/login/passkey/start", passkeys, f"{passkeys}/{{passkey_id}}"}
    optional = {
        path
        for (_, path), operation in operations(document).items()
        if not operation.get("requestBody", {}).get("required", True)
    }
    assert optional == without


def test_it_says_what_the_schemas_ask(document):
    schemas = document["components"]["schemas"]
    password = schemas["Register"]["properties"]["password"]
    assert (password["minLength"], password["maxLength"]) == (8, 72)
    id_hashes = schemas["LogoutSessions"]["properties"]["session_id_hashes"]
    assert (id_hashes["minItems"], id_hashes["maxItems"]) == (1, 64)
    assert id_hashes["items"]["pattern"] == "^[A-Za-z0-9+/]{43}=$"
    assert schemas["Register"]["properties"]["global_name"]["type"] == ["string", "null"]


def test_every_operation_has_words_and_an_example_of_each_refusal(document):
    for name, operation in operations(document).items():
        assert operation["summary"], name
        for status, described in operation["responses"].items():
            shared = described.get("$ref", "").rpartition("/")[2]
            response = document["components"]["responses"][shared] if shared else described
            assert status < "400" or response["content"]["application/json"]["examples"], (name, status)


@pytest.mark.parametrize(("path", "mimetype"), [("/openapi.json", "application/json"), ("/docs", "text/html")])
def test_it_is_made_once_and_may_be_kept(app, monkeypatch, path, mimetype):
    first = app.test_client().get(path)
    monkeypatch.setattr("app.routes.document.make_document", lambda _: pytest.fail("made again"))
    again = app.test_client().get(path)
    assert first.data == again.data
    assert (again.status_code, again.mimetype) == (200, mimetype)
    assert again.headers["Cache-Control"] == "public, max-age=300"


def test_people_read_the_same(app, document):
    """Every operation with its way, words, refusals and a request to try; nothing inline, nothing of another host."""
    page = unescape(app.test_client().get("/docs").text)
    for (method, path), operation in operations(document).items():
        [part] = re.findall(
            rf'<section class="operation" id="{operation["operationId"]}".*?</section>', page, re.DOTALL
        )
        for text in (
            method,
            path,
            operation["summary"].replace("`", ""),
            *(f">{code}<" for code in operation["responses"]),
        ):
            assert text in part
        assert re.search(r'<pre><code>curl (-X [A-Z]+ )?"\$KEYRACK/', part)
    assert not re.findall(r"<style|<script(?![^>]* src=)| style=", page)
    assert not re.findall(r'(?:src|href)="(?![/#])', page)


def test_a_command_that_people_read_does_what_it_says(app):
    """The curl of a route is the request of its schema: here to register, then to look."""
    page = unescape(app.test_client().get("/docs").text)
    [register] = re.findall(
        r'<pre><code>curl "\$KEYRACK(/api/v9/auth/register)" .*?-d \'(.*?)\'</code>', page, re.DOTALL
    )
    answer = app.test_client().post(register[0], data=register[1], content_type="application/json")
    assert answer.status_code == 201
    assert '<pre><code>curl "$KEYRACK/api/v9/users/@me" \\\n  -H "Authorization: $TOKEN"</code></pre>' in page
    seen = app.test_client().get("/api/v9/users/@me", headers={"Authorization": answer.json["token"]})
    assert seen.status_code == 200
