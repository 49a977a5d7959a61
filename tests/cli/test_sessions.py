"""`flask sessions`: the filters take what they say and nobody else, and what they take ends for the reason admin."""

import pytest

from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client
from app.stores.users import Change
from app.tokens import id_in_url
from tests.device import PASSWORD
from tests.web.test_secrets import dump

DAY = 24 * 3600


def hashed(name):
    return name.ljust(43, "x") + "="


@pytest.fixture
def people(users, sessions, clock):
    """Three users: 1 with a laptop in Bern and an old phone in Saba, 2 with a phone in Berlin, 3 with a tablet."""
    began = int(clock())
    for number in "123":
        named = {"email": f"{number}@example.com", "username": f"user{number}", "global_name": None}
        users.create(number, f"{number}@example.com", **named, password_hash="", created_at=0)

    def open_one(user_id, name, **client):
        sessions.open(user_id, hashed(name), int(clock()), Client(**client), "1", 50)

    saba = "The Bottom, Saba, Bonaire, Sint Eustatius, and Saba"
    open_one("1", "old", os="Android", platform="Discord Android", location=saba, ip="2001:db8::7")
    clock.advance(10 * DAY)
    open_one("1", "laptop", os="Linux", platform="Firefox", location="Bern, Bern, Switzerland", ip="192.0.2.1")
    open_one("2", "phone", os="iOS", platform="Discord iOS", location="Berlin, Germany", ip="198.51.100.7")
    open_one("3", "tablet", os="iPadOS", platform="Safari")
    sessions.rename("3", hashed("tablet"), "Kitchen", hashed("tablet"))
    clock.advance(DAY)
    return began


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ([], {"old", "laptop", "phone", "tablet"}),
        (["--user", "1"], {"old", "laptop"}),
        (["--user", "2@EXAMPLE.com"], {"phone"}),
        (["--country", "switzerland"], {"laptop"}),
        (["--country", "Bonaire, Sint Eustatius, and Saba"], {"old"}),
        (["--country", "Berlin"], set()),
        (["--country", "land"], set()),
        (["--cidr", "192.0.2.0/24"], {"laptop"}),
        (["--cidr", "192.0.2.0/24", "--cidr", "2001:db8::/32"], {"laptop", "old"}),
        (["--client", "discord"], {"old", "phone"}),
        (["--client", "KITCHEN"], {"tablet"}),
        (["--client", "firefox on linux"], {"laptop"}),
        (["--unused-since", "5d"], {"old"}),
        (["--begun-before", "12h"], {"old", "laptop", "phone", "tablet"}),
        (["--begun-before", "2d", "--user", "2"], set()),
        (["--begun-before", "2100-01-01T00:00:00+01:00", "--country", "Germany"], {"phone"}),
        (["--begun-before", "2001-01-01"], set()),
        (["--user", "4"], set()),
        (["--user", "4@example.com"], set()),
    ],
)
def test_filters(run, people, args, names, heard, redis):
    """Listed, counted and ended are the same; the rest live on."""
    everything = {"old": "1", "laptop": "1", "phone": "2", "tablet": "3"}
    listed = run("sessions", "list", "--json", *args)
    assert {session["id_hash"] for session in listed.json} == {hashed(name) for name in names}
    assert listed.exit_code == (0 if names else 1)
    end = "end" if args else "end-all"
    before = dump(redis)
    counted = run("sessions", end, "--dry-run", "--json", *args)
    if not (args and args[-1] == "4@example.com"):
        assert counted.json == [{"sessions": len(names), "users": len({everything[name] for name in names})}]
    assert dump(redis) == before
    heard()
    ran = run("sessions", end, "--yes", *args)
    assert ran.exit_code == (0 if names else 1)
    assert heard() == sorted((hashed(name), "admin") for name in names)
    left = {session["id_hash"] for session in run("sessions", "list", "--json").json}
    assert left == {hashed(name) for name in everything.keys() - names}


@pytest.mark.parametrize(
    "args",
    [
        ["end"],
        ["end", "--user", ""],
        ["end-all", "--user", " "],
        ["end-all", "--country", ""],
        ["end-all", "--client", ""],
        ["end", "--cidr", "10.0.0.1/8"],
        ["end", "--unused-since", "soon"],
        ["end", "--begun-before", "30"],
        ["end", "not an id"],
    ],
)
def test_what_could_mean_everybody_is_refused(run, people, redis, args):
    """A variable that is not set in somebody's script must not end all sessions there are."""
    before = dump(redis)
    assert run("sessions", *args, "--yes").exit_code == 2
    assert dump(redis) == before


def test_end_asks_first(run, people, redis):
    before = dump(redis)
    ran = run("sessions", "end", "--client", "discord")
    assert ran.exit_code == 4
    assert "2 sessions of 2 users" in ran.err
    assert dump(redis) == before


def test_end_by_name(run, people):
    """In either spelling of base64; a hash that is not there counts for nothing."""
    ran = run("sessions", "end", hashed("phone"), id_in_url(hashed("old")), hashed("none"), "--yes", "--json")
    assert ran.json == [{"ended": 2}]
    assert run("sessions", "end", hashed("phone"), "--yes").exit_code == 1


def test_what_is_over_is_not_listed(run, people, clock):
    clock.advance(19 * DAY)
    assert {session["id_hash"] for session in run("sessions", "list", "--user", "1", "--json").json} == {
        hashed("laptop")
    }


def test_ending_all_of_a_user_stops_their_logins(run, with_totp, new_device):
    """A password that was right before opens nothing after; with a narrower filter it does."""
    body = {"login": with_totp.email, "password": PASSWORD}

    def finish(args):
        ticket = new_device().post("/auth/login", body).json["ticket"]
        run("sessions", *args, "--yes")
        return new_device().post("/auth/mfa/backup", {"ticket": ticket, "code": with_totp.backup_codes.pop()})

    assert finish(["end", "--user", with_totp.email]).status_code == 200
    assert finish(["end-all", "--user", with_totp.email, "--unused-since", "1h"]).status_code == 200
    assert finish(["end-all", "--user", with_totp.email]).json["code"] == 60006
    assert finish(["end-all"]).json["code"] == 60006


def test_end_all_reaches_who_has_no_record_any_more(run, people, redis):
    """A lost record does not keep sessions out of an operator's reach."""
    redis.delete(keys.user("2"))
    assert run("sessions", "end", "--user", "2", "--yes", "--json").json == [{"ended": 1}]
    redis.delete(keys.user("3"))
    assert run("sessions", "end-all", "--yes", "--json").json == [{"ended": 3}]
    assert run("sessions", "list").exit_code == 1


def test_walks_reach_everybody(run, users, sessions, clock):
    """More users than are read at once, each with sessions beyond what one script ends."""
    for number in range(1, 411):
        named = {"email": "", "username": "", "global_name": None, "password_hash": "", "created_at": 0}
        users.create(str(number), f"{number}@example.com", **named)
        sessions.open(str(number), hashed(str(number)), int(clock()), Client(os="Linux"), "1", 50)
    for number in range(70):
        sessions.open("1", hashed(f"a{number}"), int(clock()), Client(os="Linux"), "1", 100)
    assert run("sessions", "end", "--client", "linux", "--dry-run", "--json").json == [{"sessions": 480, "users": 410}]
    assert run("sessions", "end", "--client", "linux", "--yes", "--json").json == [{"ended": 480}]
    assert users.get("7").credentials_version == "1"
    assert run("sessions", "end-all", "--yes").exit_code == 1
    assert users.get("7").credentials_version == "2"


def test_tidy_forgets_what_is_too_old(run, people, redis, clock, users):
    """Also of users who are not about: their rows, and sessions whose time is over."""
    run("sessions", "end", "--user", "1", "--yes")
    clock.advance(25 * DAY)
    users.change("2", Change(end_others="admin"))
    clock.advance(6 * DAY)
    assert run("sessions", "tidy").exit_code == 0
    assert not redis.exists(keys.ended("1"))
    assert redis.zcard(keys.ended("2")) == 1
    assert (redis.zcard(keys.ended("3")), redis.exists(keys.sessions("3"))) == (1, 0)
    clock.advance(31 * DAY)
    assert run("sessions", "tidy", "--json").exit_code == 0
    assert not redis.exists(keys.ended("2"), keys.ended("3"))
