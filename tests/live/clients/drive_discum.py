"""Drives discum: signs in by password, with a code of its own, and sets TOTP up; knows nothing of sessions."""

from driver import API, REQUEST, TASK, code, does, tell

import discum  # isort: skip - the driver watches what it imports
from discum.RESTapiwrap import Wrapper


def client(**login: str) -> discum.Client:
    return discum.Client(log={"console": False, "file": False}, **login)


class Own:
    """discum finds the caller of its request function by the `self` of the frame above."""

    def request(self, made: discum.Client, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        answer = Wrapper.sendRequest(made.s, method, f"{API}{path}", body, log=False)
        return answer.status_code, answer.json() if answer.content else {}


request = Own().request

with does("sign in by token"):
    assert client(token=TASK["token"]).info().json()["id"] == TASK["user_id"]

bot = None
with does("sign in by password"):
    bot = client(email=TASK["email"], password=TASK["password"])
    assert bot.s.headers["Authorization"] != TASK["token"]
with does("who am I"):
    me = bot.info(with_analytics_token=True).json()
    assert (me["id"], me["username"], me["email"]) == (TASK["user_id"], "alice", TASK["email"])
with does("list the sessions", REQUEST):
    _, listed = request(bot, "get", "/auth/sessions")
    assert TASK["phone"] in [session["id_hash"] for session in listed["user_sessions"]]
with does("answer a challenge", REQUEST):
    status, told = request(bot, "post", "/auth/sessions/logout", {"session_id_hashes": [TASK["phone"]]})
    assert (status, told["code"]) == (401, 60003)
    answer = {"ticket": told["mfa"]["ticket"], "mfa_type": "password", "data": TASK["password"]}
    assert request(bot, "post", "/mfa/finish", answer)[1]["token"]
with does("end one of them", REQUEST):
    body = {"session_id_hashes": [TASK["phone"]], "password": TASK["password"]}
    assert request(bot, "post", "/auth/sessions/logout", body)[0] == 204
with does("change a name"):
    assert bot.setUsername("alice_a").json()["username"] == "alice_a"
with does("change the password"):
    changed = bot.setPassword(TASK["new_password"])
    assert changed.status_code == 200
    assert bot.info().status_code == 401  # it keeps the old token, until it is given the new one
    bot.switchAccount(changed.json()["token"])
    assert bot.info().status_code == 200
with does("log out"):
    assert bot.logout().status_code == 204
with does("hear that the session ended"):
    assert bot.info().status_code == 401
    assert bot.checkToken(bot.s.headers["Authorization"]) == (False, False)

secured = None
with does("a code at the login"):
    secured = client(email=TASK["totp_email"], password=TASK["password"], secret=TASK["totp_secret"])
    assert secured.info().json()["mfa_enabled"]
with does("turn TOTP off"):
    assert secured.disable2FA(code(TASK["totp_secret"], 1), clearSecretAfter=True).status_code == 200
    assert not secured.info().json()["mfa_enabled"]
with does("turn TOTP on"):
    answer = secured.enable2FA()  # with a secret that it makes
    assert len(answer.json()["backup_codes"]) == 10
    assert secured.info().json()["mfa_enabled"]
tell()
