"""People who use the service. Each has one account at a time, and does one thing after the other with it."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from random import Random
from threading import Event
from typing import Any

import pyotp

from app.tokens import id_hash
from scripts.faults.accounts import MOST_LOGINS, Account, code_of, current_step
from scripts.faults.api import Api
from scripts.faults.journal import Operation

# Accounts and tokens that readers check.
Known = deque[tuple[str, str]]

_STEPS_OF_AN_ACCOUNT = (30, 80)
_PAUSE_S = 0.03  # at most, between two steps
_AFTER_A_503_S = 0.05  # short, so that the time when the service is back is measured well
_MOST_TOKENS = 8


class Person:
    """A person who uses an account by chance, and now and then abuses it.

    Args:
        random: Decides each step.
        known: Gets each new token.
    """

    def __init__(self, api: Api, random: Random, known: Known, name: str) -> None:
        self._api = api
        self._random = random
        self._known = known
        self._name = name
        self._accounts: list[Account] = []
        self._is_away = False
        endings = [self._log_out, self._end_some, self._end_others]
        self._steps_while_away = [*[self._log_in, self._list] * 6, *endings]
        self._steps = [
            *[self._log_in] * 5,
            *[self._list] * 3,
            *[self._log_out, self._end_some] * 2,
            self._end_others,
            self._look,
            self._verify,
            self._change_password,
            self._change_second_factor,
            self._use_old_password,
            self._use_code_again,
            self._use_foreign_proof,
        ]

    def live(self, stop: Event) -> None:
        while not stop.is_set():
            account = self._register()
            for _ in range(self._random.randrange(*_STEPS_OF_AN_ACCOUNT)):
                if stop.is_set() or account.is_lost:
                    break
                self._choose(account)(account)
                time.sleep(self._random.uniform(0, _PAUSE_S))

    def _choose(self, account: Account) -> Callable[[Account], None]:
        """Choose the next step. While the service is away people change little, since the outcome would be unknown."""
        if not account.tokens:
            return self._log_in
        return self._random.choice(self._steps_while_away if self._is_away else self._steps)

    def take_stock(self) -> None:
        """Check every session and credential that was ever acknowledged."""
        for account in self._accounts:
            for token in (*account.tokens, *account.ended):
                self._call("verify", account, token=token)
            if account.is_lost:
                continue
            account.logins = 0
            self._log_in(account)
            self._use_old_password(account)
            self._use_code_again(account)
            if account.tokens:
                self._call("list", account, token=account.tokens[-1])

    def _call(self, op: str, account: Account, **request: Any) -> Operation:
        operation = self._api.call(op, account.email, **request)
        if operation.status == 401 and operation.code == 0:
            account.note_end(operation.token)
        self._is_away = operation.is_unknown or operation.is_unsent
        if self._is_away:
            time.sleep(_AFTER_A_503_S)
        return operation

    def _note_session_in(self, account: Account, operation: Operation) -> None:
        if token := operation.json.get("token"):
            account.note_session(token)
            self._known.append((account.email, token))

    def _any(self, account: Account) -> str:
        return self._random.choice(account.tokens)

    def _register(self) -> Account:
        """Register an account. It is used even if the outcome is unknown, because it may exist."""
        email = f"{self._name}.{secrets.token_hex(8)}@example.com"
        account = Account(email, [secrets.token_hex(8)])
        made = self._call("register", account, email=email, username="somebody", password=account.password)
        if made.is_unsent:
            account.is_lost = True
            return account
        self._accounts.append(account)
        self._note_session_in(account, made)
        return account

    # Ways in

    def _log_in(self, account: Account) -> None:
        if len(account.tokens) >= _MOST_TOKENS or account.logins >= MOST_LOGINS:
            return
        for password in reversed(account.passwords):
            asked = self._call("login", account, login=account.email, password=password)
            if asked.is_done:
                account.note_right_password(password)
                self._note_session_in(account, asked)
                if "ticket" in asked.json:
                    self._answer(account, asked.json["ticket"])
                return
            if asked.is_unknown or asked.is_unsent:
                return
        account.is_lost = True

    def _answer(self, account: Account, ticket: str) -> None:
        """Finish a login. Now and then send the same code again, which must fail after a success."""
        code = account.next_code(self._random)
        if not code:
            return
        _, text, note = code
        operation = self._call("code_login", account, note=note, ticket=ticket, code=text)
        account.spent = (text, note)
        self._note_session_in(account, operation)
        if self._random.random() < 0.3:
            self._note_session_in(account, self._call("code_login", account, note=note, ticket=ticket, code=text))

    def _use_old_password(self, account: Account) -> None:
        if account.old_password:
            self._call("login", account, login=account.email, password=account.old_password)

    def _use_code_again(self, account: Account) -> None:
        if not (account.secret and account.spent):
            return
        asked = self._call("login", account, login=account.email, password=account.password)
        if ticket := asked.json.get("ticket"):
            text, note = account.spent
            self._note_session_in(account, self._call("code_login", account, note=note, ticket=ticket, code=text))

    # Looking

    def _list(self, account: Account) -> None:
        self._call("list", account, token=self._any(account))

    def _look(self, account: Account) -> None:
        self._call("me", account, token=self._any(account))

    def _verify(self, account: Account) -> None:
        token = self._any(account)
        self._call("verify_proof", account, token=token, proof=account.proofs.get(token, ""))

    def _use_foreign_proof(self, account: Account) -> None:
        """Send a proof with any session. It is good for the one that earned it only."""
        if account.proofs:
            proof = self._random.choice(list(account.proofs.values()))
            self._call("verify_proof", account, token=self._any(account), proof=proof)

    # Endings

    def _log_out(self, account: Account) -> None:
        token = self._any(account)
        if self._call("logout", account, token=token).is_done:
            account.note_end(token)

    def _end_some(self, account: Account) -> None:
        """End some sessions. If the outcome is unknown, ask again now and then."""
        token = self._any(account)
        proof = account.proofs.get(token) or self._prove(account, token)
        if not proof:
            return
        named = self._random.sample(account.tokens, self._random.randint(1, min(3, len(account.tokens))))
        asked = {"session_id_hashes": [id_hash(one) for one in named]}
        operation = self._call("end", account, token=token, proof=proof, **asked)
        if operation.is_unknown and self._random.random() < 0.5:
            operation = self._call("end", account, token=token, proof=proof, **asked)
        if operation.is_done or operation.status == 404:
            account.note_end(*named)
        elif operation.status == 401:
            account.proofs.pop(token, None)

    def _end_others(self, account: Account) -> None:
        token = self._any(account)
        operation = self._call("end_others", account, token=token)
        if operation.code == 60003 and (proof := self._prove(account, token)):
            operation = self._call("end_others", account, token=token, proof=proof)
        if operation.is_done:
            account.note_end(*(other for other in account.tokens if other != token))

    def _prove(self, account: Account, token: str) -> str | None:
        """Earn a proof by a right answer. Now and then give a wrong answer first, or the right one twice."""
        asked = self._call("end", account, token=token, session_id_hashes=[id_hash(token)])
        challenge = asked.json.get("mfa")
        if not challenge:
            return None
        by_password = challenge["methods"][0]["type"] == "password"
        code = ("password", account.password, "") if by_password else account.next_code(self._random)
        if not code:
            return None
        kind, data, note = code
        answer = {"ticket": challenge["ticket"], "mfa_type": kind}
        if self._random.random() < 0.2:
            self._call("finish", account, token=token, data="zzzzzzzz", note="wrong", **answer)
        operation = self._call("finish", account, token=token, data=data, note=note, **answer)
        if not by_password:
            account.spent = (data, note)
        if self._random.random() < 0.3:
            self._call("finish", account, token=token, data=data, note=note, **answer)
        if operation.is_done and token in account.tokens:
            account.proofs[token] = operation.json["token"]
        return account.proofs.get(token)

    # Changes of what one signs in with

    def _change_password(self, account: Account) -> None:
        token, new = self._any(account), secrets.token_hex(8)
        proof = self._proof_if_asked(account, token)
        operation = self._call(
            "change_password", account, token=token, proof=proof, password=account.password, new_password=new
        )
        account.note_new_password(new, operation)
        if operation.is_done:
            account.note_end(*list(account.tokens))
            self._note_session_in(account, operation)

    def _change_second_factor(self, account: Account) -> None:
        token = self._any(account)
        if not account.secret:
            self._enable(account, token)
        elif self._random.random() < 0.5:
            self._renew_codes(account, token)
        else:
            self._disable(account, token)

    def _enable(self, account: Account, token: str) -> None:
        secret, step = pyotp.random_base32(), current_step()
        operation = self._call(
            "enable_totp",
            account,
            token=token,
            note=f"totp {step}",
            **{"password": account.password, "secret": secret, "code": code_of(secret, step)},
        )
        if operation.is_done:
            account.note_end(token)
            self._note_session_in(account, operation)
            account.note_second_factor(secret, [one["code"] for one in operation.json["backup_codes"]], step)
        elif operation.is_unknown:  # if it is on, its backup codes are unknown
            account.note_second_factor(secret, [], step)

    def _disable(self, account: Account, token: str) -> None:
        operation = self._call("disable_totp", account, token=token, proof=self._proof_if_asked(account, token))
        if operation.is_done:
            account.note_end(token)
            self._note_session_in(account, operation)
        if operation.is_done or operation.code == 60002:
            account.note_second_factor("", [], 0)

    def _renew_codes(self, account: Account, token: str) -> None:
        proof = self._proof_if_asked(account, token)
        operation = self._call(
            "renew_codes", account, token=token, proof=proof, password=account.password, regenerate=True
        )
        if operation.is_done:
            if account.codes:
                account.spent = (account.codes[0], "backup")  # dead, as if it was used
            account.codes = [one["code"] for one in operation.json["backup_codes"]]

    def _proof_if_asked(self, account: Account, token: str) -> str:
        if not account.secret:
            return ""
        return account.proofs.get(token) or self._prove(account, token) or ""
