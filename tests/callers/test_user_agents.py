"""Devices are named as people name them, whatever user agent they send: user_agents.tsv has name, kind, user agent."""

from pathlib import Path

import pytest

from app.callers.client_info import read_client
from app.callers.location import Locations
from app.rules.device_names import kind_of, made_up_name, only_listed

ROWS = [line.split("\t") for line in (Path(__file__).parent / "user_agents.tsv").read_text("utf-8").splitlines()]


def read(user_agent):
    return read_client("", user_agent, None, Locations(None))


@pytest.mark.parametrize(("name", "kind", "user_agent"), ROWS)
def test_each_has_its_name_and_kind(name, kind, user_agent):
    client = read(user_agent)
    assert (made_up_name(client), kind_of(client)) == (name, kind)


def test_mails_name_them_as_pages_do():
    """A name that is only in the user agent is a client's own word, which no mail repeats."""
    differ = {name for name, _, agent in ROWS if made_up_name(only_listed(read(agent))) != name}
    assert differ == {"my-own-client"}


def test_the_list_has_every_kind_and_is_long():
    kinds = {kind for _, kind, _ in ROWS}
    assert kinds == {"desktop", "phone", "tablet", "tv", "console", "headset", "browser", "program", "unknown"}
    assert len({agent for _, _, agent in ROWS}) >= 200
