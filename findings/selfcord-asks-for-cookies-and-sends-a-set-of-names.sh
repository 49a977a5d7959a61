#!/usr/bin/env bash
# selfcord.py 1.0.3, with trustme 1.2.1 for the certificate (PyPI). Needs Python 3.11: the packages that it pins have no
# wheels for later ones.
#
# One would guess: a client that asks for cookies before it signs in sends those cookies back from then on (RFC 6265,
# 4.2); and where none are set, it goes on without any.
#
# What happens: where "/" sets no cookie, signing in ends with a KeyError about 'set-cookie'. Where it does, none of
# them is sent: the header "Cookie" is what Python writes for a set of three names of the library's own, in braces and
# quotes, in an order that changes from run to run. So what a server ties to its cookie, as a balancer does that sends a
# client to the same server again, is lost at the next request, though the client insists on being given it.
#
# Seen:
#   "/" sets no cookie     KeyError: 'set-cookie'
#   "/" sets three         GET /api/v9/users/@me with Cookie: {'cfr', 'dcf', 'sdc'}
set -euo pipefail

if ! python3.11 -c "import venv" 2> /dev/null; then
    echo "Python 3.11 with venv is needed" >&2
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check selfcord.py==1.0.3 trustme==1.2.1

env -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy SSL_CERT_FILE="$folder/authority.pem" \
    timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import ast
import asyncio
import socket
import ssl
import sys
from pathlib import Path

import trustme
from aiohttp import web
from selfcord import Bot

COOKIES = ["__dcfduid=one", "__sdcfduid=two", "__cfruid=three"]
authority = trustme.CA()
authority.cert_pem.write_to_path(Path(sys.argv[1]) / "authority.pem")
serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("discord.com").configure_cert(serving)


async def look(name, cookies):
    heard = []

    async def first(_):
        return web.Response(headers=[("Set-Cookie", f"{cookie}; Path=/; Secure") for cookie in cookies])

    async def experiments(_):
        return web.json_response({"fingerprint": "1.a"})

    async def me(request):
        heard.append(f"{request.method} {request.path} with Cookie: {request.headers['Cookie']}")
        return web.json_response({"id": "1", "username": "anna"})

    application = web.Application()
    application.router.add_get("/", first)
    application.router.add_get("/api/v9/experiments", experiments)
    application.router.add_get("/api/v9/users/@me", me)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    port = runner.addresses[0][1]
    # The library asks discord.com, and has no setting for another: every name is this server's here.
    socket.getaddrinfo = lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    try:
        await Bot().http.static_login("a-token")
    except KeyError as error:
        heard.append(f"KeyError: {error.args[0]!r}")
    await runner.cleanup()
    print(f"{name:21}  {', '.join(heard)}")
    return heard


# A loop of Python's own: the library installs another, which would not ask the function above for addresses.
with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as loop:
    without = loop.run(look('"/" sets no cookie', []))
    given = loop.run(look('"/" sets three', COOKIES))
assert without == ["KeyError: 'set-cookie'"], "the behaviour has changed"
asked, _, header = given[0].partition(" with Cookie: ")
assert (len(given), asked) == (1, "GET /api/v9/users/@me"), "the behaviour has changed"
assert ast.literal_eval(header) == {"cfr", "dcf", "sdc"}, "the behaviour has changed"
PYTHON
