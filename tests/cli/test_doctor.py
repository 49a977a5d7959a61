"""`flask doctor` without a gateway: what each check says, what the command ends with. tests/live has the gateways."""

import contextlib
import json

import pytest

from app import create_app
from app.cli.canary import Connection, ProbeError
from app.cli.doctor import check_location, judge_address
from app.cli.mail_check import check_mail
from app.config import load_settings
from app.stores.connection.connect import connect
from app.stores.passkeys import Passkey
from app.stores.users import Change
from app.times import iso
from tests.conftest import ENVIRONMENT
from tests.former_service import FormerService
from tests.servers import redis_at

PLAIN = {"SMTP_URL": "", "PUBLIC_URL": ""}
RANDOM = "wJ0cR4k9ZpQx7tLm2vBn8sHd5fGy3uEa"
DAY = 24 * 3600


@pytest.fixture
def examine(make_app):
    def run(*args, **environment):
        ran = make_app(**(PLAIN | environment)).test_cli_runner().invoke(args=["doctor", *args])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exc_info
        return ran

    return run


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_warnings_alone_end_with_1(examine):
    """This Redis keeps to itself what it does; one line a check, the worst is what the command ends with."""
    ran = examine(SECRET_KEYS=RANDOM)
    assert ran.exit_code == 1
    verdicts = [line.split()[0] for line in ran.stdout.splitlines()]
    assert verdicts == [*["ok"] * 4, *["WARN"] * 3, *["ok"] * 12]
    assert examine().exit_code == 5


def leases_line(ran):
    [line] = [line.split() for line in ran.stdout.splitlines() if line.split()[1] == "leases"]
    return " ".join(line)


@pytest.mark.parametrize(
    ("redis", "lease", "said"),
    [
        ("real", "50ms", "ok leases A lease can be held"),
        ("real", "0", "ok leases VERIFY_LEASE is 0"),
        ("cluster", "50ms", "ok leases A Cluster has no leases"),
    ],
    indirect=["redis"],
)
def test_leases(examine, redis, lease, said):
    """A lease is held for a moment, and nothing is left of it."""
    assert leases_line(examine(VERIFY_LEASE=lease)).startswith(said)
    assert not redis.exists("leases")


def test_why_there_are_no_leases(redis_server):
    """It goes by the error of Redis, which names the right."""
    with redis_at(redis_server.url) as redis:
        rights = {"keys": ["*"], "channels": ["*"], "categories": ["+@all"], "commands": ["-client|tracking"]}
        redis.acl_setuser("nolease", enabled=True, passwords=["+PASSWORD"], **rights)
        url = redis_server.url.replace("unix://", "unix://nolease:PASSWORD@")
        app = create_app(load_settings(ENVIRONMENT | PLAIN | {"VERIFY_LEASE": "50ms"}), connect(url))
        line = leases_line(app.test_cli_runner().invoke(args=["doctor"]))
        redis.flushdb()
        assert line.startswith("WARN leases")
        assert "client|tracking" in line


@pytest.mark.parametrize("redis", ["real"], indirect=True)
def test_all_is_well(examine, redis):
    redis.config_set("appendonly", "yes")
    try:
        ran = examine("--json", SECRET_KEYS=RANDOM)
    finally:
        redis.config_set("appendonly", "no")
    assert ran.exit_code == 0
    assert {json.loads(line)["level"] for line in ran.stdout.splitlines()} == {"ok"}
    assert RANDOM not in ran.output


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_a_stored_secret_under_another_key_is_a_finding(examine, with_totp):
    """Each code would be refused with 503; no key is shown."""

    def find(**environment):
        [line] = [line for line in examine(**environment).stdout.splitlines() if "TOTP secret" in line]
        return line

    assert "FAIL" not in find()
    assert "FAIL" in find(SECRET_KEYS=RANDOM)
    assert "FAIL" not in find(SECRET_KEYS=f"{RANDOM},{ENVIRONMENT['SECRET_KEYS']}")


def test_redis_away_is_told_as_a_finding():
    app = create_app(load_settings(ENVIRONMENT | PLAIN), connect("redis://127.0.0.1:1"))
    ran = app.test_cli_runner().invoke(args=["doctor", "--json"])
    assert ran.exit_code == 3
    assert json.loads(ran.stdout.splitlines()[-1])["check"] == "redis"
    assert ran.stderr == "Error: Nothing more can be looked at.\n"


@pytest.mark.parametrize(("days", "level"), [(1, "ok"), (59, "ok"), (61, "warn")])
def test_the_age_of_the_location_database(city_database, days, level):
    built_at = city_database.stat().st_mtime
    assert check_location(city_database, built_at + days * DAY + 3600).level == level
    assert check_location(None, 0).level == "ok"


@pytest.fixture
def checked():
    """What the check of mail says, of a server at a port or of another route."""

    def check(port=None, mail_to=None, user="", **environment):
        login = f"{user}:hunter22@" if user else ""
        route = {} if port is None else {"SMTP_URL": f"smtp://{login}127.0.0.1:{port}"}
        found = list(check_mail(load_settings(ENVIRONMENT | route | environment), mail_to, 1700000000))
        assert {finding.check for finding in found} == {"mail"}
        assert "hunter22" not in str(found)
        return found

    return check


def test_a_mail_server(scripted, checked):
    """No password is sent in the clear. The name that it is greeted with is told."""
    server = scripted(EHLO="250-here\r\n250 SMTPUTF8")
    [found] = checked(server.port)
    assert (found.level, found.said) == (
        "ok",
        f"The mail server 127.0.0.1:{server.port} answers; it was greeted as keys.example.com.",
    )
    assert server.told == ["ehlo keys.example.com", "quit"]
    [found] = checked(server.port, user="ada")
    assert (found.level, "no STARTTLS" in found.said) == ("fail", True)


def test_a_mail_server_that_does_not_take_addresses_beyond_ascii(scripted, checked):
    """Whoever has one is told nothing, ever; Debian's Exim is like that."""
    answers, lacks = checked(scripted().port)
    assert (answers.level, lacks.level) == ("ok", "warn")
    assert "offers no SMTPUTF8" in lacks.said


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_mail_server_that_is_away(checked, scheme):
    [found] = checked(SMTP_URL=f"{scheme}://127.0.0.1:1")
    assert (found.level, "127.0.0.1:1" in found.said) == ("fail", True)


@pytest.mark.parametrize(
    ("says", "said", "advice"),
    [
        (
            {"EHLO": "421 4.3.2 come later"},
            "not take the test mail: EHLO refused, 421 4.3.2 come later.",
            "for now",
        ),
        ({"EHLO": "501 what?"}, "EHLO refused, 501 what?", "SMTP_EHLO_NAME"),
        ({"greeting": "554 listed"}, "connection refused, 554 listed", "turns this machine away"),
        ({"MAIL": "553 <no-reply@example.com> is not yours"}, "<no-reply@example.com> is not yours", "MAIL_FROM"),
        ({"RCPT": "550 relay <zoe@example.net> not permitted"}, "relay <zoe@example.net> not permitted", "relaying"),
        ({"content": "554 5.7.1 spam"}, 'content refused, 554 5.7.1. The server said: "5.7.1 spam".', "log"),
        ({"MAIL": None}, "MAIL failed, the server hung up", "SMTP_URL"),
    ],
)
def test_a_test_mail_that_is_refused(scripted, checked, says, said, advice):
    """Step, code and the server's own words, which may have addresses: the operator typed them."""
    *steps, found = checked(scripted(**says).port, "zoe@example.net")
    assert (found.level, said in found.said, advice in found.advice) == ("fail", True, True)
    assert {step.level for step in steps} <= {"ok"}


def test_a_test_mail(smtp, examine, redis):
    """Each step is told with its outcome, and the mail is one that asks for no answer."""
    server = smtp()
    ran = examine("--mail-to", "zoë@example.net", "--json", SMTP_URL=server.url, PUBLIC_URL="http://127.0.0.1:1")
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    steps = [row["said"] for row in told if row["check"] == "mail"]
    assert [step.partition(":")[0] for step in steps[:-1]] == ["connection", "EHLO", "MAIL", "RCPT", "content"]
    assert "took a test mail to zoë@example.net" in steps[-1]
    [message] = server.inbox
    assert (str(message["To"]), message["Auto-Submitted"]) == ("zoë@example.net", "auto-generated")
    assert "http://127.0.0.1:1" in message.get_content()


def test_a_test_mail_to_what_is_no_address_or_without_a_server(scripted, checked):
    server = scripted()
    *_, found = checked(server.port, "zoe")
    assert (found.level, "no valid address" in found.said) == ("fail", True)
    assert not any(line.startswith("mail") for line in server.told)
    [found] = checked(mail_to="zoe@example.net", SMTP_URL="")
    assert (found.level, "no test mail was sent" in found.said) == ("fail", True)


def test_mail_into_a_folder(tmp_path, checked):
    [found] = checked(SMTP_URL=f"file:{tmp_path}")
    assert found.level == "warn"
    assert list(tmp_path.iterdir()) == []
    checked(SMTP_URL=f"file:{tmp_path}", mail_to="zoe@example.net")
    assert [path.suffix for path in tmp_path.iterdir()] == [".eml"]
    [found] = checked(SMTP_URL="file:/proc/nowhere")
    assert found.level == "fail"
    [found] = checked(SMTP_URL="")
    assert found.level == "ok"


@pytest.mark.parametrize(
    ("seen", "own", "trusted", "level"),
    [
        ("9.9.9.9", "10.0.0.5", "10.0.0.1", "ok"),
        ("10.0.0.5", "10.0.0.5", "10.0.0.1", "ok"),
        ("10.0.0.1", "10.0.0.5", "", "warn"),
        ("127.0.0.1", "127.0.0.1", "", "warn"),
        ("10.0.0.1", "10.0.0.5", "10.0.0.2", "warn"),
        ("2001:db8::1", "fd00::5", "", "ok"),
        ("192.0.2.77", "10.0.0.5", "", "fail"),
        ("192.0.2.77", "10.0.0.5", "10.0.0.1", "fail"),
        ("192.0.2.77", "10.0.0.1", "10.0.0.1", "warn"),
        (None, "10.0.0.5", "", "warn"),
    ],
)
def test_the_address_that_is_seen(seen, own, trusted, level):
    settings = load_settings(ENVIRONMENT | {"TRUSTED_PROXIES": trusted})
    judged, advice = judge_address(seen, own, settings.trusted_proxies)
    assert (judged, bool(advice)) == (level, level != "ok")


@pytest.mark.parametrize(
    "url",
    [
        *("", "gateway", "ftp://gateway", "http://", "http://[::1", "http://gateway:x", "http://gateway:99999"),
        *("http://\u2100", "http://a\0b", "http://a..b", "http://127.0.0.1:1/\u00e9", "http://127.0.0.1:1/a b"),
    ],
)
def test_a_url_that_leads_nowhere_is_told_of(url):
    with pytest.raises(ProbeError), contextlib.closing(Connection(url)) as connection:
        connection.ask("GET", "/healthz")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://[2001:db8::1]", "2001:db8::1", 80),
        ("https://[2001:db8::a]/auth", "2001:db8::a", 443),
        ("http://[::1]:8080", "::1", 8080),
    ],
)
def test_an_address_of_ipv6_is_asked_at_the_port_that_is_meant(url, host, port):
    with contextlib.closing(Connection(url)) as connection:
        assert (connection._connection.host, connection._connection.port) == (host, port)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_adoption(examine, tmp_path, clock):
    """By which keys and until when, which keys are passed over, and that it is over. Without the setting, nothing."""
    former = FormerService()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [former.jwk(kid="a"), {"kty": "AKP", "kid": "b"}]}), encoding="utf-8")

    def lines(**environment):
        ran = examine("--json", **environment)
        return [one for one in map(json.loads, ran.stdout.splitlines()) if one["check"] == "adoption"]

    assert lines() == []
    endless, passed_over = lines(ADOPT_JWT_KEY=str(path))
    assert endless["said"] == 'Tokens of the service before are adopted without an end, by key 1 "a" (EC P-521).'
    assert (endless["level"], passed_over["level"]) == ("ok", "warn")
    assert passed_over["said"] == 'ADOPT_JWT_KEY: key 2 "b" is passed over: it is of the kind AKP.'
    soon = lines(ADOPT_JWT_KEY=str(path), ADOPT_JWT_UNTIL=iso(clock() + 1))[0]
    assert f"until {iso(clock() + 1)}" in soon["said"]
    over = lines(ADOPT_JWT_KEY=str(path), ADOPT_JWT_UNTIL=iso(clock() - 1))[0]
    assert (over["level"], "adopt count" in over["advice"]) == ("warn", True)


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_where_passkeys_can_be_used(examine, users, alice):
    """And why not. If users have some all the same, they cannot sign in with them."""

    def line(**environment):
        found = [json.loads(line) for line in examine("--json", **environment).stdout.splitlines()]
        [one] = [one for one in found if one["check"] == "passkeys"]
        return one["level"], one["said"]

    told = "Passkeys belong to example.com and can be used at https://keys.example.com, https://chat.example.com."
    usable = {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://chat.example.com"}
    assert line(PUBLIC_URL="https://keys.example.com", **usable) == ("ok", told)
    reasons = {
        "": "PUBLIC_URL is not set",
        "http://127.0.0.1:8000": "The host of PUBLIC_URL is an address",
        "http://[::1]:8000": "The host of PUBLIC_URL is an address",
        "http://keys.example.com": "PUBLIC_URL is neither of https nor http://localhost",
        "https://my_keys": "The host of PUBLIC_URL must be a name of letters",
    }
    for public_url, why in reasons.items():
        level, said = line(PUBLIC_URL=public_url)
        assert (level, said.startswith(f"There are no passkeys: {why}")) == ("ok", True)
    users.change(alice.user_id, Change(add_passkey=Passkey("id", "1", "Key", b"key", 0, (), None, 0)))
    for public_url, why in reasons.items():
        level, said = line(PUBLIC_URL=public_url)
        assert (level, said.startswith(f"Users have passkeys that cannot be used: {why}")) == ("fail", True)


def test_the_file_of_breached_passwords_is_looked_at(make_app, tmp_path):
    """It may have been replaced since the start."""
    path = tmp_path / "breached.txt"
    path.write_text("A" * 40 + ":1\n" + "B" * 40 + ":2\n", encoding="ascii")
    runner = make_app(BREACHED_PASSWORDS=str(path)).test_cli_runner()
    assert "No new password may be in the file" in runner.invoke(args=["doctor"]).stdout
    path.write_text("B" * 40 + ":1\n" + "A" * 40 + ":2\n", encoding="ascii")
    assert "FAIL  breached" in runner.invoke(args=["doctor"]).stdout
