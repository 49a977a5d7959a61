"""The page of the devices where a user is signed in, and how they are logged out. All works without JavaScript.

The API: me.py, sessions.py. The Security page: settings_security.py.
"""

import re
from collections.abc import Sequence

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import UnknownSession
from app.languages.texts import lazy_gettext, ngettext
from app.routes.forms import Problems, lead_to_page, page_blueprint, shows_page_on_refusal
from app.stores.user_records import User
from app.tokens import id_from_url
from app.web.guards import caller, client, has_proof_or_login, prove, require_session, require_session_and, user_record
from app.web.limits import END_OTHERS, END_OTHERS_USER, STEP_UP, STEP_UP_USER, is_within, limited
from app.web.services import services

bp = page_blueprint("settings_sessions")

_MAX_AT_ONCE = 64
_DONE = {
    "over": lazy_gettext("That was over already."),
    "alone": lazy_gettext("All other sessions were over already."),
    "none": lazy_gettext("Tick the sessions to log out, then press the button below them."),
}


def _notice() -> str:
    done = request.args.get("done", "")
    if re.fullmatch("[0-9]{1,2}", done):
        return ngettext("%(num)s session is logged out.", "%(num)s sessions are logged out.", int(done))
    return str(_DONE.get(done, ""))


def _confirm_page(problems: Problems) -> str:
    user = services().accounts.get(caller().user_id)
    asked = _sessions_asked_for()
    return render_template("confirm.html", problems=problems, user=user, count=len(asked))


def _sessions_asked_for() -> Sequence[str]:
    """Return the id_hash of each session that a form names: all others, a single one, or the ticked ones."""
    if "none" in request.form:
        return []
    if "all" in request.form:
        sessions = services().devices.list(caller().user_id)
        return [session.id_hash for session in sessions if session.id_hash != caller().id_hash]
    named = request.form.getlist("one") or request.form.getlist("session")
    id_hashes = (id_from_url(session_id) for session_id in named)
    return [id_hash for id_hash in id_hashes if id_hash and id_hash != caller().id_hash][:_MAX_AT_ONCE]


@limited(END_OTHERS)
def _end_others() -> None:
    services().accounts.end_others(caller(), client(), stop_logins=is_within(END_OTHERS_USER))


def _lead_back(done: str) -> ResponseReturnValue:
    return redirect(url_for("settings_sessions.show_sessions", done=done), 303)


def _lead_back_if_over(id_hashes: Sequence[str]) -> ResponseReturnValue | None:
    """Say that all named sessions are over already, as after a double click or in a second tab."""
    if "all" in request.form:
        return None if id_hashes else _lead_back("alone")
    live = {session.id_hash for session in services().devices.list(caller().user_id)}
    return _lead_back("over") if live.isdisjoint(id_hashes) else None


def _end_and_lead_back(id_hashes: Sequence[str]) -> ResponseReturnValue:
    if "all" in request.form:
        _end_others()
        return _lead_back(str(len(id_hashes)))
    try:
        ended = services().devices.end(caller(), id_hashes, "revoked")
    except UnknownSession:
        return _lead_back("over")
    return _lead_back(str(ended))


@bp.get("/sessions")
@require_session_and(user_record)
def show_sessions(record: User | None) -> ResponseReturnValue:
    sessions = services().devices.list(caller().user_id)
    return render_template(
        "sessions.html",
        user=services().accounts.require(record),
        current=[session for session in sessions if session.id_hash == caller().id_hash],
        others=[session for session in sessions if session.id_hash != caller().id_hash],
        ended=services().devices.list_ended(caller().user_id),
        ends_at=services().devices.expires_at,
        retention_days=services().settings.retention_days,
        notice=_notice(),
    )


@bp.post("/sessions/end")
@require_session
def end_sessions() -> ResponseReturnValue:
    """End the sessions that were asked for, or ask for the password or a code first."""
    asked = _sessions_asked_for()
    if not asked and "all" not in request.form:
        return _lead_back("none")
    return _lead_back_if_over(asked) or (_end_and_lead_back(asked) if has_proof_or_login() else _confirm_page({}))


@bp.post("/sessions/confirm")
@require_session
@shows_page_on_refusal(_confirm_page)
@limited(STEP_UP, STEP_UP_USER)
def confirm_ending() -> ResponseReturnValue:
    asked = _sessions_asked_for()
    over = _lead_back_if_over(asked)
    if over:
        return over
    prove(request.form.get("answer", ""))
    return _end_and_lead_back(asked)


lead_to_page(bp, "/settings/sessions", "/sessions/end", "/sessions/confirm")
