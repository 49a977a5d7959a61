#!/usr/bin/env bash
# discum 1.4.1 (PyPI).
#
# One would guess: after setPassword() the client goes on signed in. The answer to a change of password brings a new
# token, and the old one is over. It is so as well where two-factor authentication is turned on or off, and there discum
# takes the new token over by itself.
#
# What happens: setPassword() gives the answer back and keeps the old token, so the next call is a 401. It keeps the old
# password too, and sends it as the current one with the next change, of the password or of anything else that asks for
# it. switchAccount() with the token of the answer mends the first; for the second there is no call, only a new Client.
#
# Seen:
#   enable2FA()                      200   then info(): 200 with token-2
#   setPassword("second")            200   then info(): 401 with token-2, where the answer said token-3
#   switchAccount("token-3")               then info(): 200 with token-3
#   setPassword("third")             400   it sent "first" as the current password
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check discum==1.4.1

NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import discum


class Account:
    password = "first"
    number = 1
    sent_token = ""
    sent_password = ""

    def token(self):
        return f"token-{self.number}"


account = Account()


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        account.sent_token = self.headers["Authorization"]
        if account.sent_token != account.token():
            return self.say(401, {"message": "401: Unauthorized", "code": 0})
        if self.command == "GET":
            return self.say(200, {"id": "1", "username": "anna"})
        account.sent_password = body["password"]
        if account.sent_password != account.password:
            return self.say(400, {"message": "Invalid Form Body", "code": 50035})
        account.password = body.get("new_password", account.password)
        account.number += 1
        return self.say(200, {"token": account.token()})

    do_GET = do_PATCH = do_POST = answer

    def say(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()

# With the token, the number of the build and the fingerprint given, making a client sends nothing.
client = discum.Client(
    "anna@example.org", "first", secret="JBSWY3DPEHPK3PXP", token="token-1", build_num=1, x_fingerprint="1.a", log=False
)
client.discord = f"http://127.0.0.1:{server.server_port}/api/v9/"


def look(name, answer=None):
    status = answer.status_code if answer is not None else ""
    brought = answer.json()["token"] if answer is not None else account.token()
    then = client.info().status_code
    told = "" if brought == account.sent_token else f", where the answer said {brought}"
    print(f"{name:31}  {status!s:4}  then info(): {then} with {account.sent_token}{told}")
    return status, then, account.sent_token, brought


enabled = look("enable2FA()", client.enable2FA())
changed = look('setPassword("second")', client.setPassword("second"))
client.switchAccount(account.token())
switched = look('switchAccount("token-3")')
again = client.setPassword("third").status_code
print(f'setPassword("third")             {again}   it sent "{account.sent_password}" as the current password')

assert enabled == (200, 200, "token-2", "token-2"), "the behaviour has changed"
assert changed == (200, 401, "token-2", "token-3"), "the behaviour has changed"
assert switched == ("", 200, "token-3", "token-3"), "the behaviour has changed"
assert (again, account.sent_password) == (400, "first"), "the behaviour has changed"
PYTHON
