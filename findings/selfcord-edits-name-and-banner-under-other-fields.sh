#!/usr/bin/env bash
# selfcord.py 1.0.3 (PyPI). Needs Python 3.11: the packages that it pins have no wheels for later ones.
#
# One would guess: edit_display_name("Anna") sets the field "global_name" of the own user, which is what the library
# reads the name from, and edit_banner() sets "banner"; and a change that was not made is told.
#
# What happens: the name goes out as "global_nane", and the banner as "avatar". A server that passes over fields it does
# not know answers 200, and both stay as they were. All four functions of this kind give None, after a refusal too: that
# is printed to standard output, and not raised. edit_bio() and edit_pfp() send what they say.
#
# Seen:
#   edit_display_name("Anna")   PATCH /users/@me           global_nane   answered 200   gives None
#   edit_pfp(...)               PATCH /users/@me           avatar        answered 200   gives None
#   edit_bio("Hello")           PATCH /users/@me/profile   bio           answered 200   gives None
#   edit_banner(...)            PATCH /users/@me/profile   avatar        answered 200   gives None
#   then: global_name None, bio Hello, banner None
set -euo pipefail

if ! python3.11 -c "import venv" 2> /dev/null; then
    echo "Python 3.11 with venv is needed" >&2
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check selfcord.py==1.0.3

NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import asyncio

from aiohttp import web
from selfcord import Bot
from selfcord.models.users import Client

user = {"id": "1", "username": "anna", "global_name": None, "avatar": None}
profile = {"bio": "", "banner": None}
heard = []


def taking(kept):
    async def change(request):
        sent = await request.json()
        kept.update({name: value for name, value in sent.items() if name in kept})
        heard.append((request.method, request.path.removeprefix("/api/v9"), *sent))
        return web.json_response(kept)

    return change


async def picture(_):
    return web.Response(body=b"a picture", content_type="image/png")


async def look(name, call):
    given = await call
    method, path, field = heard[-1]
    print(f"{name:25}   {method} {path:18}   {field:11}   answered 200   gives {given}")
    return path, field, given


async def main():
    application = web.Application()
    application.router.add_patch("/api/v9/users/@me", taking(user))
    application.router.add_patch("/api/v9/users/@me/profile", taking(profile))
    application.router.add_get("/picture.png", picture)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own = f"http://127.0.0.1:{runner.addresses[0][1]}"

    bot = Bot()
    bot.http.base_url = f"{own}/api/v9"
    # What its sign-in, which asks discord.com whatever base_url says, would have set.
    bot.http.token, bot.http.fingerprint, bot.http.cookie = "a-token", "1.a", "a=b"
    client = Client(user, bot)

    named = await look('edit_display_name("Anna")', client.edit_display_name("Anna"))
    avatar = await look("edit_pfp(...)", client.edit_pfp(f"{own}/picture.png"))
    bio = await look('edit_bio("Hello")', client.edit_bio("Hello"))
    banner = await look("edit_banner(...)", client.edit_banner(f"{own}/picture.png"))
    await runner.cleanup()

    print(f"then: global_name {user['global_name']}, bio {profile['bio']}, banner {profile['banner']}")
    assert named == ("/users/@me", "global_nane", None), "the behaviour has changed"
    assert avatar == ("/users/@me", "avatar", None), "the behaviour has changed"
    assert bio == ("/users/@me/profile", "bio", None), "the behaviour has changed"
    assert banner == ("/users/@me/profile", "avatar", None), "the behaviour has changed"
    kept = user["global_name"], profile["bio"], profile["banner"]
    assert kept == (None, "Hello", None), "the behaviour has changed"


asyncio.run(main())
PYTHON
