"""The copy of all that is kept of the caller, as a file. A button of the Security page leads to it, too.

What it has: rules/own_data.py.
"""

import orjson
from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.brand import file_stem
from app.errors import MfaRequired
from app.routes.forms import lead_to_page, page_blueprint, shows_page_on_refusal
from app.routes.settings_security import security_page
from app.web.guards import caller, client, has_proof_or_login, prove, require_proof, require_session
from app.web.limits import DATA, STEP_UP, STEP_UP_USER, limited
from app.web.own_data import copy_of
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.contract import Header, answers, refuses

bp = CookieBlueprint("own_data", __name__)
pages_bp = page_blueprint("own_data_pages")

_DISPOSITION = Header(
    "Content-Disposition",
    '`attachment; filename="keyrack-data.json"`, so that a browser keeps it as a file; named after the service',
)


@bp.get("/me/data")
@require_session
@limited(DATA)
@answers({"type": "object"}, headers=[_DISPOSITION])
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
    return Response(body, mimetype="application/json", headers={_DISPOSITION.name: f'attachment; filename="{name}"'})


@pages_bp.post("/security/data")
@require_session
@shows_page_on_refusal(lambda problems: security_page(problems, "data"))
@limited(STEP_UP, STEP_UP_USER)
def download_data() -> ResponseReturnValue:
    """Lead to the file, which the browser keeps while it shows the page. The proof is in its cookie by then."""
    if not has_proof_or_login():
        prove(request.form.get("answer", ""))
    return redirect(url_for("own_data.show_data"), 303)


lead_to_page(pages_bp, "/settings/security", "/security/data")
