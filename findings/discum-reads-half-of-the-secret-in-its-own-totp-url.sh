#!/usr/bin/env bash
# discum 1.4.1 (PyPI).
#
# One would guess: calculateTOTPcode() gives the same code for a secret and for an otpauth URL with that secret, as it
# takes either; for the URL that the library's own getTOTPurl() makes of it at any rate.
#
# What happens: of a URL it takes the sixteen letters after "?secret=", however many there are. A secret of 160 bits, as
# RFC 4226 recommends it (section 4), has 32 letters, so the code is that of another secret, and is refused. It
# has six digits all the same, and nothing is said. With the secret alone, and with a URL of sixteen letters, which is
# what the library makes where it is given none, the code is right.
#
# Seen:
#   16 letters, alone              the code of RFC 6238
#   16 letters, getTOTPurl()       the code of RFC 6238
#   32 letters, alone              the code of RFC 6238
#   32 letters, getTOTPurl()       another: that of its first sixteen letters
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check discum==1.4.1

timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import base64
import hmac
import time
from urllib.parse import parse_qs, urlsplit

import discum

PERIOD_S = 30
SHORT = "JBSWY3DPEHPK3PXP"
LONG = "JBSWY3DPEHPK3PXPGEZDGNBVGY3TQOJQ"
# With the token, the number of the build and the fingerprint given, making a client sends nothing.
client = discum.Client("anna@example.org", "first", token="a-token", build_num=1, x_fingerprint="1.a", log=False)


def standard(secret):
    digest = hmac.digest(base64.b32decode(secret), int(time.time() // PERIOD_S).to_bytes(8, "big"), "sha1")
    start = digest[-1] % 16
    return f"{int.from_bytes(digest[start : start + 4], 'big') % 2**31 % 10**6:06}"


def look(name, given, secret):
    if PERIOD_S - time.time() % PERIOD_S < 2:
        time.sleep(2)  # the codes that are compared are then of the same half minute
    code = client.calculateTOTPcode(given)[0]
    right, half = standard(secret), standard(secret[:16])
    told = "the code of RFC 6238" if code == right else "another"
    if code == half != right:
        told += ": that of its first sixteen letters"
    print(f"{name:29}  {told}")
    return told


assert parse_qs(urlsplit(client.getTOTPurl(LONG)).query)["secret"] == [LONG]
seen = [
    look("16 letters, alone", SHORT, SHORT),
    look("16 letters, getTOTPurl()", client.getTOTPurl(SHORT), SHORT),
    look("32 letters, alone", LONG, LONG),
    look("32 letters, getTOTPurl()", client.getTOTPurl(LONG), LONG),
]
assert seen[:3] == ["the code of RFC 6238"] * 3, "the behaviour has changed"
assert seen[3] == "another: that of its first sixteen letters", "the behaviour has changed"
PYTHON
