"""Journals written by hand: what a client that is being told about did, one thing after the other."""

import itertools
from typing import Any

import orjson

from app.tokens import id_hash, issue
from scripts.faults.journal import Operation

EMAIL, PASSWORD = "ada@example.com", "the first one"
USER = "1000"


def token() -> str:
    return issue(USER, 1_000_000)


class Story:
    """An operation is sent a second after the last one was answered, and takes a tenth; `at` and `took` change that."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._now = 0.0
        self._numbers = itertools.count()

    def tell(
        self,
        op: str,
        status: int = 200,
        told: Any = None,
        *,
        at: float | None = None,
        took: float = 0.1,
        token: str = "",
        proof: str = "",
        note: str = "",
        **body: Any,
    ) -> Operation:
        sent_at = self._now + 1 if at is None else at
        answer = "" if told is None else orjson.dumps(told).decode()
        self.operations.append(
            Operation(
                *(str(next(self._numbers)), op, EMAIL, "POST", f"/{op}", sent_at),
                **{"token": token, "proof": proof, "body": body, "note": note},
                **{"answered_at": sent_at + took, "status": status, "answer": answer},
            )
        )
        self._now = max(self._now, sent_at + took)
        return self.operations[-1]

    def pass_by(self, seconds: float) -> None:
        self._now += seconds

    # What is told most

    def registers(self) -> str:
        return self.tell("register", 201, {"token": token()}, password=PASSWORD).json["token"]

    def logs_in(self, password: str = PASSWORD) -> str:
        return self.tell("login", 200, {"user_id": USER, "token": token()}, password=password).json["token"]

    def is_refused(self, op: str, code: int, status: int = 400, /, **more: Any) -> None:
        self.tell(op, status, {"code": code, "message": ""}, **more)

    def says(self, is_live: bool, token: str, **more: Any) -> None:
        """A check of a token is answered."""
        self.tell("verify", 200 if is_live else 401, None if is_live else {"code": 0}, token=token, **more)

    def lists(self, token: str, *live: str) -> None:
        self.tell("list", 200, {"user_sessions": [{"id_hash": id_hash(one)} for one in live]}, token=token)

    def changes_password(self, token: str, new: str, old: str = PASSWORD, status: int = 200) -> str:
        told = {"token": issue(USER, 1_000_000)} if status == 200 else None
        operation = self.tell("change_password", status, told, token=token, password=old, new_password=new)
        return operation.json.get("token", "")

    def enables(self, token: str, *codes: str) -> str:
        told = {"token": issue(USER, 1_000_000), "backup_codes": [{"code": code} for code in codes]}
        return self.tell("enable_totp", 200, told, token=token, secret="S" * 32).json["token"]

    def is_asked_for_code(self) -> str:
        """Who logs in has a ticket."""
        return self.tell("login", 200, {"mfa": True, "ticket": token()}, password=PASSWORD).json["ticket"]

    def is_challenged(self, token: str, **more: Any) -> str:
        told = {"code": 60003, "mfa": {"ticket": issue(USER, 1_000_000)}}
        return self.tell("end", 401, told, token=token, session_id_hashes=[], **more).json["mfa"]["ticket"]

    def proves(self, token: str) -> str:
        """With the password."""
        return self.finishes(token, self.is_challenged(token))

    def finishes(self, token: str, ticket: str) -> str:
        told = {"token": issue(USER, 1_000_000)}
        operation = self.tell("finish", 200, told, token=token, ticket=ticket, mfa_type="password", data=PASSWORD)
        return operation.json["token"]
