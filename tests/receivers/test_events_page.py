"""What docs/events.md says to receivers is so, and what it gives them to copy works as it stands there."""

import base64
import json
import re
import shutil
import subprocess
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.stores.events import ALL_TYPES
from app.stores.keys import unprefixed as keys
from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device
from tests.live.example import sign
from tests.live.server import ROOT
from tests.passkeys import CREDENTIALS, add
from tests.receivers.test_node import LIBRARIES
from tests.routes.test_events import RECEIVER, SETTINGS
from tests.servers import missing

PAGE = (ROOT / "docs" / "events.md").read_text()
SECRET, FORMER, OTHER = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
BODY = '{"id":"evt_1","name":"Zoë","number":1.0}'.encode()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def in_python(cases):
    names = {}
    exec(blocks("python")[0], names)
    return [names["is_genuine"](headers, body, secrets) for headers, body, secrets in cases]


def in_javascript(cases):
    if not shutil.which("node"):
        missing("node", "on the PATH")
    told = [[headers, base64.b64encode(body).decode(), secrets] for headers, body, secrets in cases]
    program = blocks("javascript")[0] + (
        "const cases = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(cases.map(([headers, body, secrets]) =>"
        "  isGenuine(headers, Buffer.from(body, 'base64'), secrets))));"
    )
    done = subprocess.run(["node", "-e", program], input=json.dumps(told), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def cases():
    now = time.time()
    right = sign(BODY, SECRET, at=now)
    both = sign(BODY, SECRET, FORMER, at=now)
    signature = right["webhook-signature"]
    yield True, right, BODY, [SECRET]
    yield True, both, BODY, [SECRET]
    yield True, both, BODY, [FORMER]
    yield True, right, BODY, [OTHER, SECRET]
    yield True, right, BODY, [SECRET.rstrip("=")]
    yield True, sign(BODY, SECRET, at=now - 290), BODY, [SECRET]
    yield True, sign(BODY, SECRET, at=now + 290), BODY, [SECRET]
    yield False, sign(BODY, SECRET, at=now - 310), BODY, [SECRET]
    yield False, sign(BODY, SECRET, at=now + 320), BODY, [SECRET]
    yield False, right, BODY, [OTHER]
    yield False, right, BODY, []
    yield False, right, BODY.replace(b"1.0", b"1"), [SECRET]
    yield False, {}, BODY, [SECRET]
    for name, wrong in [
        ("webhook-id", "evt_2"),
        ("webhook-timestamp", str(int(now) - 1)),
        ("webhook-timestamp", str(int(now * 1000))),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "x"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1"),
        ("webhook-signature", signature[3:]),
        ("webhook-signature", signature + "x"),
        ("webhook-signature", "v1," + "é" * 44),
        ("webhook-signature", signature.replace("v1,", "v2,")),
    ]:
        yield False, right | {name: wrong}, BODY, [SECRET]


@pytest.mark.parametrize("verify", [in_python, in_javascript])
def test_the_lines_that_verify_a_signature_know_right_from_wrong(verify):
    expected, *asked = zip(*cases(), strict=True)
    assert verify(list(zip(*asked, strict=True))) == list(expected)


def test_they_are_ten_lines_each():
    for language in ("python", "javascript"):
        lines = [line for line in blocks(language)[0].splitlines() if line and not re.match("import |const {", line)]
        assert len(lines) <= 10


def test_the_lines_with_a_library_verify_a_signature_too():
    [_, line] = blocks("python")
    body, secret = BODY, SECRET
    for headers in (sign(body, secret), sign(body, OTHER)):
        names = {"Webhook": Webhook, "secret": secret, "body": body, "headers": headers}
        if headers == sign(body, secret):
            exec(line, names)
            assert names["event"] == json.loads(body)
        else:
            with pytest.raises(WebhookVerificationError):
                exec(line, names)


def test_the_line_with_a_library_in_javascript_too():
    if not LIBRARIES.is_dir():
        missing("the libraries of tests/receivers.txt", "in var/receivers, see .ci/receivers")
    [_, line, *_] = blocks("javascript")
    program = (
        'const { Webhook } = require("standardwebhooks");'
        "const { secret, headers, body } = JSON.parse(require('fs').readFileSync(0));"
        f"{line} console.log(JSON.stringify(event));"
    )
    for secret, code in ((SECRET, 0), (OTHER, 1)):
        asked = json.dumps({"secret": secret, "headers": sign(BODY, SECRET), "body": BODY.decode()})
        environment = {"NODE_PATH": str(LIBRARIES), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["node", "-e", program], input=asked, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == code
        assert code or json.loads(done.stdout) == json.loads(BODY)


def shape(value):
    """The names and types of what is in an event."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_the_examples_of_events_are_as_events_are(make_app, redis, clock):
    """Each type is made to happen; an example has its fields, all of them, of the same types."""
    app = make_app(**SETTINGS)
    run = app.test_cli_runner()
    alice = Device(app.test_client(use_cookies=False)).register("alice@example.com")
    passkey = add(alice, Authenticator())
    proof = {"X_Discord_MFA_Authorization": alice.prove()}
    path = f"{CREDENTIALS}/{passkey['id']}"
    assert alice.patch(path, {"name": "Phone"}, **proof).status_code == 200
    assert alice.call("DELETE", path, **proof).status_code == 204
    assert alice.patch("/users/@me", {"username": "al", "password": PASSWORD}).status_code == 200
    assert alice.patch("/users/@me", {"password": PASSWORD, "new_password": "a new battery"}).status_code == 200
    alice.password = "a new battery"
    alice.token = alice.post("/auth/login", {"login": alice.email, "password": alice.password}).json["token"]
    alice.enable_totp(clock())
    assert alice.post("/auth/logout").status_code == 204
    for command in (["disable"], ["enable"], ["disable"]):
        assert run.invoke(args=["users", *command, alice.email, *["--yes"] * (command == ["disable"])]).exit_code == 0
    bob = Device(app.test_client(use_cookies=False)).register("bob@example.com")
    assert bob.post("/users/@me/delete", {"password": PASSWORD}).status_code == 204
    clock.advance(15 * 24 * 3600)
    assert run.invoke(args=["users", "tidy"]).exit_code == 0
    happened = [json.loads(row["event"]) for _, row in redis.xrange(keys.events(RECEIVER).waiting)]
    examples = {example["type"]: example for example in map(json.loads, blocks("json")[0].splitlines())}
    assert examples.keys() == ALL_TYPES == {event["type"] for event in happened}
    for kind, example in examples.items():
        shapes = [shape(event) for event in happened if event["type"] == kind]
        assert shape(example) in shapes, (kind, shapes)
