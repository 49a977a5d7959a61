"""The service that is fuzzed: its own gunicorn and redis-server, and accounts with live secrets."""

import base64
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyotp
import requests

from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.connection.connect import connect
from app.stores.keys import unprefixed as keys
from app.stores.lifetimes import Lifetimes
from app.stores.links import LinkStore
from app.stores.mail import new_notice_id
from app.stores.scripts import SessionScripts
from app.tokens import id_hash
from tests.conftest import ENVIRONMENT
from tests.live.server import free_port
from tests.servers import RedisServer, wait_until

ROOT = Path(__file__).parents[2]
API = "/api/v9"
GATEWAY_SECRET = "the-gateways-own-secret"  # noqa: S105 - of a service that lives as long as a run
PASSWORD = "correct horse battery"  # noqa: S105 - the same
_SETTINGS = {
    "GATEWAY_SECRET": GATEWAY_SECRET,
    "TRUSTED_PROXIES": "127.0.0.0/8,::1",
    "RATE_LIMIT_FORGOT": "20 per minute",  # low, so that 429 occurs; the other limits are out of the way
    "WEB_CONCURRENCY": "2",
}


class Target:
    """gunicorn with two processes and a log file, and its Redis."""

    def __init__(self, log: Path) -> None:
        self.redis = RedisServer()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._log = log.open("wb")
        environment = ENVIRONMENT | _SETTINGS | {"REDIS_URL": self.redis.url, "PORT": str(self.port)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--log-level", "info", "wsgi:app"],
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._answers, "gunicorn did not start", within_s=60)
        self.workers = self._workers()
        self._store = connect(self.redis.url)
        scripts = SessionScripts(self._store, Lifetimes(30 * 86400, 365 * 86400))
        self._links = Links(LinkStore(self._store, scripts), Keyring(["k" * 32]))

    def _answers(self) -> bool:
        try:
            requests.get(self.url, timeout=5)
        except requests.ConnectionError:
            return False
        return True

    def _workers(self) -> set[str]:
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())

    def lives(self) -> bool:
        """Tell whether all processes are still those of the start."""
        return self.process.poll() is None and self._workers() == self.workers

    def reset_link(self, user_id: str) -> str:
        [version] = self._store.read(("HGET", keys.user(user_id), "secrets_version"))
        return self._links.issue_reset(user_id, version or "0", time.time(), new_notice_id())

    def not_me_link(self, user_id: str, token: str) -> str:
        return self._links.issue_not_me(user_id, id_hash(token), new_notice_id())

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.redis.close()
        self._log.close()


@dataclass
class Account:
    """A user who is signed in, with every secret that a request may carry."""

    user_id: str
    email: str
    token: str
    totp_secret: str = ""
    secrets: list[str] = field(default_factory=list)

    @property
    def id_hash(self) -> str:
        return id_hash(self.token)

    @property
    def never_logged(self) -> list[str]:
        """The secrets that no log line may have. The id_hash is not one: audit lines name sessions by it."""
        return [self.token, *(secret for secret in self.secrets if secret != self.id_hash)]


def new_account(target: Target, number: int, *, with_totp: bool) -> Account:
    """Register an account, and earn one secret of each kind."""
    email = f"fuzz{number}.{time.time_ns()}@example.com"
    answer = _post(target, "/auth/register", {"email": email, "username": f"fuzz{number}", "password": PASSWORD})
    token = answer["token"]
    user_id = base64.b64decode(token.split(".")[0] + "==").decode()
    account = Account(user_id, email, token)
    if with_totp:
        account.totp_secret = pyotp.random_base32()
        code = pyotp.TOTP(account.totp_secret).now()
        body = {"password": PASSWORD, "secret": account.totp_secret, "code": code}
        answer = _post(target, "/users/@me/mfa/totp/enable", body, token)
        account.token = token = answer["token"]
        codes = [code["code"] for code in answer["backup_codes"]]
        login = _post(target, "/auth/login", {"login": email, "password": PASSWORD})
        account.secrets += [*codes, account.totp_secret, login["ticket"], login["login_instance_id"]]
    asked = _post(target, "/auth/sessions/logout", {"session_id_hashes": [account.id_hash]}, token)
    given = {"mfa_type": "backup", "data": account.secrets[0]} if with_totp else {"mfa_type": "password"}
    proof = _post(target, "/mfa/finish", {"ticket": asked["mfa"]["ticket"], "data": PASSWORD} | given, token)
    asked = _post(target, "/auth/sessions/logout", {"session_id_hashes": [account.id_hash]}, token)
    account.secrets += [proof["token"], asked["mfa"]["ticket"], account.id_hash]
    account.secrets += [target.reset_link(user_id), target.not_me_link(user_id, token)]
    return account


def is_live(target: Target, account: Account) -> bool:
    headers = {"Authorization": account.token}
    return requests.get(f"{target.url}/gateway/verify", headers=headers, timeout=60).status_code == 200


def _post(target: Target, path: str, body: dict[str, object], token: str = "") -> dict[str, object]:
    headers = {"Authorization": token} if token else {}
    answer = requests.post(target.url + API + path, json=body, headers=headers, timeout=60)
    try:
        return answer.json()
    except json.JSONDecodeError:
        raise SystemExit(f"{path} answered {answer.status_code}: {answer.text[:200]}") from None
