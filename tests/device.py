"""A device as a client of the API: it keeps its token and answers challenges, in process or over a socket."""

from typing import Any

import pyotp

API = "/api/v9"
PASSWORD = "correct horse battery"


class Device:
    """Calls the API with its headers and its token.

    client   Flask's test client, or tests.live.server.Http: what both have is open(), and answers with .json
    secrets  every secret that it was issued or sent
    """

    def __init__(self, client: Any, headers: dict[str, str] | None = None) -> None:
        self._client = client
        self._headers = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        self.email = ""
        self.password = PASSWORD
        self.token = ""
        self.user_id = ""
        self.totp_secret = ""
        self.backup_codes: list[str] = []
        self.secrets: list[str] = []

    def call(self, method: str, path: str, json: Any = None, token: str | None = None, **headers: str) -> Any:
        """Keyword arguments are headers, with _ for -."""
        own = {"Authorization": token if token is not None else self.token}
        sent = self._headers | own | {name.replace("_", "-"): value for name, value in headers.items()}
        path = path if path.startswith("/gateway") else API + path
        answer = self._client.open(path, method=method, json=json, headers={k: v for k, v in sent.items() if v})
        self._note(json)
        self._note(answer.json)
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, json: Any = None, **headers: str) -> Any:
        return self.call("POST", path, json, **headers)

    def patch(self, path: str, json: Any = None, **headers: str) -> Any:
        return self.call("PATCH", path, json, **headers)

    def register(self, email: str) -> "Device":
        body = {"email": email, "username": email.split("@", maxsplit=1)[0], "password": self.password}
        answer = self.post("/auth/register", body)
        assert answer.status_code == 201, answer.json
        return self._signed_in(email, answer.json["token"])

    def log_in(self, like: "Device") -> "Device":
        """Sign in to the account of another device, with a backup code where a second factor is on."""
        self.password = like.password
        answer = self.post("/auth/login", {"login": like.email, "password": like.password})
        assert answer.status_code == 200, answer.json
        if answer.json.get("mfa"):
            answer = self.post("/auth/mfa/backup", {"ticket": answer.json["ticket"], "code": like.backup_codes.pop()})
            assert answer.status_code == 200, answer.json
        return self._signed_in(like.email, answer.json["token"])

    def enable_totp(self, at: float) -> Any:
        """Turn TOTP on with the code of a moment; the device goes on under its new token."""
        secret = pyotp.random_base32()
        body = {"password": self.password, "secret": secret, "code": pyotp.TOTP(secret).at(int(at))}
        answer = self.post("/users/@me/mfa/totp/enable", body)
        assert answer.status_code == 200, answer.json
        self.token, self.totp_secret = answer.json["token"], secret
        self.backup_codes = [code["code"] for code in answer.json["backup_codes"]]
        self.secrets.append(secret)
        return answer

    def code(self, at: float) -> str:
        return pyotp.TOTP(self.totp_secret).at(int(at))

    @property
    def id_hash(self) -> str:
        """Of the session this device has, as the server lists it."""
        listed = self.get("/auth/sessions?extended=true").json["user_sessions"]
        return next(session["id_hash"] for session in listed if session["is_current"])

    def id_hashes(self) -> list[str]:
        answer = self.get("/auth/sessions")
        assert answer.status_code == 200, answer.json
        return [session["id_hash"] for session in answer.json["user_sessions"]]

    def challenge(self) -> dict[str, Any]:
        """A fresh step-up challenge, got by asking to end a session that does not exist."""
        answer = self.post("/auth/sessions/logout", {"session_id_hashes": ["A" * 43 + "="]})
        assert answer.status_code == 401, answer.json
        assert answer.json["code"] == 60003
        return answer.json["mfa"]

    def prove(self) -> str:
        """A proof, earned with a backup code where a second factor is on, else with the password."""
        ticket = self.challenge()["ticket"]
        given = ("backup", self.backup_codes.pop()) if self.backup_codes else ("password", self.password)
        answer = self.post("/mfa/finish", {"ticket": ticket, "mfa_type": given[0], "data": given[1]})
        assert answer.status_code == 200, answer.json
        return answer.json["token"]

    def end(self, id_hashes: list[str], proof: str | None = None) -> Any:
        proof = self.prove() if proof is None else proof
        return self.post("/auth/sessions/logout", {"session_id_hashes": id_hashes}, X_Discord_MFA_Authorization=proof)

    @property
    def is_signed_in(self) -> bool:
        return self.get("/users/@me").status_code == 200

    def _signed_in(self, email: str, token: str) -> "Device":
        self.email, self.token = email, token
        self.user_id = self.get("/users/@me").json["id"]
        return self

    def _note(self, value: Any) -> None:
        for name, held in value.items() if isinstance(value, dict) else ():
            if name in ("token", "ticket", "password", "new_password", "code", "data", "secret"):
                self.secrets.append(str(held))
            for deeper in held if isinstance(held, list) else [held]:
                self._note(deeper)


def errors(answer: Any, *path: str) -> list[str]:
    """The codes that an invalid form (50035) has at a path."""
    assert answer.status_code == 400, answer.json
    assert answer.json["code"] == 50035, answer.json
    place = answer.json["errors"]
    for name in path:
        place = place[name]
    return [error["code"] for error in place["_errors"]]
