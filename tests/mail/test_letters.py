"""What mails say, to whom, and that nothing a client said is more than a word in them."""

import email
import re
from email.headerregistry import Address
from email.policy import SMTP, SMTPUTF8
from typing import get_args

import pytest
from fakeredis import FakeRedis, FakeServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import create_app
from app.config import load_settings
from app.mail.letters import Letters
from app.mail.refusals import RecipientRefused
from app.rules.keyring import Keyring
from app.rules.links import Links
from app.stores.mail import Notice, NoticeKind
from app.stores.session_records import Client
from app.stores.users import Change, Deletion
from tests.conftest import ENVIRONMENT

# What letters read and write in Redis, users and links, is tested on a real one in tests/stores.
pytestmark = pytest.mark.parametrize("redis", ["fake"], indirect=True)

KINDS = get_args(NoticeKind)
SITE = "https://keys.example.com"
FROM = Address("Keyrack", "no-reply", "example.com")
CLIENT = Client(os="Linux", platform="Firefox", location="Zürich, Zurich, Switzerland", ip="203.0.113.7")
AT = 1752708864.7  # 16 July 2025, 23:34:24 UTC
SESSION = "S" * 43 + "="
KEYRING = Keyring(["k" * 32])
LINKED = (
    "reset",
    "sign_in",
    "totp_on",
    "passkey_added",
    "verify",
    "new_address",
    "address_changed",
)  # kinds whose mail has a link with a secret


@pytest.fixture(scope="module")
def app():
    """Has the templates; one does for all."""
    with FakeRedis(server=FakeServer(), decode_responses=True, protocol=2) as redis:
        yield create_app(load_settings(ENVIRONMENT), redis)


@pytest.fixture
def link_rules(links, clock):
    return Links(links, KEYRING, clock)


@pytest.fixture
def letters(users, link_rules):
    return Letters(users, link_rules, KEYRING, FROM, SITE, "en")


@pytest.fixture
def user(users):
    """Makes a user of an address."""

    def create(address="ada@example.com", user_id="1"):
        users.create(user_id, address, email=address, username="ada", global_name=None, password_hash="", created_at=0)
        return user_id

    return create


@pytest.fixture
def notice_of(users, clock, links):
    """Makes a notice to a user, whose record is as it is when that is told."""

    def make(kind, user_id="1", client=CLIENT, keyring=KEYRING, **more):
        asked = {"pending_email": "new@example.com", "pending_since": str(int(AT))}
        fields = {"verify": {"unverified": "1"}, "new_address": asked}.get(kind, {})
        email = asked["pending_email"] if kind == "new_address" else users.get(user_id).email
        more = {"secrets_version": "0", "digest": keyring.digest(email)} | more
        notice = Notice(kind, user_id, AT, client, SESSION, **more)
        revert = Links(links, keyring, clock).new_revert_of_address(user_id, "former@example.com", int(AT), notice.id)
        opened = revert if kind == "address_changed" else None
        users.change(user_id, Change(same_credentials=True, set=fields, open_link=opened))
        return notice

    return make


@pytest.fixture
def compose(app, letters, user, notice_of):
    """The mail about a notice to Ada, as it is after it was sent."""

    def sent(kind="sign_in", client=CLIENT, address="ada@example.com"):
        with app.app_context():
            message = letters.compose(notice_of(kind, user(address), client))
        return email.message_from_bytes(message.as_bytes(), policy=SMTP)

    return sent


def text_of(message):
    return message.get_body(["plain"]).get_content().replace("\r\n", "\n")


def html_of(message):
    return message.get_body(["html"]).get_content()


def links_of(message):
    """Those in the text and those in the HTML, which are the same."""
    in_text = re.findall(r"^(https?://\S+)$", text_of(message), re.MULTILINE)
    assert re.findall(r'href="([^"]*)"', html_of(message)) == in_text
    return in_text


@pytest.mark.parametrize("kind", KINDS)
def test_each_names_device_place_address_and_time(compose, kind):
    message = compose(kind)
    for shown in (text_of(message), html_of(message)):
        for fact in ("Firefox on Linux", "Zürich, Zurich, Switzerland", "203.0.113.7", "16 July 2025, 23:34 UTC"):
            assert shown.count(fact) == 1
    assert message["Subject"] in html_of(message)
    assert all(len(line) <= 998 for line in message.as_bytes().splitlines())


def test_each_has_a_subject_of_its_own(compose):
    assert len({compose(kind)["Subject"] for kind in KINDS} - {compose("reset")["Subject"]}) == len(KINDS) - 1


def test_the_headers(compose):
    message = compose()
    assert sorted(message.keys()) == sorted(
        [
            *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
            *("MIME-Version", "Content-Type"),
        ]
    )
    assert (str(message["From"]), str(message["To"])) == ("Keyrack <no-reply@example.com>", "ada@example.com")
    assert (message["Auto-Submitted"], message["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert message["Date"].datetime.timestamp() == int(AT)
    assert re.fullmatch(r"<\S+@example\.com>", message["Message-ID"])
    assert message.get_content_type() == "multipart/alternative"


def test_this_was_not_me(compose, link_rules, redis, sessions, clock):
    """The link's secret stands in the fragment and ends the session."""
    message = compose("sign_in")
    sessions.open("1", SESSION, int(clock()), CLIENT, "1", 50)
    link, forgot = links_of(message)
    assert forgot == SITE + "/forgot"
    page, _, secret = link.partition("#")
    assert page == SITE + "/not-me"
    link_rules.end_session(secret)
    assert sessions.list("1") == []


def test_a_second_factor_that_was_turned_on(compose, link_rules, clock):
    """One link, that takes it off again: a reset would ask for the code of whoever turned it on."""
    clock.now = AT
    [link] = links_of(compose("totp_on"))
    page, _, secret = link.partition("#")
    assert page == SITE + "/revert"
    assert link_rules.read_revert(secret).user_id == "1"


def test_a_changed_password_leads_to_the_link_about_a_factor(compose):
    """Who set the password may have turned a factor on before."""
    assert "did not turn two-factor authentication on" in text_of(compose("password_changed")).replace("\n", " ")


def test_a_reset(compose, link_rules, clock):
    """One link and no other; it is good for the user it was mailed to."""
    clock.now = AT
    [link] = links_of(compose("reset"))
    page, _, secret = link.partition("#")
    assert page == SITE + "/reset"
    assert link_rules.read_reset(secret).user_id == "1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_that_is_sent_twice_is_one_mail(app, letters, user, notice_of, clock, kind):
    """The server may have taken the first: Message-ID, Date and links are the same, and the links work as before."""
    notice = notice_of(kind, user())
    with app.app_context():
        first, again = letters.compose(notice), letters.compose(notice)
        clock.advance(600)
        late = letters.compose(notice)
        another = letters.compose(notice_of(kind))
    for name in ("Message-ID", "Date", "Subject"):
        assert first[name] == again[name] == late[name]
    assert text_of(first) == text_of(again) == text_of(late)
    assert another["Message-ID"] != first["Message-ID"]
    assert (text_of(another) == text_of(first)) is (kind not in LINKED)


@pytest.mark.parametrize("kind", LINKED)
def test_who_reads_redis_cannot_make_the_secret_of_a_link(app, users, links, user, notice_of, clock, kind):
    """It needs SECRET_KEYS, and belongs to one user and one kind."""
    secrets = set()
    for key, user_id in (("k", "1"), ("o", "1"), ("k", "2")):
        keyring = Keyring([key * 32])
        letters = Letters(users, Links(links, keyring, clock), keyring, FROM, SITE, "en")
        if not users.get(user_id):
            user(f"{user_id}@example.com", user_id)
        with app.app_context():
            message = letters.compose(notice_of(kind, user_id, keyring=keyring, id="n" * 64))
        secrets.add(links_of(message)[0].rpartition(".")[2])
    assert len(secrets) == 3


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(LINKED)))
def test_no_other_has_a_secret(compose, redis, kind):
    pages = {SITE + path for path in ("/forgot", "/settings/sessions", "/settings/security", "/login?undelete=1")}
    assert set(links_of(compose(kind))) <= pages
    assert [key for key in redis.scan_iter() if key.endswith(":links")] == []


@pytest.mark.parametrize("kind", ["many_sign_ins", "many_wrong_codes", "suspicious"])
def test_what_happened_often_is_looked_at_on_the_devices_page(compose, kind):
    assert links_of(compose(kind))[0] == SITE + "/settings/sessions"


def test_what_is_unknown_is_said_to_be(compose):
    message = compose(client=Client())
    for name in ("Device", "Place", "Address"):
        assert re.search(rf"^{name}: +unknown$", text_of(message), re.MULTILINE)
        assert f"{name}: <b>unknown</b>" in html_of(message)


def test_nothing_is_loaded_from_anywhere(compose):
    for kind in KINDS:
        assert not re.search(r"(?i)src=|url\(|<link|@import|<script|<img|background=", html_of(compose(kind)))


@pytest.mark.parametrize("gone", ["deleted", "disabled"])
def test_who_is_gone_or_disabled_is_told_nothing(app, letters, user, users, redis, gone):
    user()
    users.delete(Deletion("1", ["ada@example.com"], "digest")) if gone == "deleted" else users.change(
        "1", Change(set={"disabled": "1"})
    )
    with app.app_context():
        for kind in KINDS:
            assert letters.compose(Notice(kind, "1", AT, CLIENT, SESSION)) is None
    assert [key for key in redis.scan_iter() if key.endswith(":links")] == []


@pytest.mark.parametrize(
    ("address", "spoken"),
    [
        ("ada@zürich.example", "ada@xn--zrich-kva.example"),
        ("zoë@zürich.example", "zoë@xn--zrich-kva.example"),
        ("mia@straße.example", "mia@xn--strae-oqa.example"),
    ],
)
def test_international_addresses(app, letters, user, address, spoken):
    """The domain in its ASCII form; a name that has none asks the server for SMTPUTF8."""
    with app.app_context():
        message = letters.compose(Notice("sign_in", user(address), AT, CLIENT, SESSION))
    assert message["To"].addresses[0].addr_spec == spoken
    again = email.message_from_string(message.as_bytes().decode(), policy=SMTPUTF8)
    assert again["To"].addresses[0].addr_spec == spoken


@pytest.mark.parametrize(
    "address",
    [
        "a..b@docomo.ne.jp",
        "a.@docomo.ne.jp",
        "admin@localhost",
        "ada@my_host.example",
        "ada@[192.0.2.1]",
        '"a,b"@x.example',
    ],
)
def test_an_imported_address_is_written_as_it_is(app, letters, user, address):
    """Whatever another service took: its owner gets the mail, and the mail server judges."""
    with app.app_context():
        message = letters.compose(Notice("sign_in", user(address), AT, CLIENT, SESSION))
    assert message["To"].addresses[0].addr_spec == address


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "ada@",
        "a\r\nBcc: bob@example.com@example.com",
        "ada@example.com\nBcc: b@c.de",
        "ada@c.de,e.fr",
        "ada@<c.de>",
    ],
)
def test_an_address_that_is_none_is_refused(app, letters, user, address):
    with app.app_context(), pytest.raises(RecipientRefused, match=r"^no valid address$"):
        letters.compose(Notice("sign_in", user(address), AT, CLIENT, SESSION))


anything = st.one_of(
    st.none(), st.text(max_size=300), st.sampled_from(["\r\nBcc: eve@example.com", "<b>x</b>", "\n\n--\n"])
)


@given(os=anything, platform=anything, location=anything, ip=anything, kind=st.sampled_from(KINDS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_client_is_like_the_mail_has_the_same_headers_and_lines(compose, os, platform, location, ip, kind):
    usual = compose(kind)
    message = compose(kind, Client(os, platform, location, ip))
    assert sorted(message.keys()) == sorted(usual.keys())
    for name in ("From", "To", "Subject", "Auto-Submitted"):
        assert message[name] == usual[name]
    assert text_of(message).count("\n") == text_of(usual).count("\n")
    assert html_of(message).count("<") == html_of(usual).count("<")
    assert len(links_of(message)) == len(links_of(usual))


# As X-Super-Properties can say them.
PITCHES = [
    *(
        "Call+1-555-0100 to keep your account",
        "https://evil.example/x",
        "evil.example",
        "call ada@evil.example",
        "evil\u3002com/x",
        "evil\uff0ecom",
    ),
    *("http\uff1a//evil", "Your account is locked", "Firefox, or call 555"),
    *("Firefox\n555-0100", "firefox 555-0100", "Windows 555-0100", "Linux 5.example", "Android 10.0.0.1"),
]


@pytest.mark.parametrize(("kind", "pitches"), [("sign_in", PITCHES), *((kind, PITCHES[:1]) for kind in KINDS)])
def test_no_word_that_a_client_said_is_in_a_mail(compose, kind, pitches):
    """Whoever registers may give the address of another, who is then mailed whatever becomes of that account."""
    links = re.compile(r"^https?://\S+$", re.MULTILINE)
    usual = links.sub("", text_of(compose(kind, Client(os="Linux"))))
    assert len(re.findall(r"^Device: +Linux$", usual, re.MULTILINE)) == 1
    for said in pitches:
        assert links.sub("", text_of(compose(kind, Client(os="Linux", platform=said)))) == usual
        assert re.search(r"^Device: +unknown$", text_of(compose(kind, Client(os=said, platform=said))), re.MULTILINE)


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (Client(os="Windows 8.1", platform="Chrome Mobile"), "Chrome on Windows 8.1"),
        (Client(os="Android", platform="Discord Android"), "Discord on Android"),
        (Client(os="Mac OS X", platform="curl"), "curl on macOS"),
        (Client(os="iOS 17.5", platform="Mobile Safari UI/WKWebView"), "Safari on iPhone"),
        (Client(os="TempleOS", platform="Firefox"), "Firefox"),
        (Client(os="TempleOS", platform="HolyC"), "unknown"),
        (Client(os="Android", platform="Chrome Mobile", device="Pixel 8"), "Chrome on a Pixel 8"),
        (Client(os="Android", platform="Chrome Mobile", device="Pixel at pills.example"), "Chrome on Android"),
        (Client(os="iOS", platform="Google", form="tablet"), "Google on iPad"),
        (Client(os="Windows", platform="Edge", device="Xbox", form="console"), "Edge on Xbox"),
        (Client(os="Windows", platform="Electron", program="Discord"), "Discord on Windows"),
        (Client(os="Windows", platform="Electron", program="pills.example"), "Windows"),
        (Client(platform="curl"), "curl"),
    ],
)
def test_well_known_systems_and_programs_are_named(compose, client, name):
    assert re.search(rf"^Device: +{re.escape(name)}$", text_of(compose("sign_in", client)), re.MULTILINE)
