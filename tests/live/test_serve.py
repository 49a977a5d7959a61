"""scripts/serve, as a newcomer runs it: with a server on the PATH, and without one."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.device import PASSWORD
from tests.ports import free_port
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
SERVERS = ("redis-server", "valkey-server")
NEEDED = ("app", "scripts", "wsgi.py", "gunicorn.conf.py", "requirements.txt", "requirements.lock")


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the tests' own virtual environment, as scripts/venv would have made it."""
    for name in NEEDED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    venv = tmp_path / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.endswith(".installed"):
            (venv / part.name).symlink_to(part)
    names = ("requirements.lock", "requirements.txt", "requirements.lock")
    (venv / "requirements.lock.installed").write_text("".join((ROOT / name).read_text() for name in names))
    return tmp_path


@pytest.fixture
def path_without_servers(tmp_path):
    """All commands of the PATH but the servers'."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for command in Path(place).glob("*") if Path(place).is_dir() else ():
            if command.name not in SERVERS and not os.path.lexists(folder / command.name):
                (folder / command.name).symlink_to(command)
    return str(folder)


@pytest.fixture
def serve(checkout):
    """Starts scripts/serve, and stops it at the end as Ctrl-C does."""
    running = []

    def start(path):
        port = free_port()
        log = (checkout / "log").open("w+")
        environment = {"PATH": path, "HOME": str(checkout), "PORT": str(port), "WEB_CONCURRENCY": "1"}
        process = subprocess.Popen(
            ["bash", "scripts/serve"], cwd=checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        running.append((process, log))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(process, url, log), "scripts/serve did not start", within_s=120)
        return url

    def stop():
        process, log = running.pop()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.seek(0)
        said = log.read()
        log.close()
        return said

    yield start, stop
    while running:
        stop()


def is_ready(process, url, log):
    assert process.poll() is None, Path(log.name).read_text()
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.parametrize("is_on_path", [True, False])
def test_it_keeps_its_data_from_run_to_run_and_from_every_other_user(serve, checkout, path_without_servers, is_on_path):
    start, stop = serve
    path = os.environ["PATH"] if is_on_path else path_without_servers
    account = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
    assert requests.post(f"{start(path)}/api/v9/auth/register", json=account, timeout=60).status_code == 201
    first = stop()
    login = {"login": account["email"], "password": PASSWORD}
    assert requests.post(f"{start(path)}/api/v9/auth/login", json=login, timeout=60).status_code == 200
    said = stop()
    expected = {shutil.which(name) and name for name in SERVERS} if is_on_path else {"valkey-server"}
    assert any(f"Store: {name} with its data in var/." in said for name in expected)
    told = [line for line in said.splitlines() if not line.startswith("{")]
    assert told[-1].startswith("Keyrack: http://127.0.0.1:")
    for line in (*first.splitlines(), *said.splitlines()):
        assert '"level":"warning"' not in line
        assert '"level":"error"' not in line
    var = checkout / "var"
    written = [var, *var.rglob("*")]
    assert len(written) > 5
    assert [str(name) for name in written if stat.S_IMODE(name.lstat().st_mode) & 0o077] == []
