"""The cookie API of remembered devices: those that ask for no code at a login.

How a browser becomes one: me.py. The page: settings_security.py.
"""

from typing import Any

from flask.typing import ResponseReturnValue

from app.errors import UnknownDevice
from app.rules.device_names import made_up_name
from app.stores.remembered_records import Remembered
from app.times import iso
from app.tokens import id_hash
from app.web.cookies import own_remembered
from app.web.guards import caller, client, require_session
from app.web.services import services
from app.web.surfaces import CookieBlueprint
from app.wire.contract import Parameter, answers, reads, refuses
from app.wire.responses import MessageSchema
from app.wire.session_responses import RememberedDeviceSchema

bp = CookieBlueprint("remembered", __name__)

_ID = Parameter("path", "device_id", "`id` of a remembered device", "1234567890123456789")


@bp.get("/me/remembered")
@require_session
@answers(RememberedDeviceSchema(many=True))
def list_remembered() -> ResponseReturnValue:
    """List the devices that are spared the code at a login, most recently used first."""
    own = set(map(id_hash, own_remembered()))
    return [_device_body(device, own) for device in services().remembered.list(caller().user_id)]


@bp.delete("/me/remembered/<device_id>")
@require_session
@reads(_ID)
@answers(MessageSchema)
@refuses(UnknownDevice)
def forget(device_id: str) -> ResponseReturnValue:
    """Forget a device: its next login asks for a code again.

    No proof is needed. Its sessions go on.
    """
    services().remembered.forget(caller(), device_id, client())
    return {"message": "Device forgotten."}


@bp.post("/me/remembered/forget-all")
@require_session
@answers(MessageSchema)
def forget_all() -> ResponseReturnValue:
    """Forget all devices of the caller's user.

    No proof is needed. Their sessions go on.
    """
    services().remembered.forget_all(caller(), client())
    return {"message": "All remembered devices have been forgotten."}


def _device_body(device: Remembered, own: set[str]) -> dict[str, Any]:
    return {
        "id": device.id,
        "deviceName": made_up_name(device.client),
        "ip": device.client.ip,
        "location": device.client.location,
        "createdAt": iso(device.began_at),
        "lastUsedAt": iso(device.last_used_at),
        "endsAt": iso(services().remembered.ends_at(device)),
        "isCurrent": device.id_hash in own,
    }
