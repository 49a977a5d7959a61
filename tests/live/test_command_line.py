"""Commands as they are typed: `flask --app wsgi` on a terminal, beside the service that runs."""

import os
import pty
import subprocess
import sys

import pytest

from tests.conftest import ENVIRONMENT
from tests.device import PASSWORD
from tests.live.server import ROOT


@pytest.fixture
def terminal(live_server):
    """Runs a command on a terminal and answers each of its questions; all that was to be seen, and how it ended."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(*args, answers=(), **environment):
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *args]
        near, far = pty.openpty()
        settings = kept | ENVIRONMENT | {"REDIS_URL": live_server.url, "TERM": "dumb"} | environment
        with subprocess.Popen(command, cwd=ROOT, env=settings, stdin=far, stdout=far, stderr=far) as process:
            os.close(far)
            seen, waiting = b"", list(answers)
            while text := _read(near):
                seen += text
                if waiting and seen.endswith(b": "):
                    os.write(near, f"{waiting.pop(0)}\n".encode())
        os.close(near)
        assert not waiting, seen
        return seen.decode(), process.returncode

    return run


def _read(near):
    try:
        return os.read(near, 4096)
    except OSError:  # the other end is closed
        return b""


def test_a_password_is_asked_for_twice_and_not_shown(terminal, service):
    args = ("users", "create", "alice@example.com", "--username", "alice")
    seen, status = terminal(*args, answers=[PASSWORD, PASSWORD])
    assert (status, seen.count("Password"), PASSWORD in seen) == (0, 1, False)
    device = service.device()
    device.email = "alice@example.com"
    assert service.device().log_in(device).is_signed_in


def test_whoever_is_asked_decides(terminal, service, alice):
    """What would end is counted before the question; a no ends nothing."""
    phone = service.device().log_in(alice)
    seen, status = terminal("sessions", "end-all", answers=["n"])
    assert (status, "End 2 sessions of 1 user? [y/N]" in seen) == (4, True)
    assert [device.is_signed_in for device in (alice, phone)] == [True, True]
    seen, status = terminal("sessions", "end-all", answers=["y"])
    assert (status, "2 sessions ended." in seen, "Ending" in seen) == (0, True, True)
    assert [device.is_signed_in for device in (alice, phone)] == [False, False]


def test_a_setting_that_is_wrong_is_told_without_a_traceback(terminal):
    seen, status = terminal("users", "list", SESSION_TTL="soon", SECRET_KEYS="short")
    assert status == 2
    assert "SESSION_TTL must be" in seen
    assert "SECRET_KEYS must be" in seen
    assert "Traceback" not in seen
