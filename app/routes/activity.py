"""What happened to the caller's account lately: for programs, and as a page. What is kept: stores/activities.py."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue

from app.languages import activity
from app.routes.forms import page_blueprint
from app.rules.activities import Endings, Happened
from app.stores.session_records import Client
from app.stores.user_records import User
from app.times import iso
from app.web.guards import (
    caller,
    require_session,
    require_session_and,
    user_record,
)
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.activity import ActivitySchema
from app.wire.contract import answers

bp = CookieBlueprint("activity", __name__)
pages_bp = page_blueprint("activity_pages")


@bp.get("/me/activity")
@require_session
@answers(ActivitySchema(many=True))
def list_activity() -> ResponseReturnValue:
    """List what happened to the account lately, newest first: sign-ins, refused ones, step-ups, changes and endings.

    The operator sets for how many days it is kept. There are a hundred entries at most.
    """
    return [_body_of(happened) for happened in services().activities.list(caller().user_id)]


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
