"""Drives discord.py-self: signs in by a token, and knows nothing of sessions."""

import asyncio

from driver import PROXY, REQUEST, TASK, cannot, does, tell

import discord  # isort: skip - the driver watches what it imports
from discord.http import Route


async def main() -> None:
    cannot("sign in by password", "a code at the login", "turn TOTP on", "turn TOTP off")
    client = discord.Client(proxy=PROXY)
    with does("sign in by token"):
        await client.login(TASK["token"])
    with does("who am I"):
        me = client.user
        assert (str(me.id), me.name, me.email) == (TASK["user_id"], "alice", TASK["email"])
    with does("list the sessions", REQUEST):
        listed = await client.http.request(Route("GET", "/auth/sessions"))
        assert TASK["phone"] in [session["id_hash"] for session in listed["user_sessions"]]
    ending, body = Route("POST", "/auth/sessions/logout"), {"session_id_hashes": [TASK["phone"]]}
    proof = {}
    with does("answer a challenge", REQUEST):
        try:
            await client.http.request(ending, json=body)
        except discord.HTTPException as refusal:
            mfa = refusal.json["mfa"]
        answer = {"ticket": mfa["ticket"], "mfa_type": mfa["methods"][0]["type"], "data": TASK["password"]}
        finished = await client.http.request(Route("POST", "/mfa/finish"), json=answer)
        proof = {"X-Discord-MFA-Authorization": finished["token"]}
    with does("end one of them", REQUEST):
        await client.http.request(ending, json=body, headers=proof)
    with does("change a name"):
        await client.user.edit(global_name="Alice A.")
        assert (await client.http.get_me())["global_name"] == "Alice A."
    with does("change the password"):
        await client.user.edit(password=TASK["password"], new_password=TASK["new_password"])
        assert client.http.token != TASK["token"]
        await client.http.get_me()
    with does("log out", REQUEST):
        await client.http.request(Route("POST", "/auth/logout"), json={})
    with does("hear that the session ended"):
        try:
            await client.login(client.http.token)
        except discord.LoginFailure:
            pass
        else:
            raise AssertionError("it is still signed in")
    await client.close()


asyncio.run(main())
tell()
