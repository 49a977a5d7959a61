"""People who sign in on some devices, and prepare the ending of one, in all ways that the API has."""

from collections.abc import Callable
from secrets import token_hex
from typing import Any

import orjson
import requests

from app.tokens import id_hash

_PASSWORD = "the first one"  # noqa: S105 - of made-up people
_API = "/api/v9"
CAP = 3  # sessions of a user
PATIENCE_S = 15


class Away(Exception):
    """The service did not do what was asked now. A person begins anew."""


class Person:
    """Somebody with three sessions.

    Attributes:
        tokens: Of the sessions, the oldest first.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.email = f"{token_hex(8)}@example.com"
        made = self._post(f"{_API}/auth/register", email=self.email, username="somebody", password=_PASSWORD)
        self.tokens = [made["token"]]
        self.user_id = self.log_in()
        self.log_in()

    def log_in(self) -> str:
        told = self._post(f"{_API}/auth/login", login=self.email, password=_PASSWORD)
        self.tokens.append(told["token"])
        return str(told["user_id"])

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        try:
            answer = requests.post(self._url + path, json=body, timeout=PATIENCE_S)
        except requests.RequestException as problem:
            raise Away from problem
        if answer.status_code not in (200, 201):
            raise Away
        return dict(answer.json())


Prepared = tuple[list[str], str]  # the tokens that end, and the request


def _log_out(person: Person) -> Prepared:
    return [person.tokens[0]], _request("POST", f"{_API}/auth/logout", person.tokens[0])


def _log_out_by_cookie_api(person: Person) -> Prepared:
    return [person.tokens[0]], _request("POST", "/logout", person.tokens[0])


def _end_one(person: Person) -> Prepared:
    first, other, _ = person.tokens
    return [other], _request("DELETE", f"/me/sessions/{_session_id(other)}", first)


def _end_some(person: Person) -> Prepared:
    first, *others = person.tokens
    return others, _request("POST", "/me/sessions/revoke", first, ids=[_session_id(other) for other in others])


def _end_others(person: Person) -> Prepared:
    first, *others = person.tokens
    return others, _request("POST", "/me/sessions/revoke-all", first)


def _change_password(person: Person) -> Prepared:
    body = {"password": _PASSWORD, "new_password": "quite another one"}
    return person.tokens, _request("PATCH", f"{_API}/users/@me", person.tokens[0], **body)


def _evict(person: Person) -> Prepared:
    """One more login ends the session that was used least recently: the first, as the others are newer."""
    return [person.tokens[0]], _request("POST", f"{_API}/auth/login", login=person.email, password=_PASSWORD)


WAYS: dict[str, Callable[[Person], Prepared]] = {
    "log out": _log_out,
    "log out by the cookie API": _log_out_by_cookie_api,
    "end one": _end_one,
    "end some": _end_some,
    "end all others": _end_others,
    "change the password": _change_password,
    "evict": _evict,
}


def _request(method: str, path: str, authorization: str = "", **body: Any) -> str:
    raw = orjson.dumps(body).decode() if body else ""
    head = [f"{method} {path} HTTP/1.1", "Host: chaos", f"Content-Length: {len(raw)}"]
    head += [f"Authorization: {authorization}"] if authorization else []
    head += ["Content-Type: application/json"] if body else []
    return "\r\n".join([*head, "", raw])


def _session_id(token: str) -> str:
    return id_hash(token).replace("+", "-").replace("/", "_").rstrip("=")
