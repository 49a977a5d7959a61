"""`flask doctor`: checks of the location database, adoption and the gateway.

The checks of secrets and Redis: serving/checkup.py. The check of mail: cli/mail_check.py, of who delivers:
cli/queue_checks.py.
The user who signs in through the gateway: cli/canary.py.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

import click
import maxminddb
from flask.cli import with_appcontext

from app import times
from app.callers.location import is_private
from app.cli.canary import PRETENDED, Canary, Connection, ProbeError, find_seen_address, throw_away_user, try_paths
from app.cli.mail_check import check_mail
from app.cli.queue_checks import check_leftovers, check_queues, check_signing
from app.cli.terminal import PARTLY, RedisAway, SingleCommand, as_json, counted, iso, say, say_json
from app.config import Settings
from app.rules.adoption_keys import AdoptionKeys
from app.rules.breached_passwords import problem_of
from app.rules.relying_party import why_none
from app.serving.checkup import (
    Finding,
    Level,
    check_keys,
    check_leases,
    check_redis,
    check_rights,
    check_secrets,
    fail,
    ok,
    warn,
)
from app.setting_parsers import Networks
from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.web.front import API
from app.web.services import Services, services

_OLD_DATABASE_DAYS = 60
_USERS_TRIED = 1000
_OWN_PATH = f"{API}/users/@me"


@click.command(cls=SingleCommand)
@click.option("--through", metavar="URL", help="The gateway: a throw-away user signs in through it.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="PATH",
    help="A path behind the gateway that answers 2xx to a user who is signed in; may be given again.",
)
@click.option("--mail-to", metavar="ADDRESS", help="Send a test mail there, and say how each step went.")
@as_json
@with_appcontext
def doctor(through: str | None, paths: tuple[str, ...], mail_to: str | None, as_json: bool) -> None:
    """Check settings, Redis, mail and the gateway. Each check prints one line, with what to do.

    With --through a throw-away user signs in through the gateway. Once its session has ended, every hop must refuse it.
    """
    levels = set()
    try:
        for finding in _findings(through, (_OWN_PATH, *paths), mail_to):
            levels.add(finding.level)
            _show(finding, as_json)
    except StoreError as problem:
        said = f"Redis is away or refuses: {describe(problem)}."
        _show(fail("redis", said, "Look at REDIS_URL and at the server; nothing works without it."), as_json)
        raise RedisAway("Nothing more can be looked at.") from None
    context = click.get_current_context()
    if "fail" in levels:
        context.exit(PARTLY)
    if "warn" in levels:
        context.exit(1)


def _show(finding: Finding, as_json: bool) -> None:
    if as_json:
        say_json(asdict(finding))
        return
    mark = {"ok": " ok ", "warn": "WARN", "fail": "FAIL"}[finding.level]
    say(mark, f"{finding.check:<15}", f"{finding.said} {finding.advice}")


def _findings(through: str | None, paths: tuple[str, ...], mail_to: str | None) -> Iterator[Finding]:
    wired = services()
    settings = wired.settings
    yield ok("settings", "All settings can be read.")
    yield from check_secrets(settings)
    yield from check_redis(wired.look_at_redis(), settings.redis_wait_replicas)
    yield check_rights(wired.find_missing_rights())
    yield check_leases(settings.verify_lease_s, wired.why_no_lease())
    yield check_keys(wired.find_foreign_keys())
    yield _check_deletions(wired)
    yield _check_totp_secret(wired)
    yield _check_passkeys(wired)
    yield check_breached(settings.breached_passwords)
    yield check_location(settings.geoip_database, wired.clock())
    yield from check_adoption(settings.adopt_jwt_key, settings.adopt_jwt_until, wired.clock())
    yield from check_mail(settings, mail_to, wired.clock())
    yield from check_queues(wired.queues, wired.clock())
    yield from check_leftovers(wired.leftovers())
    yield from check_signing(wired.signing)
    address_url = settings.public_url or through
    if not address_url:
        yield ok("gateway", "The gateway was not checked: neither --through nor PUBLIC_URL is given.")
        return
    with throw_away_user(wired) as canary:
        yield _check_address(canary, address_url, settings)
        if through:
            yield _check_ended_session(wired, canary, through, paths)


def _check_totp_secret(wired: Services) -> Finding:
    """Check that SECRET_KEYS can read what was stored, by the first TOTP secret among some users."""
    some = islice(wired.operators.users(), _USERS_TRIED)
    user = next((user for user in some if user.totp_secret), None)
    if user is None:
        return ok("totp secret", "No stored TOTP secret was found to try.")
    if not wired.second_factor.can_read_secret(user):
        advice = "Name the secret under which it was stored among them; until then codes and backup codes are refused."
        return fail("totp secret", "SECRET_KEYS cannot read a stored TOTP secret.", advice)
    return ok("totp secret", "SECRET_KEYS can read a stored TOTP secret.")


def _check_deletions(wired: Services) -> Finding:
    """Say whether accounts are deleted that are due, and when that was last done."""
    overdue = wired.leaving.overdue()
    last = (
        f"last came to its end {times.ago(overdue.tidied_at, wired.clock())}" if overdue.tidied_at else "has never run"
    )
    if not overdue.users:
        return ok("deletions", f"No account is overdue for its deletion. `flask users tidy` {last}.")
    said = f"{counted(overdue.users, 'account')} should have been deleted a day ago. `flask users tidy` {last}."
    return warn("deletions", said, "Run it daily, by a timer.")


def _check_passkeys(wired: Services) -> Finding:
    """Say where passkeys can be used. Where they cannot, look for users who have some, and could not sign in."""
    party = wired.passkeys.party
    if party:
        at = ", ".join(party.origins)
        return ok("passkeys", f"Passkeys belong to {party.id} and can be used at {at}.")
    why = why_none(wired.settings.public_url)
    user = next((user for user in islice(wired.operators.users(), _USERS_TRIED) if user.passkeys), None)
    if user is None:
        return ok("passkeys", f"There are no passkeys: {why}")
    advice = "Users without another factor cannot sign in until PUBLIC_URL or WEBAUTHN_RP_ID has its former name again."
    return fail("passkeys", f"Users have passkeys that cannot be used: {why}", advice)


def check_breached(path: Path | None) -> Finding:
    if path is None:
        advice = "BREACHED_PASSWORDS names a file of those that were."
        return ok("breached", f"New passwords are not looked up among those of data leaks. {advice}")
    problem = problem_of(path)
    if problem:
        advice = "Until it is mended, new passwords are not looked up, or not all of them are found."
        return fail("breached", f"BREACHED_PASSWORDS {problem}.", advice)
    return ok("breached", "No new password may be in the file of BREACHED_PASSWORDS.")


def check_location(database: Path | None, now: float) -> Finding:
    if database is None:
        return ok("location", "GEOIP_DATABASE is not set: sessions have no place.")
    with maxminddb.open_database(database) as reader:
        days = int((now - reader.metadata().build_epoch) / (24 * 60 * 60))
    said = f"The location database is {days} days old."
    if days > _OLD_DATABASE_DAYS:
        return warn("location", said, "Fetch a new one: addresses move.")
    return ok("location", said)


def check_adoption(keys: AdoptionKeys | None, until: float | None, now: float) -> Iterator[Finding]:
    """Say by which keys tokens of the service before are adopted, if they are."""
    if keys is None:
        return
    if until is not None and until <= now:
        advice = "`flask adopt count` says how many are left; once they are few enough, take ADOPT_JWT_KEY away."
        yield warn(
            "adoption", "ADOPT_JWT_UNTIL has passed: no token of the service before is adopted any more.", advice
        )
    else:
        end = f"until {iso(until)}" if until else "without an end"
        by = ", ".join(key.name for key in keys.keys)
        yield ok("adoption", f"Tokens of the service before are adopted {end}, by {by}.")
    for sentence in keys.passed_over:
        yield warn("adoption", f"ADOPT_JWT_KEY: {sentence}.", "Tokens of that key are refused.")


def _check_address(canary: Canary, url: str, settings: Settings) -> Finding:
    """Check that Keyrack sees the caller's own address through a URL, and not an address that the caller made up."""
    try:
        with closing(Connection(url)) as connection:
            token, reply = canary.log_in(connection)
            seen = find_seen_address(connection, token)
    except ProbeError as problem:
        return fail("address", f"{url}: {problem}.", "Look at PUBLIC_URL and at the gateway.")
    said = f"A request from {reply.own_address} through {url} is seen as from {seen}."
    level, advice = judge_address(seen, reply.own_address, settings.trusted_proxies)
    return Finding("address", level, said, advice)


def judge_address(seen: str | None, own: str, trusted: Networks) -> tuple[Level, str]:
    """Judge the address that Keyrack sees (ok, warn or fail), and say what to do ("" if nothing).

    Args:
        own: The address of this end of the connection.
        trusted: The setting TRUSTED_PROXIES.
    """
    if seen is None:
        return "warn", "Rate limits cannot tell callers apart: let the gateway write X-Forwarded-For."
    if seen == PRETENDED and any(ip_address(own) in network for network in trusted):
        return "warn", "This machine is one of TRUSTED_PROXIES, so that its claim is believed: run this from another."
    if seen == PRETENDED:
        return (
            "fail",
            "The caller only claimed that address: let the gateway replace X-Forwarded-For, and trust only it.",
        )
    if is_private(ip_address(seen)) and not trusted:
        return "warn", "If that is a proxy's, name it in TRUSTED_PROXIES: all callers share one address and its limits."
    if is_private(ip_address(seen)) and seen != own:
        return "warn", "If that is a proxy's, name it in TRUSTED_PROXIES beside the others."
    return "ok", ""


def _check_ended_session(wired: Services, canary: Canary, url: str, paths: tuple[str, ...]) -> Finding:
    """Check that the gateway admits a live session, and refuses it as soon as it has ended."""
    check = "gateway"
    try:
        with closing(Connection(url)) as connection:
            token, _ = canary.log_in(connection)
            before = try_paths(url, connection, paths, token)
            refused = [path for path in paths if path not in before]
            if refused:
                advice = "A path must answer 2xx to a user who is signed in; send Keyrack's own to Keyrack."
                return fail(check, f"{url} refuses a user who is signed in, at {' '.join(refused)}.", advice)
            sum(wired.operators.end_all(canary.user.id))
            after = try_paths(url, connection, paths, token)
    except ProbeError as problem:
        return fail(check, f"{url}: {problem}.", "Look at the gateway.")
    if after:
        wrong = " ".join(sorted(set(after)))
        said = f"{url} admitted a session {len(after)} times after its end, at {wrong}."
        return fail(check, said, "A hop keeps answers: turn its cache off for Keyrack and for /gateway/verify.")
    said = f"{url} refuses a session that has ended, at {' '.join(paths)}."
    if set(paths) == {_OWN_PATH}:  # a gateway passes this path on without asking /gateway/verify
        return warn(check, said, "The gateway's own question was not tried; name a path with --path.")
    return ok(check, said)
