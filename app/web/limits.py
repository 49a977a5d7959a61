"""The rate limits. Redis counts, so that all workers count together. If Redis is away, limited requests are refused.
Whose budget a request is counted in: limit_keys.py. Limits of mails to one account: rules/notices.py.

LOGIN           by address and account   RATE_LIMIT_LOGIN           logins and their MFA answers
LOGIN_ADDRESS   by address               RATE_LIMIT_LOGIN_ADDRESS   logins and their MFA answers
LOGIN_ACCOUNT   by account               RATE_LIMIT_LOGIN_ACCOUNT   wrong passwords of logins
CODE_ACCOUNT    by account               RATE_LIMIT_CODE_ACCOUNT    wrong codes of logins
END_BY_LINK     by address               RATE_LIMIT_LOGIN_ADDRESS   the same budget, but a full Redis refuses nobody
REGISTER        by address               RATE_LIMIT_REGISTER        registrations
FORGOT          by account               RATE_LIMIT_FORGOT          requests for a password reset
FORGOT_ADDRESS  by address               RATE_LIMIT_FORGOT          requests for a password reset
VERIFY          by user                  RATE_LIMIT_VERIFY          mails that verify an e-mail address
VERIFY_MAILBOX  by that address          RATE_LIMIT_VERIFY          mails that verify an e-mail address
STEP_UP         by session               RATE_LIMIT_STEP_UP         wrong answers to challenges, wrong passwords
STEP_UP_USER    by user                  RATE_LIMIT_STEP_UP_USER    these, over all sessions, but for the first of each
NEW_FACTOR      by user                  RATE_LIMIT_NEW_FACTOR      passkeys added, TOTP turned on
END_OTHERS      by session               RATE_LIMIT_END_OTHERS      endings of all other sessions
END_OTHERS_USER by user                  RATE_LIMIT_END_OTHERS_USER those that also stop logins under way
DATA            by user                  RATE_LIMIT_DATA            copies of all that is kept of a user
RESET           by link                  RATE_LIMIT_STEP_UP         new passwords by a link, and their MFA answers
RESET_CODE      by user                  RATE_LIMIT_CODE_ACCOUNT    wrong codes of resets, over all links

LOGIN_ACCOUNT and CODE_ACCOUNT count over all addresses. Each of the newest sessions has a budget of its own, for its
device and its address, because strangers could lock the owner out otherwise. For the same reason RESET_CODE is apart.

A session is told by its first hash, because each change of credentials replaces its token. STEP_UP_USER does not
count the first wrong answers of a session, or a thief's sessions could use up what the owner's needs. END_OTHERS_USER
refuses nothing: over it, sessions end and logins under way go on.

A limit by address counts IPv6 by the /64, and by the /48 too. A site usually has a whole /48, which has
IPV6_NETWORK_BUDGETS budgets of an address.

A request with a made-up secret is not counted against any user. A limit by session or user runs after
`require_session`, and a limit by link looks the link up first.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, cast

from flask import Flask, g
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from limits import parse_many
from limits.storage import RedisStorage, Storage

from app.errors import ApiError, Unavailable
from app.stores.connection.client import RedisClient
from app.stores.connection.connect import StoreError, StoreRefused
from app.stores.keys import Keys
from app.watch import audit, metrics
from app.web import guards
from app.web.limit_keys import (
    account_key,
    by_account_of_login,
    by_account_of_ticket,
    by_address,
    by_link,
    by_link_user,
    by_login,
    by_mailbox,
    by_network,
    by_session,
    by_user,
    is_ipv6,
)
from app.web.services import services
from app.wire.contract import Limit, View, mark
from app.wire.fields import ProvingBody

log = logging.getLogger(__name__)

_Outcome = Literal["done", "wrong", "refused"]

_OWN_OF_EACH_SESSION = 3  # wrong answers that a session may give in its span, although the user's limit is exceeded


def _audit_breach(breached: RequestLimit) -> None:
    counted_by, limit = breached.request_args
    audit.limit_hit(limit, counted_by)


class _Counters(RedisStorage):
    """A storage for the package `limits`, on the client of the stores. It has only the moving-window strategy."""

    STORAGE_SCHEME = ["keyrack"]  # noqa: RUF012 - as in the package `limits`
    # A full Redis lets a script write that begins with a removal, also of nothing. Endings are counted so, and answers
    # to challenges on the way to them. Whoever sends them is signed in.
    SCRIPT_ACQUIRE_MOVING_WINDOW = (
        b"for _, scope in ipairs({'/step_up', '/end_others'}) do\n"
        b"  if string.find(KEYS[1], scope, 1, true) then redis.call('LREM', KEYS[1], 0, '') end\n"
        b"end\n" + RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW
    )

    def __init__(self, uri: str, client: RedisClient, names_begin: str, **_: Any) -> None:
        Storage.__init__(self, uri)
        self.key_prefix = names_begin
        self.target_server = "redis"
        self.dependency = self.dependencies["redis"].module
        self.storage = client
        self.initialize_storage(uri)

    def give_back(self, key: str) -> None:
        """Take the newest request from a counter."""
        # The entries of a counter are times, newest first. If another request was counted meanwhile, its time is taken
        # and this one's stays, which is earlier by less than a request takes.
        self.storage.write(("LTRIM", self.prefixed_key(key), 1, -1))


limiter = Limiter(
    key_func=by_address,
    storage_uri="keyrack://",
    strategy="moving-window",
    on_breach=_audit_breach,
)


def init_limits(app: Flask, client: RedisClient, keys: Keys) -> None:
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"client": client, "names_begin": keys.limits}
    limiter.init_app(app)
    # The limiter hooks into every request, for default limits and for headers of its own. Keyrack uses neither, and a
    # view checks its limits itself. So the hooks would only cost time.
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        hooks[None].pop()


def _is_among_first_of_session() -> bool:
    """Tell whether the limit by session, counted just before, has only the answers that each session has of its own."""
    return all(limit.limit.amount - limit.remaining <= _OWN_OF_EACH_SESSION for limit in limiter.current_limits)


_numbers = itertools.count()


@dataclass(frozen=True)
class _SharedLimit:
    """A limit that several views have together.

    Attributes:
        count: Counts the current request. Raises RateLimitExceeded.
        counts: Requests with another outcome than this are taken from the count again.
    """

    described: Limit
    count: Callable[[], None]
    counts: _Outcome | Literal["all"] = "all"


def _shared_limit(
    setting: str,
    key: Callable[[], str],
    counted_by: str,
    rate: Callable[[], str] | None = None,
    exempt_when: Callable[[], bool] | None = None,
    *,
    counts: _Outcome | Literal["all"] = "all",
) -> _SharedLimit:
    """Return a limit with the rate of the setting, if `rate` is None."""
    scope = setting.removeprefix("rate_limit_")
    metrics.LIMIT_HITS.labels(scope)

    def count() -> None:
        """Do nothing: Flask-Limiter has already counted the request, or refused it."""

    count.__qualname__ = f"count_{next(_numbers)}"  # the limiter tells limits apart by the names of what they stand on
    rate = rate or (lambda: getattr(services().settings, setting))
    limit = limiter.shared_limit(rate, scope=scope, key_func=key, exempt_when=exempt_when)
    return _SharedLimit(Limit(setting, counted_by), limit(count), counts)


def _address_limit(setting: str) -> _SharedLimit:
    def rate_of_network() -> str:
        settings = services().settings
        allowed = [
            f"{rate.amount * settings.ipv6_network_budgets} per {rate.multiples} {rate.GRANULARITY.name}"
            for rate in parse_many(getattr(settings, setting))
        ]
        return "; ".join(allowed)

    of_address = _shared_limit(setting, by_address, "address")
    of_network = _shared_limit(setting, by_network, "IPv6 network", rate_of_network)

    def count() -> None:
        of_address.count()
        if is_ipv6():  # as exempt_when, it would make the limiter look at each limit of the route once more
            of_network.count()

    return _SharedLimit(of_address.described, count)


def _full_redis_lets_pass(limit: _SharedLimit) -> _SharedLimit:
    """Return a limit that refuses nobody because Redis takes no more data. Its views end sessions by a secret."""

    def count() -> None:
        with suppress(StoreRefused):
            limit.count()

    return _SharedLimit(limit.described, count)


def limited(*limits: _SharedLimit) -> Callable[[View], View]:
    """Count a request for these limits, one after the other, and refuse it at the first that is exceeded.

    Later limits do not count a refused request. The limit by address comes first, so that a client over its own limit
    uses up nobody else's, and leaves nothing in Redis.

    A limit that counts one outcome alone counts every request first. So requests that run at once cannot give more
    wrong answers than one after the other, and over the limit a right answer is refused like a wrong one.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            body = g.get("body")
            is_no_answer = isinstance(body, ProvingBody) and not _may_be_wrong(body)
            counted: list[tuple[_SharedLimit, Sequence[RequestLimit]]] = []
            outcome: _Outcome = "refused"
            try:
                for limit in limits:
                    if is_no_answer and limit.counts == "wrong":
                        continue
                    limit.count()
                    counted.append((limit, limiter.current_limits))
                answer = view(*args, **kwargs)
            except ApiError as refusal:
                outcome = "wrong" if refusal.is_wrong_answer else "refused"
                raise
            else:
                outcome = "done"
                return answer
            finally:
                _give_back([one for limit, each in counted if limit.counts not in ("all", outcome) for one in each])

        described = [limit.described for limit in limits]
        return mark(guarded, limits=described, refusals=[RateLimitExceeded, Unavailable])

    return decorate


def counts_itself(*limits: _SharedLimit) -> Callable[[View], View]:
    """Tell in the contract of a view that it counts these limits itself, as soon as it knows for whom."""
    described = [limit.described for limit in limits]
    return lambda view: mark(view, limits=described, refusals=[RateLimitExceeded, Unavailable])


def _may_be_wrong(body: ProvingBody) -> bool:
    """Tell whether a secret of a body is judged. A request without one is no answer that could be wrong."""
    return body.has_answer and not (body.only_proves and guards.caller().proved)


def is_within(limit: _SharedLimit) -> bool:
    """Count the current request for a limit that refuses nothing. Return False if the limit is exceeded."""
    try:
        limit.count()
    except RateLimitExceeded:
        return False
    return True


def _give_back(counted: Sequence[RequestLimit]) -> None:
    try:
        for limit in counted:
            cast(_Counters, limiter.storage).give_back(limit.key)
    except StoreError as error:  # the view has done its work, so the answer must tell of that
        log.warning("a limit counts a request that should cost nothing: %s", type(error).__name__)


LOGIN = _shared_limit("rate_limit_login", by_login, "address and account")
LOGIN_ADDRESS = _address_limit("rate_limit_login_address")
LOGIN_ACCOUNT = _shared_limit(
    "rate_limit_login_account", by_account_of_login, "account, wrong passwords alone", counts="wrong"
)
CODE_ACCOUNT = _shared_limit(
    "rate_limit_code_account", by_account_of_ticket, "account, wrong codes alone", counts="wrong"
)
END_BY_LINK = _full_redis_lets_pass(LOGIN_ADDRESS)
REGISTER = _address_limit("rate_limit_register")
FORGOT = _shared_limit("rate_limit_forgot", lambda: account_key(g.body.login), "account")
FORGOT_ADDRESS = _address_limit("rate_limit_forgot")
VERIFY = _shared_limit("rate_limit_verify", by_user, "user")
VERIFY_MAILBOX = _shared_limit("rate_limit_verify", by_mailbox, "e-mail address that is mailed")
STEP_UP = _shared_limit("rate_limit_step_up", by_session, "session, wrong answers alone", counts="wrong")
STEP_UP_USER = _shared_limit(
    "rate_limit_step_up_user",
    by_user,
    "user, wrong answers alone but for the first of a session",
    exempt_when=_is_among_first_of_session,
    counts="wrong",
)
NEW_FACTOR = _shared_limit("rate_limit_new_factor", by_user, "user", counts="done")
END_OTHERS = _shared_limit("rate_limit_end_others", by_session, "session", counts="done")
END_OTHERS_USER = _shared_limit("rate_limit_end_others_user", by_user, "user")
DATA = _shared_limit("rate_limit_data", by_user, "user", counts="done")
RESET = _shared_limit("rate_limit_step_up", by_link, "link")
RESET_CODE = _shared_limit("rate_limit_code_account", by_link_user, "user, wrong codes alone", counts="wrong")
