"""The texts of mails: what happened, and what the user should do, in the language of the mail.

How a mail is composed of them: letters.py. Their form: templates/mail/.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.languages.texts import LazyText
from app.languages.texts import lazy_gettext as _
from app.stores.mail import NoticeKind


@dataclass(frozen=True, slots=True)
class Wording:
    """The text of a kind of notice.

    Attributes:
        button: The text of the link.
        path: The path of the link.
        advice: The text below the link.
    """

    subject: LazyText
    message: LazyText
    button: LazyText
    path: str
    advice: LazyText


_DEVICES = (_("See your devices"), "/settings/sessions")
_SECURITY = (_("Look at your security settings"), "/settings/security")
_FORGOT = (_("Set a new password"), "/forgot")
_COME_BACK = (_("Take my account back"), "/login?undelete=1")
_NOT_YOU = _(
    "If this was you, there is nothing to do. If it was not, set a new password at once: that ends every session."
)
WORDINGS: Mapping[NoticeKind, Wording] = {
    "sign_in": Wording(
        _("New sign-in to your account"),
        _("Your account was signed in to with a kind of device, or from a country, that is new to it."),
        _("This wasn't me"),
        "/not-me",
        _(
            "If this was you, there is nothing to do. If it was not, the link ends that session, and lets you set a "
            "new password. It works once, within 48 hours."
        ),
    ),
    "many_sign_ins": Wording(
        _("Many new sign-ins to your account"),
        _(
            "There were more new sign-ins to your account in the last hour than we tell you of one by one. This is "
            "one of them:"
        ),
        *_DEVICES,
        _(
            "There you see all that is signed in, and end what you do not recognise. If there is any, set a new "
            "password at once."
        ),
    ),
    "wrong_code": Wording(
        _("Your password was used with a wrong code"),
        _("Somebody gave the right password of your account, but a wrong code after it."),
        *_FORGOT,
        _(
            "If this was you, there is nothing to do. If it was not, your password is known to somebody else: set a "
            "new one at once."
        ),
    ),
    "many_wrong_codes": Wording(
        _("Your password was used with many wrong codes"),
        _(
            "Somebody gave the right password of your account with wrong codes after it, more often in the last hour "
            "than we tell you of one by one. This is one of the times:"
        ),
        *_DEVICES,
        _(
            "There you see all that is signed in. If this was not you, your password is known to somebody else: set a "
            "new one at once."
        ),
    ),
    "password_changed": Wording(
        _("Your password was changed"),
        _("The password of your account was changed."),
        *_FORGOT,
        _(
            "If this was you, there is nothing to do. If it was not, set a new password at once: that ends every "
            "session. If you are asked for a code and did not turn two-factor authentication on, take the link in our "
            "mail about that instead."
        ),
    ),
    "totp_on": Wording(
        _("Two-factor authentication is on"),
        _("Two-factor authentication was turned on for your account."),
        _("This wasn't me"),
        "/revert",
        _(
            "If this was you, there is nothing to do. If it was not, the link takes it off again with all that was "
            "set up since, ends every session and lets you set a new password. It works once, within 48 hours."
        ),
    ),
    "totp_off": Wording(
        _("Two-factor authentication is off"),
        _(
            "Two-factor authentication by codes of an app was turned off for your account. Without a passkey, the "
            "password alone signs in now."
        ),
        *_SECURITY,
        _NOT_YOU,
    ),
    "passkey_added": Wording(
        _("A passkey was added to your account"),
        _("A passkey was added to your account. It signs in without a password."),
        _("This wasn't me"),
        "/revert",
        _(
            "If this was you, there is nothing to do. If it was not, the link removes the passkey and all that was "
            "set up since, ends every session and lets you set a new password. It works once, within 48 hours."
        ),
    ),
    "passkey_removed": Wording(
        _("A passkey of your account was removed"),
        _("A passkey of your account was removed. It does not sign in any more."),
        *_SECURITY,
        _NOT_YOU,
    ),
    "passkey_copied": Wording(
        _("A passkey of your account may have been copied"),
        _("A passkey of your account was used, but its counter says that it was used elsewhere, too. It was refused."),
        *_SECURITY,
        _(
            "Passkeys that count cannot be copied by their owner. Remove this one, and set a new password if you did "
            "not use it just now."
        ),
    ),
    "codes_renewed": Wording(
        _("Your backup codes were renewed"),
        _("Your account has new backup codes. The old ones do not work any more."),
        *_SECURITY,
        _NOT_YOU,
    ),
    "last_code_used": Wording(
        _("Your last backup code was used"),
        _("The last of your backup codes was used. If you lose your authenticator now, you are locked out."),
        _("Make new backup codes"),
        "/settings/security",
        _("If this was not you, somebody has your codes: set a new password at once, and make new codes."),
    ),
    "suspicious": Wording(
        _("Please look at the devices of your account"),
        _("A session of your account looks suspicious."),
        *_DEVICES,
        _(
            "There you see all that is signed in, and end what you do not recognise. If there is any, set a new "
            "password at once."
        ),
    ),
    "others_ended": Wording(
        _("All other devices were logged out"),
        _("Every device of your account was logged out, except the one that asked for it:"),
        *_FORGOT,
        _NOT_YOU,
    ),
    "reset": Wording(
        _("Set a new password"),
        _("Somebody, we hope you, asked for a new password for your account."),
        _("Set a new password"),
        "/reset",
        _(
            "The link works once, within one hour, and ends every session. If you did not ask for it, there is "
            "nothing to do: your password stays as it is."
        ),
    ),
    "verify": Wording(
        _("Verify your email address"),
        _("Somebody, we hope you, has registered with this address."),
        _("Verify the address"),
        "/verify",
        _("The link works once, within 48 hours. If you did not register, there is nothing to do."),
    ),
    "new_address": Wording(
        _("Verify your new email address"),
        _("Somebody, we hope you, wants this to be the address of their account."),
        _("Verify the address"),
        "/verify",
        _(
            "The link works once, within 48 hours; until then the account keeps the address that it has. If you did "
            "not ask for it, there is nothing to do."
        ),
    ),
    "address_changed": Wording(
        _("Your email address was changed"),
        _("Your account has another email address now. Mails no longer come here."),
        _("This wasn't me"),
        "/revert",
        _(
            "If this was you, there is nothing to do. If it was not, the link puts this address back, takes off what "
            "was set up since, ends every session and lets you set a new password. It works once, within 48 hours."
        ),
    ),
    "account_disabled": Wording(
        _("Your account is disabled"),
        _("Your account was disabled, and every device is logged out."),
        *_COME_BACK,
        _(
            "The account stays as it is until you log in by that page. If it was not you who disabled it, log in "
            "there and set a new password at once."
        ),
    ),
    "account_deleted": Wording(
        _("Your account will be deleted"),
        _(
            "Your account was deleted, and every device is logged out. All that is kept of it is removed at the time "
            "of “Deletion” below."
        ),
        *_COME_BACK,
        _(
            "Until then, logging in by that page takes it back. If it was not you who deleted it, log in there and "
            "set a new password at once."
        ),
    ),
    "came_back": Wording(
        _("Your account is back"),
        _("Somebody has logged in to your account, which was disabled or deleted, and took that back."),
        *_DEVICES,
        _NOT_YOU,
    ),
}
# The pages after whose link another one is offered, for a new password
WITH_FORGOT = ("/settings/sessions", "/settings/security", "/not-me", "/login?undelete=1")
