"""scripts/serve, as a newcomer runs it: with a server on the PATH, and without one."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import requests

from app.serving.listeners import loopback_addresses
from tests.device import PASSWORD
from tests.live.example import Client
from tests.live.gateways import require
from tests.ports import free_port
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
SERVERS = ("redis-server", "valkey-server")
NEEDED = ("app", "docs", "scripts", "wsgi.py", "gunicorn.conf.py", "requirements.txt", "requirements.lock")


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
    for last in ("requirements.lock", "docs/example/requirements.txt"):
        names = ("requirements.lock", "requirements.txt", last)
        (venv / f"{last.replace('/', '-')}.installed").write_text("".join((ROOT / name).read_text() for name in names))
    return tmp_path


@pytest.fixture
def path_without_servers(tmp_path):
    """All commands of the PATH but the servers'."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for command in Path(place).glob("*") if Path(place).is_dir() else ():
            if command.name not in (*SERVERS, "nginx") and not os.path.lexists(folder / command.name):
                (folder / command.name).symlink_to(command)
    return str(folder)


@pytest.fixture
def serve(checkout):
    """Starts scripts/serve, and stops it at the end as Ctrl-C does."""
    running = []

    def start(path, *options, **environment):
        port = free_port()
        log = (checkout / "log").open("w+")
        environment |= {"PATH": path, "HOME": str(checkout), "PORT": str(port), "WEB_CONCURRENCY": "1"}
        process = subprocess.Popen(
            ["bash", "scripts/serve", *options], cwd=checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        running.append((process, log))
        name = "[::1]" if "::1" in environment.get("HOST", "") else "localhost"
        url = f"http://{name}:{port}"
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
    assert told[-1].startswith("Keyrack: http://localhost:")
    for line in (*first.splitlines(), *said.splitlines()):
        assert '"level":"warning"' not in line
        assert '"level":"error"' not in line
    var = checkout / "var"
    written = [var, *var.rglob("*")]
    assert len(written) > 5
    assert [str(name) for name in written if stat.S_IMODE(name.lstat().st_mode) & 0o077] == []


def test_with_the_example_one_command_starts_all_and_ends_all(serve, checkout):
    """The address that it prints leads to the chat; nothing is left, on no port and in no folder."""
    require("nginx")
    start, stop = serve
    ports = {name: str(free_port()) for name in ("GATEWAY_PORT", "APPLICATION_PORT", "SOCKET_PORT")}
    folder = checkout / "tmp"
    folder.mkdir()
    start(os.environ["PATH"], "--example", **ports, TMPDIR=str(folder))
    gateway = f"http://localhost:{ports['GATEWAY_PORT']}"
    wait_until(lambda: "Example: " in (checkout / "log").read_text(), "the example did not start")
    account = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
    token = requests.post(f"{gateway}/api/v9/auth/register", json=account, timeout=60).json()["token"]
    page = requests.get(f"{gateway}/", headers={"Authorization": token}, timeout=60)
    assert (page.status_code, page.url) == (200, f"{gateway}/chat/")
    assert requests.get(page.url, timeout=60).status_code == 401
    socket_url = requests.get(f"{gateway}/api/v9/gateway", headers={"Authorization": token}, timeout=60).json()["url"]
    fields = {"global_name": "Ada", "bio": "Hello"}  # the first is Keyrack's, the second the application's
    me = f"{gateway}/api/v9/users/@me"
    assert requests.patch(me, json=fields, headers={"Authorization": token}, timeout=60).status_code == 200
    answer = requests.get(me, headers={"Authorization": token}, timeout=60).json()
    refused = requests.patch(me, json={"bio": "x" * 191}, headers={"Authorization": token}, timeout=60)
    assert list(refused.json()["errors"]) == ["bio"]
    with Client(socket_url) as client:
        for told in (answer, client.identify(token)["user"]):
            assert (told["username"], told["global_name"], told["bio"]) == ("ada", "Ada", "Hello")
        for name, address in product(("GATEWAY_PORT", "SOCKET_PORT"), loopback_addresses()):
            socket.create_connection((address, int(ports[name])), timeout=30).close()
        delivered = "events are delivered from now on"
        wait_until(lambda: delivered in (checkout / "log").read_text(), "the example is told of nothing")
        said = stop()
    assert f"Example: {gateway}/login?next=/chat/  (Ctrl-C ends it)" in said.splitlines()
    assert list(folder.iterdir()) == []
    for port in ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_without_nginx_the_example_says_what_to_install(checkout, path_without_servers):
    """It looks in /usr/sbin as well, so here that is taken out of the script."""
    script = checkout / "scripts/serve"
    script.write_text(script.read_text().replace("PATH=$PATH:/usr/sbin ", ""))
    ran = subprocess.run(
        ["bash", "scripts/serve", "--example"],
        cwd=checkout,
        env={"PATH": path_without_servers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "The example stands behind nginx, which is not installed (Debian: apt install nginx-light).\n"


HOSTS = {
    "": ("localhost", loopback_addresses()),
    "localhost": ("localhost", loopback_addresses()),
    "127.0.0.1": ("localhost", ["127.0.0.1"]),
    "0.0.0.0": ("localhost", ["127.0.0.1"]),
    "::": ("localhost", loopback_addresses()),
    "[::]": ("localhost", loopback_addresses()),
    "::1": ("[::1]", ["::1"]),
    "[::1]": ("[::1]", ["::1"]),
}


@pytest.mark.parametrize("host", HOSTS)
def test_it_tells_of_a_name_wherever_one_leads_to_it(serve, checkout, host):
    """A passkey lives on a name alone. Of localhost a browser may take either address."""
    name, addresses = HOSTS[host]
    if ":" in host and "::1" not in loopback_addresses():
        pytest.skip("there is no IPv6 here")
    start, stop = serve
    port = start(os.environ["PATH"], HOST=host).rpartition(":")[2]
    wait_until(lambda: "Keyrack: " in (checkout / "log").read_text(), "no address was told")
    for address in addresses:
        socket.create_connection((address, int(port)), timeout=30).close()
    assert f"Keyrack: http://{name}:{port}  (Ctrl-C ends it)" in stop().splitlines()


@pytest.mark.parametrize("address", loopback_addresses())
def test_a_port_that_is_taken_is_one_sentence(checkout, address):
    """The address of somebody else's service is not printed as that of this one."""
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(
            ["bash", "scripts/serve"],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"Nothing can listen on localhost:{port}: Address already in use. PORT changes the port.\n"


def test_a_wrong_setting_is_told_once(checkout):
    """And not as if it were the mails that are at fault."""
    ran = subprocess.run(
        ["bash", "scripts/serve"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "PORT": str(free_port()), "WEB_THREADS": "many"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == "Keyrack cannot start:\n- WEB_THREADS must be a whole number from 1 to 1000\n"


def test_the_example_after_the_tests_installs_only_what_it_adds(checkout):
    """Keyrack's own packages are there, whichever script installed them."""
    locked = "".join((checkout / name).read_text() for name in ("requirements.lock", "requirements.txt"))
    (checkout / ".venv/docs-example-requirements.txt.installed").unlink()
    (checkout / ".venv/locked.installed").write_text(locked)
    ran = subprocess.run(
        ["bash", "-euc", ". scripts/venv docs/example/requirements.txt"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = [line for line in ran.stderr.splitlines() if line.startswith("Installing")]
    assert told == ["Installing what docs/example/requirements.txt names beside that ..."]
    assert (checkout / ".venv/docs-example-requirements.txt.installed").exists()
