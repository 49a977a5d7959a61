"""Every rate limit, in words and numbers. They live in Redis, so all workers count together; Redis away means no.

LOGIN           by address and account   RATE_LIMIT_LOGIN           logins and their MFA answers
LOGIN_ADDRESS   by address               RATE_LIMIT_LOGIN_ADDRESS   the same
REGISTER        by address               RATE_LIMIT_REGISTER        registrations
FORGOT          by account               RATE_LIMIT_FORGOT          requests for a password reset
FORGOT_ADDRESS  by address               RATE_LIMIT_FORGOT          the same
STEP_UP         by session               RATE_LIMIT_STEP_UP         answers to challenges, passwords given again
STEP_UP_USER    by user                  RATE_LIMIT_STEP_UP_USER    the same, over all sessions
RESET           by link                  RATE_LIMIT_STEP_UP         new passwords by a link, and their MFA answers
RESET_USER      by user                  RATE_LIMIT_STEP_UP_USER    the same, over all links

What counts by session or user stands behind `require_session`, what counts by link looks for one that is good: a
made-up secret spends nobody's budget.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, g, request
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from limits.storage import RedisStorage, Storage

from app.callers.addresses import limit_key
from app.errors import Unavailable
from app.rules.links import OpenLink
from app.stores.connection.client import RedisClient
from app.watch import audit, metrics
from app.web import guards
from app.web.services import services
from app.wire.contract import Limit, View, mark


def _by_address() -> str:
    return limit_key(services().callers.address(request.environ))


def _tell_of_breach(breached: RequestLimit) -> None:
    counted_by, limit = breached.request_args
    audit.limit_hit(limit, counted_by)


class _Counters(RedisStorage):
    """Counts over the client of the stores, of whatever kind that is. A moving window is all that is counted here."""

    STORAGE_SCHEME = ["keyrack"]  # noqa: RUF012 - as limits has it

    def __init__(self, uri: str, client: RedisClient, **_: Any) -> None:
        Storage.__init__(self, uri)
        self.key_prefix = self.PREFIX
        self.target_server = "redis"
        self.dependency = self.dependencies["redis"].module
        self.storage = client
        self.initialize_storage(uri)


limiter = Limiter(
    key_func=_by_address,
    storage_uri="keyrack://",
    strategy="moving-window",
    on_breach=_tell_of_breach,
)


def init_limits(app: Flask, client: RedisClient) -> None:
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"client": client}
    limiter.init_app(app)
    # It hooks into every request for the sake of default limits and of headers of its own. Here are neither: a view
    # that names a limit asks for it, the other requests need not pay for the look.
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        hooks[None].pop()


def _by_login() -> str:
    """Address and account: the user's id, where a login or its open ticket names one, or a hash of what it names."""
    body: Any = g.body
    return f"{_by_address()}/{_holder(body.ticket) if hasattr(body, 'ticket') else _account(body.login)}"


def _holder(ticket: str) -> str:
    return services().accounts.holder_of(ticket) or "none"  # a made-up ticket names nobody, whatever id it claims


def _account(login: str) -> str:
    return services().accounts.id_of(login) or services().accounts.digest_of(login)


def _link() -> OpenLink | None:
    body: Any = g.body
    return services().recovery.link_of(body.token if hasattr(body, "token") else body.ticket)


def _by_link() -> str:
    link = _link()
    return link.id_hash if link else f"none/{_by_address()}"


def _by_link_user() -> str:
    link = _link()
    return f"reset/{link.user_id if link else _by_address()}"


def _shared(setting: str, key: Callable[[], str], counted_by: str) -> Callable[[View], View]:
    scope = setting.removeprefix("rate_limit_")
    metrics.LIMIT_HITS.labels(scope)
    limit = limiter.shared_limit(lambda: getattr(services().settings, setting), scope=scope, key_func=key)
    return lambda view: mark(
        limit(view), limits=[Limit(setting, counted_by)], refusals=[RateLimitExceeded, Unavailable]
    )


def limited(*limits: Callable[[View], View]) -> Callable[[View], View]:
    """Count a request against each of these limits; over any of them it is refused."""

    def decorate(view: View) -> View:
        for limit in limits:
            view = limit(view)
        return view

    return decorate


LOGIN = _shared("rate_limit_login", _by_login, "address and account")
LOGIN_ADDRESS = _shared("rate_limit_login_address", _by_address, "address")
REGISTER = _shared("rate_limit_register", _by_address, "address")
FORGOT = _shared("rate_limit_forgot", lambda: _account(g.body.login), "account")
FORGOT_ADDRESS = _shared("rate_limit_forgot", _by_address, "address")
STEP_UP = _shared("rate_limit_step_up", lambda: guards.caller().id_hash, "session")
STEP_UP_USER = _shared("rate_limit_step_up_user", lambda: guards.caller().user_id, "user")
RESET = _shared("rate_limit_step_up", _by_link, "link")
RESET_USER = _shared("rate_limit_step_up_user", _by_link_user, "user")
