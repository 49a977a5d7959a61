"""Real clients of the user API, as they are on PyPI, against the service.

Each runs in a process of its own, in an environment of its own (`.ci/clients` makes them under var/clients): their
modules have the same names, and they pin other releases of the same libraries. What they ask of hosts outside is
answered on loopback.
"""

import itertools
import json
import subprocess
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.device import PASSWORD
from tests.live.outside import Outside
from tests.live.server import ROOT, Service
from tests.servers import missing

HERE = Path(__file__).parent / "clients"
ENVIRONMENTS = ROOT / "var" / "clients"
PAGE = ROOT / "docs" / "clients.md"
DRIVERS = {
    "discord.py-self": "drive_discord_py_self.py",
    "discum": "drive_discum.py",
    "selfcord.py": "drive_selfcord.py",
}
NEW_PASSWORD = "another long battery"
HOSTS = "hosts that it asks"


def pinned():
    """The clients of tests/clients.txt, and their releases."""
    lines = (ROOT / "tests" / "clients.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def keyrack(live_server):
    service = Service(live_server.url, TOTP_CLIENT_SECRET_BITS="80")
    yield service
    service.close()


@pytest.fixture(params=DRIVERS)
def name(request):
    if not (ENVIRONMENTS / request.param).is_dir():
        missing(request.param, "in var/clients, see .ci/clients")
    return request.param


@pytest.fixture
def outside(keyrack, tmp_path):
    outside = Outside(keyrack.port, tmp_path)
    yield outside
    outside.close()


def run(name, outside, driver, task):
    """Returns: what the driver told, run by the Python of a client's environment"""
    environment = {
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), outside.url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
        **{"SSL_CERT_FILE": str(outside.ca), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
    }
    done = subprocess.run(
        [ENVIRONMENTS / name / "bin" / "python", "-W", "ignore", driver],
        input=json.dumps(task | {"proxy": outside.url, "ca": str(outside.ca)}),
        env=environment | {"HOME": str(outside.ca.parent), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def told_of(client):
    """What the page's first table says of a client, by feature."""
    lines = itertools.dropwhile(lambda line: line[:1] != "|", PAGE.read_text(encoding="utf-8").splitlines())
    table = itertools.takewhile(lambda line: line[:1] == "|", lines)
    head, _, *rows = [line.strip("| ").split(" | ") for line in table]
    return {cells[0]: cells[head.index(client)] for cells in rows}


def test_a_client_does_what_the_page_says(keyrack, outside, name):
    """Keyrack sees it, too: what was ended is over, the password another, and no request has left the machine."""
    laptop = keyrack.device().register("alice@example.com")
    phone, kept = keyrack.device().log_in(laptop), keyrack.device().log_in(laptop)
    secured = keyrack.device().register("carol@example.com")
    secured.enable_totp(time.time() - 30)  # the codes of now and of the next step are still to be used
    task = {
        **{"email": laptop.email, "user_id": laptop.user_id, "token": laptop.token, "phone": phone.id_hash},
        **{"password": PASSWORD, "new_password": NEW_PASSWORD},
        **{"totp_email": secured.email, "totp_secret": secured.totp_secret},
    }
    told = run(name, outside, HERE / DRIVERS[name], task)
    assert told["left"] == []
    assert outside.unknown == set()
    happened = told["worked"] | {HOSTS: ", ".join(sorted(outside.asked))}
    says = told_of(f"{name} {pinned()[name]}")
    other = [f"{one}: {what}, and not {says.get(one)}" for one, what in happened.items() if says.get(one) != what]
    assert other == [], f"docs/clients.md tells another story of {name}"
    assert says.keys() == happened.keys()
    assert [phone.is_signed_in, kept.is_signed_in, laptop.is_signed_in] == [False] * 3  # the last two by the password
    laptop.password = NEW_PASSWORD
    assert keyrack.device().log_in(laptop).is_signed_in


def test_the_environment_has_the_release_that_is_pinned(name):
    [packages] = (ENVIRONMENTS / name / "lib").glob("python3*/site-packages")
    [installed] = distributions(name=name, path=[str(packages)])
    assert installed.version == pinned()[name]


@pytest.mark.parametrize(
    "leaving", ["socket.create_connection(('192.0.2.1', 80), 1)", "socket.gethostbyname('example.com')"]
)
def test_a_driver_lets_no_connection_leave_the_machine(outside, name, leaving):
    """It tells of each, so that a client whose requests fail there does not pass for one that sent none."""
    driver = outside.ca.parent / "leaving.py"
    driver.write_text(f"import driver, socket\ntry:\n    {leaving}\nexcept OSError:\n    driver.tell()\n")
    [left] = run(name, outside, driver, {})["left"]
    assert "192.0.2.1" in left or "example.com" in left
