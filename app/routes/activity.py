"""What happened to the caller's account lately: for programs, and as a page. What is kept: stores/activities.py."""

from typing import Any

import orjson
from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.brand import file_stem
from app.errors import MfaRequired
from app.languages import activity
from app.routes.forms import lead_to_page, page_blueprint, shows_page_on_refusal
from app.routes.settings_security import security_page
from app.rules.activities import Endings, Happened
from app.stores.session_records import Client
from app.stores.user_records import User
from app.times import iso
from app.web.guards import (
    caller,
    client,
    has_proof_or_login,
    prove,
    require_proof,
    require_session,
    require_session_and,
    user_record,
)
from app.web.limits import DATA, STEP_UP, STEP_UP_USER, limited
from app.web.own_data import copy_of
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.activity import ActivitySchema
from app.wire.contract import Header, answers, refuses

bp = CookieBlueprint("activity", __name__)
pages_bp = page_blueprint("activity_pages")

DISPOSITION = Header(
    "Content-Disposition",
    '`attachment; filename="keyrack-data.json"`, so that a browser keeps it as a file; named after the service',
)


@bp.get("/me/activity")
@require_session
@answers(ActivitySchema(many=True))
def list_activity() -> ResponseReturnValue:
    """List what happened to the account lately, newest first: sign-ins, refused ones, step-ups, changes and endings.

    The operator sets for how many days it is kept. There are a hundred entries at most.
    """
    return [_body_of(happened) for happened in services().activities.list(caller().user_id)]


@bp.get("/me/data")
@require_session
@limited(DATA)
@answers({"type": "object"}, headers=[DISPOSITION])
@refuses(MfaRequired)
def show_data() -> ResponseReturnValue:
    """Give all that is kept of the user: account, sessions, activity, passkeys, limits and more, but no secret.

    A login of the last minutes counts as a proof.
    """
    if not has_proof_or_login():
        require_proof()
    services().own_data.record_copy(caller().user_id, client())
    body = orjson.dumps(copy_of(caller().user_id), option=orjson.OPT_INDENT_2)
    name = f"{file_stem(services().settings.service_name)}-data.json"
    return Response(body, mimetype="application/json", headers={DISPOSITION.name: f'attachment; filename="{name}"'})


@pages_bp.post("/security/data")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "data"))
@limited(STEP_UP, STEP_UP_USER)
def download_data() -> ResponseReturnValue:
    """Lead to the file, which the browser keeps while it shows the page. The proof is in its cookie by then."""
    if not has_proof_or_login():
        prove(request.form.get("answer", ""))
    return redirect(url_for("activity.show_data"), 303)


lead_to_page(pages_bp, "/settings/security", "/security/data")


@pages_bp.get("/activity")
@require_session_and(user_record)
def show_activity(record: User | None) -> ResponseReturnValue:
    return render_template(
        "activity.html",
        user=services().accounts.require(record),
        entries=services().activities.list(caller().user_id),
        retention_days=services().settings.retention_days,
    )


def _body_of(happened: Happened) -> dict[str, Any]:
    shared = {
        "at": iso(happened.at),
        "explanation": activity.words_of(happened),
        "deviceName": activity.device_in(happened),
    }
    if isinstance(happened, Endings):
        first, count = happened.ended[0], len(happened.ended)
        place = _place_body(first.session.client)
        return shared | place | {"type": "sessions_ended", "reason": first.reason, "amr": None, "sessions": count}
    what = {"type": happened.kind, "reason": happened.detail or None, "amr": happened.amr, "sessions": 0}
    return shared | _place_body(happened.client) | what


def _place_body(client: Client) -> dict[str, str | None]:
    return {"ip": client.ip, "location": client.location}
