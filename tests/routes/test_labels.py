"""What password managers and browsers are told of the fields of forms."""

from html.parser import HTMLParser

import pytest

from tests.device import PASSWORD

pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

FORM = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
KNOWN = {
    "email",
    "username",
    "username webauthn",
    "nickname",
    "current-password",
    "new-password",
    "one-time-code",
    "off",
}


class Fields(HTMLParser):
    """The fields of a page that people fill in, by the action of their form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.by_form: dict[str, list[dict[str, str]]] = {}
        self._action = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        told = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._action = told.get("action", "")
        if tag == "input" and told.get("type") not in ("hidden", "checkbox"):
            self.by_form.setdefault(self._action, []).append(told)


@pytest.fixture
def forms(app):
    """The fields of each form, of visitors and of a user."""
    visitor, user = app.test_client(), app.test_client()
    user.post("/register/form", data=FORM)
    found = {}
    for path in ("/login", "/register", "/forgot", "/reset", "/revert", "/not-me"):
        found |= Fields(visitor.get(path).text).by_form
    for path in ("/settings/security", "/settings/security/totp"):
        found |= Fields(user.get(path).text).by_form
    assert len(found) > 8
    return found


def test_each_field_says_what_it_is_for(forms):
    for action, fields in forms.items():
        if action:  # those of dialogs are filled in by scripts
            assert {field.get("autocomplete") for field in fields} <= KNOWN, action


def test_the_address_is_the_username_in_each_form(forms):
    """As text: a browser's own field for addresses refuses some that exist, and changes others."""
    for action, name in (("/login/form", "login"), ("/register/form", "email"), ("/forgot/form", "login")):
        [field] = [field for field in forms[action] if field["name"] == name]
        assert (field["type"], field["inputmode"]) == ("text", "email")
        assert field["autocomplete"].split()[0] == "username"
        assert (field["autocapitalize"], field["spellcheck"]) == ("none", "false")
    assert [field for fields in forms.values() for field in fields if field.get("type") == "email"] == []


def test_a_new_password_has_its_username_beside_it(forms):
    """Else a manager does not know which of its entries to change. Behind a link from a mail nobody knows who it is."""
    for action, fields in forms.items():
        labels = {field.get("autocomplete") for field in fields}
        if "new-password" in labels and action not in ("/reset/form", "/revert/form"):
            assert "username" in labels, action
