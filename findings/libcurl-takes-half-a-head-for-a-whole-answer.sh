#!/usr/bin/env bash
# libcurl 8.23.0, as pycurl 7.49.0 brings it (PyPI).
#
# One would guess: a server that dies in the middle of its answer is an error, wherever that middle is.
#
# What happens: after a status line and half of a header, libcurl reports no error, the status of that line and an empty
# body. After half a body it reports an error. So whoever takes a 200 for "it has arrived" has to see for themselves, in
# the callback for headers, that the empty line behind them came.
#
# Seen:
#   half of the headers: 200
#   half of the body: end of response with 5 bytes missing
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check pycurl==7.49.0

timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import socket
import threading

import pycurl


def answer_of(sent):
    """The status that libcurl tells of a server that sends this and closes; its error, if there is one."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(sent)

    threading.Thread(target=serve, daemon=True).start()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, f"http://127.0.0.1:{listener.getsockname()[1]}/")
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.WRITEFUNCTION, len)
    try:
        curl.perform()
        return curl.getinfo(pycurl.RESPONSE_CODE)
    except pycurl.error as problem:
        return problem.args[1]


half_a_head = answer_of(b"HTTP/1.1 200 OK\r\nContent-Le")
half_a_body = answer_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
print(f"half of the headers: {half_a_head}\nhalf of the body: {half_a_body}")
assert half_a_head == 200, "the behaviour has changed"
assert half_a_body != 200, "the behaviour has changed"
PYTHON
