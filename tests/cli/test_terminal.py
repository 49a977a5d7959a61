"""What operators do is on a lasting record, by their name."""

import json
import socket

import pytest

from app.cli import terminal

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)


@pytest.fixture
def system_log(tmp_path, monkeypatch):
    """The system's log, as a socket in the place of /dev/log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(5)
        monkeypatch.setattr(terminal, "_SYSTEM_LOG", tmp_path / "log")
        yield listener


def test_audit_lines_go_to_the_system_log_as_json(run, alice, system_log):
    ran = run("users", "disable", alice.email, "--yes")
    lines = [system_log.recv(65536).decode() for _ in ran.audit]
    assert len(lines) == 3
    assert {line.partition(">")[2].partition(" ")[0] for line in lines} == {"keyrack:"}
    told = [json.loads(line.partition(" ")[2]) for line in lines]
    assert [(line["event"], line["actor"]) for line in told] == [(line["event"], line["actor"]) for line in ran.audit]


def test_where_there_is_no_system_log_they_are_told_all_the_same(run, alice, bob, tmp_path, monkeypatch):
    """None at all, or a socket that nobody listens to any more."""
    monkeypatch.setattr(terminal, "_SYSTEM_LOG", tmp_path / "log")
    assert len(run("users", "disable", alice.email, "--yes").audit) == 3
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    assert len(run("users", "disable", bob.email, "--yes").audit) == 3


def test_on_a_terminal_they_are_in_the_system_log_alone(run, alice, system_log, monkeypatch):
    """Else they would be written into the bar that shows the progress."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    assert run("users", "disable", alice.email, "--yes").audit == []
    assert json.loads(system_log.recv(65536).decode().partition(" ")[2])["event"] == "sessions_ended"


@pytest.mark.parametrize(
    ("environment", "name"),
    [({"KEYRACK_OPERATOR": "ada", "SUDO_USER": "bob"}, "ada"), ({"SUDO_USER": "bob"}, "bob")],
)
def test_the_name_of_the_operator(run, alice, monkeypatch, environment, name):
    """In a container nobody has a login, so each would be the container's user."""

    def no_login():
        raise OSError

    monkeypatch.setattr("os.getlogin", no_login)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert {line["actor"]["operator"] for line in run("users", "disable", alice.email, "--yes").audit} == {name}
