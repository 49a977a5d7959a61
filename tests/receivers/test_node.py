"""Receivers as they are on npm: their libraries take what Keyrack sends, and log out whom it says."""

import base64
import json
import subprocess
import threading
from pathlib import Path

import pytest

from tests.receivers.conftest import FIRST_HASH, HASH, WHSEC, event
from tests.servers import missing

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

HERE = Path(__file__).parent
LIBRARIES = HERE.parents[1] / "var" / "receivers" / "node_modules"


@pytest.fixture
def node():
    """Runs a script of this folder, which answers a line of JSON with one."""
    if not LIBRARIES.is_dir():
        missing("the libraries of tests/receivers.txt", "in var/receivers, see .ci/receivers")
    running = []

    def start(script, *arguments):
        command = ["node", str(HERE / script), *arguments]
        process = subprocess.Popen(
            command, env={"NODE_PATH": str(LIBRARIES), "PATH": "/usr/bin:/bin"}, stdin=-1, stdout=-1, text=True
        )
        running.append(process)

        def ask(**question):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        return ask

    yield start
    for process in running:
        with process:  # closes its input, at which it ends
            pass


def deliver(delivering, body):
    delivering.queue.put(body, "7")
    assert delivering.make_worker().deliver_due(threading.Event())


@pytest.mark.parametrize("secrets", [WHSEC[:1], WHSEC], ids=["one", "two"])
@pytest.mark.parametrize("start", ["webhook", "svix"])
def test_libraries_find_the_signature_right(telling, receiver, node, secrets, start):
    """Of a body with "ë" too, by each secret, with and without whsec_."""
    verify = node("verify_webhook.cjs")
    body = event("authenticator.created", authenticator={"id": "1", "type": 1, "name": "Zoës Schlüssel"})
    deliver(telling("webhook", WEBHOOK_SECRETS=",".join(secrets), WEBHOOK_HEADERS=start), body)
    _, headers, got = receiver.got[0]
    libraries = ["svix"] if start == "svix" else ["standardwebhooks", "svix"]
    for library in libraries:
        for secret in (*secrets, *(one.removeprefix("whsec_") for one in secrets)):
            asked = {"library": library, "secret": secret, "headers": headers, "body": got.decode()}
            assert verify(**asked) == {"is": "right"}
        other = "whsec_" + base64.b64encode(bytes(32)).decode()
        refused = verify(library=library, secret=other, headers=headers, body=got.decode())
        assert refused == {"error": "No matching signature found"}


def test_an_application_logs_out_the_session_that_ended(telling, node, key_files):
    """express-openid-connect, whose user is signed in with two sessions: the other one stays."""
    application = node("express_openid_connect.cjs", key_files[0])
    started = application(do="start")
    issuer, url = started["issuer"], started["url"]
    delivering = telling(
        "logout",
        BACKCHANNEL_LOGOUT_URLS=f"{url}/backchannel-logout",
        BACKCHANNEL_LOGOUT_CLIENT_IDS="chat",
        ISSUER=issuer,
    )
    keys = delivering.app.test_client().get("/.well-known/jwks.json").json
    application(do="keys", jwks=keys)
    for browser, sid in (("laptop", HASH), ("phone", FIRST_HASH), ("tablet", FIRST_HASH)):
        assert application(do="sign in", browser=browser, sid=sid, kid=keys["keys"][0]["kid"]) == {"status": 302}
        assert application(do="look", browser=browser) == {"user": "7"}
    delivering.send_test()
    assert application(do="look", browser="laptop") == {"user": "7"}
    deliver(delivering, event())
    assert application(do="look", browser="laptop") == {"user": None}
    assert application(do="look", browser="phone") == {"user": "7"}
    deliver(delivering, event(auth_session_id_hash="x" * 43 + "=", former_auth_session_id_hashes=[FIRST_HASH]))
    assert application(do="look", browser="phone") == {"user": None}
    assert application(do="sign in", browser="laptop", sid="another", kid=keys["keys"][0]["kid"]) == {"status": 302}
    assert application(do="look", browser="laptop") == {"user": "7"}
