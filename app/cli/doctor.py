"""`flask doctor`: is this instance set up as it should be, from the secrets to the gateway?"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path

import click
import maxminddb
from flask.cli import with_appcontext

from app.callers.location import is_private
from app.cli.canary import PRETENDED, Canary, Trouble, Way, canary, seen_address, yeses
from app.cli.terminal import PARTLY, Command, RedisAway, as_json, say, say_json
from app.config import MailServer, Networks, Settings
from app.mail.transport import ServerAway, open_transport
from app.routes import API
from app.serving.checkup import Finding, Level, fail, of_redis, of_secrets, ok, warn
from app.stores.connection.connect import StoreError, describe
from app.web.services import Services, services

_OLD_DATABASE_DAYS = 60
_OWN_PATH = f"{API}/users/@me"


@click.command(cls=Command)
@click.option("--through", metavar="URL", help="The gateway: a throw-away user signs in through it.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="PATH",
    help="Behind the gateway, with 2xx for whoever is signed in; may be given again.",
)
@as_json
@with_appcontext
def doctor(through: str | None, paths: tuple[str, ...], as_json: bool) -> None:
    """Look at everything: settings, Redis, mail, the gateway. One line for each, and what to do.

    With --through a throw-away user signs in through the gateway; once their session has ended, no hop may say yes.
    """
    levels = set()
    try:
        for finding in _findings(through, (_OWN_PATH, *paths)):
            levels.add(finding.level)
            _show(finding, as_json)
    except StoreError as problem:
        said = f"Redis is away or refuses: {describe(problem)}"
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


def _findings(through: str | None, paths: tuple[str, ...]) -> Iterator[Finding]:
    wired = services()
    settings = wired.settings
    yield ok("settings", "All settings can be read.")
    yield from of_secrets(settings)
    yield from of_redis(wired.look_at_redis(), settings.redis_wait_replicas)
    yield of_location(settings.geoip_database, wired.clock())
    yield of_mail(settings.smtp_url)
    address_url = settings.public_url or through
    if not address_url:
        yield ok("gateway", "Neither --through nor PUBLIC_URL: not looked at.")
        return
    with canary(wired) as bird:
        yield _of_address(bird, address_url, settings)
        if through:
            yield _of_ending(wired, bird, through, paths)


def of_location(database: Path | None, now: float) -> Finding:
    if database is None:
        return ok("location", "GEOIP_DATABASE is not set: no place is known.")
    with maxminddb.open_database(database) as reader:
        days = int((now - reader.metadata().build_epoch) / (24 * 60 * 60))
    said = f"The location database is {days} days old."
    if days > _OLD_DATABASE_DAYS:
        return warn("location", said, "Fetch a new one: addresses move.")
    return ok("location", said)


def of_mail(route: MailServer | Path | None) -> Finding:
    """Whether mails could be handed over: the server answers and lets us in, or the folder takes files."""
    if route is None:
        return ok("mail", "SMTP_URL is not set: no mail is sent.")
    place = f"folder {route}" if isinstance(route, Path) else f"server {route.host}:{route.port}"
    transport = open_transport(route)
    try:
        transport.connect()
    except ServerAway as away:
        return fail("mail", f"The mail {place} takes nothing: {away.reason}.", "Look at SMTP_URL.")
    transport.close()
    if isinstance(route, Path):
        return warn("mail", f"Mails are written into the {place}, and sent to nobody.", "Name a server in production.")
    return ok("mail", f"The mail {place} answers{' and lets us in' if route.user else ''}.")


def _of_address(bird: Canary, url: str, settings: Settings) -> Finding:
    """Which address a request through a URL is seen to have, if it is the caller's own, and nobody's choice."""
    try:
        with closing(Way(url)) as way:
            token, answer = bird.log_in(way)
            seen = seen_address(way, token)
    except Trouble as trouble:
        return fail("address", f"{url}: {trouble}.", "Look at PUBLIC_URL and at the gateway.")
    said = f"A request from {answer.own_address} through {url} is seen as from {seen}."
    level, advice = judge(seen, answer.own_address, settings.trusted_proxies)
    return Finding("address", level, said, advice)


def judge(seen: str | None, own: str, trusted: Networks) -> tuple[Level, str]:
    if seen is None:
        return "warn", "Rate limits cannot tell callers apart: let the gateway write X-Forwarded-For."
    if seen == PRETENDED and any(ip_address(own) in network for network in trusted):
        return "warn", "This machine is one of TRUSTED_PROXIES, believed whatever it says: run this from another."
    if seen == PRETENDED:
        return "fail", "That is what the caller claimed: let the gateway write X-Forwarded-For anew, trust it alone."
    if is_private(ip_address(seen)) and not trusted:
        return "warn", "If that is a proxy's, name it in TRUSTED_PROXIES: all callers share one address and its limits."
    if is_private(ip_address(seen)) and seen != own:
        return "warn", "If that is a proxy's, name it in TRUSTED_PROXIES beside the others."
    return "ok", ""


def _of_ending(wired: Services, bird: Canary, url: str, paths: tuple[str, ...]) -> Finding:
    """Sign in through the gateway, hear a yes, end the session, and hear nothing but no."""
    check = "gateway"
    try:
        with closing(Way(url)) as way:
            token, _ = bird.log_in(way)
            before = yeses(url, way, paths, token)
            refused = [path for path in paths if path not in before]
            if refused:
                advice = "A path must be answered with 2xx for who is signed in; send Keyrack's own to Keyrack."
                return fail(check, f"{url} says no to who is signed in, at {' '.join(refused)}.", advice)
            sum(wired.operators.end_all(bird.user.id))
            after = yeses(url, way, paths, token)
    except Trouble as trouble:
        return fail(check, f"{url}: {trouble}.", "Look at the gateway.")
    if after:
        wrong = " ".join(sorted(set(after)))
        said = f"{url} said yes {len(after)} times to a session that had ended, at {wrong}."
        return fail(check, said, "Some hop remembers answers: turn its cache off for Keyrack and for /gateway/verify.")
    said = f"{url} says no to a session that has ended, at {' '.join(paths)}."
    if set(paths) == {_OWN_PATH}:  # gateways pass that on without a question of their own
        return warn(check, said, "The gateway's own question was not tried; name a path with --path.")
    return ok(check, said)
