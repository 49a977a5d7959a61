"""What tests of passkeys share: a device's ways over the API."""

from typing import Any

from tests.authenticator import Authenticator
from tests.device import PASSWORD, Device

CREDENTIALS = "/users/@me/mfa/webauthn/credentials"


def begin(device: Device, **headers: str) -> Any:
    """The ticket and the text of a new passkey, proved by the password, or by a header."""
    answer = device.post(CREDENTIALS, {} if headers else {"password": PASSWORD}, **headers)
    assert answer.status_code == 200, answer.json
    return answer.json


def finish(device: Device, begun: Any, attestation: str, name: str = "Phone") -> Any:
    return device.post(CREDENTIALS, {"ticket": begun["ticket"], "name": name, "credential": attestation})


def add(device: Device, authenticator: Authenticator, name: str = "Phone", **headers: str) -> Any:
    """Add a passkey that an authenticator makes; the device keeps the backup codes, if it is given some."""
    begun = begin(device, **headers)
    answer = finish(device, begun, authenticator.make(begun["challenge"]), name)
    assert answer.status_code == 200, answer.json
    device.backup_codes += [code["code"] for code in answer.json["backup_codes"]]
    return answer.json


def request_of(challenge: dict[str, Any]) -> str:
    """The text for the browser in a challenge."""
    return next(method["challenge"] for method in challenge["methods"] if method["type"] == "webauthn")


def prove(device: Device, authenticator: Authenticator, **lies: Any) -> Any:
    """The answer to a challenge that a passkey answers."""
    asked = device.challenge()
    data = authenticator.get(request_of(asked), **lies)
    return device.post("/mfa/finish", {"ticket": asked["ticket"], "mfa_type": "webauthn", "data": data})


def sign_in(device: Device, authenticator: Authenticator, **lies: Any) -> Any:
    """The answer to a sign-in by a passkey alone."""
    begun = device.post("/auth/passwordless/start").json
    credential = authenticator.get(begun["challenge"], **lies)
    return device.post("/auth/conditional/finish", {"ticket": begun["ticket"], "credential": credential})
