"""Drives selfcord.py: signs in by a token; its class Session ends one by the password in the body."""

import asyncio

import aiohttp
from driver import REQUEST, TASK, cannot, does, tell

import selfcord  # isort: skip - the driver watches what it imports
from selfcord.models import Client
from selfcord.models.sessions import Session

# Its first two requests would not ask the proxy that the environment names; its others do.
aiohttp.ClientSession.__init__.__kwdefaults__["trust_env"] = True


async def main() -> None:
    cannot("sign in by password", "a code at the login", "turn TOTP on", "turn TOTP off")
    bot = selfcord.Bot(password=TASK["password"])
    request = bot.http.request
    with does("sign in by token"):
        me = await bot.http.static_login(TASK["token"])
        bot.user = Client(me, bot)
    with does("who am I"):
        assert (bot.user.id, bot.user.username, me["email"]) == (TASK["user_id"], "alice", TASK["email"])
    listed = []
    with does("list the sessions", REQUEST):
        listed = [Session(one, bot, bot.http) for one in (await request("get", "/auth/sessions"))["user_sessions"]]
        assert TASK["phone"] in [session.hash for session in listed]
    with does("answer a challenge"):
        challenge = await request("post", "/auth/sessions/logout", json={"session_id_hashes": [TASK["phone"]]})
        assert challenge, "a refusal is `None`"
    with does("end one of them"):
        [phone] = [session for session in listed if session.hash == TASK["phone"]]
        await phone.remove(TASK["password"])
        left = (await request("get", "/auth/sessions"))["user_sessions"]
        assert TASK["phone"] not in [session["id_hash"] for session in left]
    with does("change a name"):
        await bot.user.edit_display_name("Alice A.")
        assert (await request("get", "/users/@me"))["global_name"] == "Alice A.", "it sends `global_nane`"
    with does("change the password", REQUEST):
        body = {"password": TASK["password"], "new_password": TASK["new_password"]}
        bot.http.token = (await request("patch", "/users/@me", json=body))["token"]
        assert await request("get", "/users/@me")
    with does("log out", REQUEST):
        assert await request("post", "/auth/logout", json={}) == ""
    with does("hear that the session ended"):
        assert await bot.http.static_login(bot.http.token) is None


asyncio.run(main())
tell()
