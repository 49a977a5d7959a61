#!/usr/bin/env bash
# PyJWT 2.15.1 with cryptography 50.0.2 (PyPI).
#
# One would guess: a key of a key set that names no "alg", which is optional (RFC 7517, 4.4), checks what the caller
# allows: with algorithms=["RS256", "RS512", "PS256"] a token is taken that the RSA key signed with any of the three.
# And it makes no difference whether decode() is given the key that PyJWKClient finds, or that key's ".key", as it takes
# both.
#
# What happens: PyJWK gives a key that names no algorithm one of its own choice, RS256 for every RSA key. Given that
# object, decode() takes RS256 alone, whatever "algorithms" says, and the error speaks of "the key's algorithm 'RS256'",
# which the key never named. Given ".key", all three are taken. So where a service publishes its key without "alg" and
# changes from RS256 to PS256, applications that allow both refuse its tokens, or not, by which of the two they pass.
#
# Seen, with algorithms=["RS256", "RS512", "PS256"]:
#   RS256
#     the key found    taken
#     its .key         taken
#   RS512
#     the key found    Token algorithm 'RS512' does not match the key's algorithm 'RS256'
#     its .key         taken
#   PS256
#     the key found    Token algorithm 'PS256' does not match the key's algorithm 'RS256'
#     its .key         taken
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check PyJWT==2.15.1 cryptography==50.0.2

NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ALLOWED = ["RS256", "RS512", "PS256"]
private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
public = {**RSAAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": "one", "use": "sig"}
del public["key_ops"]
assert sorted(public) == ["e", "kid", "kty", "n", "use"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"keys": [public]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = jwt.PyJWKClient(f"http://127.0.0.1:{server.server_port}/jwks.json")


def read(token, key):
    try:
        jwt.decode(token, key, algorithms=ALLOWED)
    except jwt.PyJWTError as error:
        return str(error)
    return "taken"


for algorithm in ALLOWED:
    token = jwt.encode({"sub": "anna"}, private, algorithm=algorithm, headers={"kid": "one"})
    found = client.get_signing_key_from_jwt(token)
    whole, bare = read(token, found), read(token, found.key)
    print(f"{algorithm}\n  the key found    {whole}\n  its .key         {bare}")
    expected = f"Token algorithm '{algorithm}' does not match the key's algorithm 'RS256'"
    assert bare == "taken", "the behaviour has changed"
    assert whole == ("taken" if algorithm == "RS256" else expected), "the behaviour has changed"
PYTHON
