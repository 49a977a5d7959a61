"""The common part of all pages: their blueprint, the names in their templates, and how a refused form is shown again.
The page of a refusal without a form: web/error_handlers.py.
"""

import math
import re
import secrets
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, cast

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded, RequestLimit
from werkzeug.exceptions import HTTPException
from werkzeug.urls import iri_to_uri

from app import tokens
from app.errors import ApiError, InvalidTicket, Unauthorized, Unavailable
from app.form_errors import InvalidCode, InvalidForm, InvalidLogin, InvalidPassword
from app.languages import activity as activity_words
from app.languages import times, words
from app.languages.refusals import in_words
from app.languages.texts import gettext, lazy_gettext, ngettext
from app.rules.device_names import kind_of
from app.rules.email_addresses import understood_as
from app.rules.second_steps import SecondFactorAsked
from app.stores.factors import MfaType
from app.times import iso
from app.tokens import id_in_url
from app.web.limits import limiter
from app.web.services import services
from app.web.surfaces import PageBlueprint
from app.wire.contract import View

Problems = dict[str, str]
Page = Callable[[Problems], str]

HOME = "/settings/sessions"
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~\u00a1-\U0010ffff]*")  # browsers read \ as /, and skip tabs and line ends
_WRONG_CODE = lazy_gettext("That code is wrong or was used already. Try the next one.")
_WRONG_PASSKEY = lazy_gettext("That passkey was not accepted. Try again, or enter a code.")


def page_blueprint(name: str) -> PageBlueprint:
    """Make a blueprint of pages. A visitor who is not signed in logs in first, and is led back."""
    bp = PageBlueprint(name, __name__)
    bp.context_processor(_template_names)
    bp.register_error_handler(Unauthorized, _lead_to_login)
    return bp


def shows_page_on_refusal(page: Page) -> Callable[[View], View]:
    """Show the page of a form again if the form is refused, with the problems in it."""

    def decorate(view: View) -> View:
        @wraps(view)
        def shown(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except Unauthorized:
                raise
            except ApiError as refusal:
                return page(_problems(refusal)), refusal.status
            except RateLimitExceeded:
                return page({"": _when_to_try_again()}), 429

        return shown

    return decorate


def lead_to_page(bp: Blueprint, page: str, *forms: str) -> None:
    """Redirect a visitor who opens the address of a form to the page with the form.

    Another view handles POST on these paths. This function adds a GET that redirects to the page.

    Args:
        page: The whole path, with the prefix of the blueprint.
        forms: The paths of the forms, below the prefix.
    """
    for form in forms:
        bp.add_url_rule(form, f"page_of{form}", partial(redirect, page))


def attempt_of(*sent: str) -> str:
    """Return the hash by which a form is known again if it is sent twice.

    Args:
        sent: What nobody else can know: the nonce of the page, or a ticket and its answer. If a part is missing, the
            form counts as another each time.
    """
    return tokens.id_hash(".".join(sent)) if all(sent) else ""


def answered_by() -> MfaType:
    """Return the kind of answer that a form has. For "totp" a backup code is accepted, too."""
    return "webauthn" if request.form.get("method") == "webauthn" else "totp"


def show_second_step(template: str, problems: Problems, asked: SecondFactorAsked | None = None) -> str:
    """Return the page that asks for the second factor at a login or a reset.

    Args:
        asked: None shows the page again. The form has what the page needs.
    """
    if asked:
        ticket, webauthn, offered, may_remember = asked.ticket, asked.webauthn, asked.offered, asked.may_remember
    else:
        ticket, webauthn = (request.form.get(name, "") for name in ("ticket", "webauthn"))
        offered = frozenset(request.form.get("offered", "totp backup").split())
        may_remember = "may_remember" in request.form
    return render_template(
        template,
        problems=problems,
        ticket=ticket,
        webauthn=webauthn or "",
        offered=offered,
        may_remember=may_remember,
        remember_for=times.span(services().remembered.ttl_s) if may_remember else "",
    )


def next_path() -> str:
    """Return the path that the visitor wanted to open. It is always a path of Keyrack, never a page of another site."""
    try:
        wanted = request.values.get("next", "")
    except HTTPException:  # the form is too large or incomplete
        wanted = ""
    return iri_to_uri(wanted) if _OWN_PATH.fullmatch(wanted) and wanted.isprintable() else HOME


def _template_names() -> dict[str, Any]:
    now = services().clock()
    return {
        "ago": lambda at: times.ago(at, now),
        "day": lambda at: times.day(at, now),
        "iso": iso,
        "minutes_ago": lambda at: times.minutes_ago(at, now),
        "moment": times.date_and_time,
        "moment_ahead": lambda at: times.moment_ahead(at, now),
        "words_of": activity_words.words_of,
        "device_in": activity_words.device_in,
        "id_in_url": id_in_url,
        "name_of": words.name_of,
        "made_up_name": words.made_up_name,
        "kind_of": kind_of,
        "how_opened": words.how_opened,
        "why_ended": words.why_ended,
        "next_path": next_path(),
        "new_nonce": lambda: secrets.token_urlsafe(32),
        "understood_as": understood_as,
        "mail_is_sent": services().notices.are_sent,
        "relying_party": services().passkeys.party,
        "ticket_ttl_s": services().settings.mfa_ticket_ttl_s,
    }


def _lead_to_login(_: Unauthorized) -> ResponseReturnValue:
    return redirect(url_for("pages.show_login", next=request.path), 303)


def _when_to_try_again() -> str:
    """Return the problem of a form that a rate limit refuses. Some limits count for an hour."""
    reset_at = cast(RequestLimit, limiter.current_limit).reset_at
    minutes = max(1, math.ceil((reset_at - time.time()) / 60))
    return ngettext(
        "Too many tries. Please try again in a minute.", "Too many tries. Please try again in %(num)s minutes.", minutes
    )


def _problems(refusal: ApiError) -> Problems:
    """Return the problem of each field. A problem of the whole form has the key ""."""
    if isinstance(refusal, InvalidLogin | Unavailable):
        busy = gettext("Busy right now. Please try again.")
        return {"": busy if refusal.status == 503 else in_words(refusal.plainly())}
    if isinstance(refusal, InvalidForm):
        return {field: in_words(problem) for field, problem in refusal.by_field().items()}
    if isinstance(refusal, InvalidCode) and answered_by() == "webauthn":
        return {"passkey": str(_WRONG_PASSKEY)}
    if isinstance(refusal, InvalidCode):
        text = in_words(refusal.message) if isinstance(refusal, InvalidPassword) else str(_WRONG_CODE)
        return {"code": text, "answer": text}
    if isinstance(refusal, InvalidTicket):
        return {"": gettext("That took too long, or too many tries. Please log in again."), "ticket": ""}
    return {"": in_words(refusal.plainly())}
