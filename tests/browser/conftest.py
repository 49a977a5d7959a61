"""The pages in a real Chromium, served by gunicorn on a real Redis: each context is a device of its own."""

import shutil
import time

import pyotp
import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from app import create_app
from app.config import load_settings
from app.stores.mail import new_notice_id
from app.stores.session_records import Client
from app.web.services import EXTENSION
from tests.conftest import ENVIRONMENT
from tests.device import API, PASSWORD
from tests.live.server import Service
from tests.ports import free_port
from tests.servers import missing, redis_at

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1"
PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36"

LONGER_AGO_THAN_A_PROOF_S = 600
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
_PATIENCE_MS = 30_000


@pytest.fixture(scope="session")
def chromium():
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        missing("chromium-headless-shell or chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


class Person:
    """Somebody with an account, whose devices signed in ten minutes ago: what they did then proves nothing now.

    The sessions are opened by the service itself, in this process, with its clock set back.
    """

    def __init__(self, app, url: str, email: str) -> None:
        self._app = app
        self._url = url
        self.email = email
        self.totp_secret = ""
        self.backup_codes: list[str] = []
        self._first = self._client("")
        body = {"email": email, "username": email.partition("@")[0], "password": PASSWORD}
        assert self._first.post("/register", json=body).status_code == 201
        self._user_id = self._first.get(API + "/users/@me").json["id"]

    def enable_totp(self) -> None:
        self.totp_secret = pyotp.random_base32()
        then = int(time.time()) - LONGER_AGO_THAN_A_PROOF_S
        body = {"password": PASSWORD, "secret": self.totp_secret, "code": pyotp.TOTP(self.totp_secret).at(then)}
        client = self._client("")
        assert client.post("/login", json={"login": self.email, "password": PASSWORD}).status_code == 200
        answer = client.post(API + "/users/@me/mfa/totp/enable", json=body)
        assert answer.status_code == 200, answer.json
        assert client.post("/logout").status_code == 204
        self.backup_codes = [code["code"] for code in answer.json["backup_codes"]]

    @property
    def code(self) -> str:
        return pyotp.TOTP(self.totp_secret).now()

    def sign_in(self, window: Page, user_agent: str, **headers: str) -> Page:
        """Give a window the cookie of a session that began ten minutes ago."""
        client = self._client(user_agent)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = client.post("/login", json={"login": self.email, "password": PASSWORD}, headers=sent)
        if answer.json.get("mfa"):
            body = {"ticket": answer.json["ticket"], "code": self.backup_codes.pop()}
            answer = client.post("/login/mfa", json=body, headers=sent)
        assert answer.status_code == 200, answer.json
        cookie = {
            "name": "__Host-session",
            "value": client.get_cookie("__Host-session").value,
            "url": self._url.replace("http:", "https:"),
        }
        window.context.add_cookies([cookie | {"secure": True, "httpOnly": True, "sameSite": "Lax"}])
        return window

    def open_sessions(self, count: int, client: Client) -> None:
        """Sign in on so many devices that nobody looks at; beyond the cap the oldest of them end."""
        services = self._app.extensions[EXTENSION]
        with self._app.app_context():
            user = services.accounts.get(self._user_id)
            for _ in range(count):
                assert services.devices.open(user.id, user.credentials_version, client, ("pwd",))

    def leave_first(self) -> None:
        """End the session of the registration, so that the windows are all there is."""
        assert self._first.post("/logout").status_code == 204

    def _client(self, user_agent: str):
        client = self._app.test_client()
        client.environ_base["HTTP_USER_AGENT"] = user_agent
        return client


@pytest.fixture(scope="session")
def service(live_server):
    """gunicorn at localhost, where browsers make passkeys."""
    port = free_port()
    service = Service(live_server.url, port, HOST="localhost", PUBLIC_URL=f"http://localhost:{port}")
    service.url = f"http://localhost:{port}"
    yield service
    service.close()


@pytest.fixture
def earlier(live_server):
    """The service ten minutes ago."""
    redis = redis_at(live_server.url)
    assert not [key for key in redis.scan_iter() if key.startswith(("user:", "email:"))]
    yield create_app(load_settings(ENVIRONMENT), redis, lambda: time.time() - LONGER_AGO_THAN_A_PROOF_S)
    redis.flushdb()
    redis.close()


@pytest.fixture
def alice(earlier, service):
    return Person(earlier, service.url, "alice@example.com")


@pytest.fixture
def services(earlier):
    return earlier.extensions[EXTENSION]


@pytest.fixture
def reset_link(services, alice):
    """What the mail to Alice says: the address of a link, its secret behind the #."""

    def make():
        user_id = services.accounts.id_of(alice.email)
        return "/reset#" + services.links.issue_reset(
            user_id, services.accounts.get(user_id).secrets_version, time.time(), new_notice_id()
        )

    return make


@pytest.fixture
def new_window(chromium, service, earlier):  # the store is empty when its windows are closed
    """Opens windows, each in a context of its own; at the end none of them has complained.

    A refusal that the browser notes for itself is none: the tests ask for them.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status of 4" not in text:
            complaints.append(text)

    def open_window(**options) -> Page:
        context = chromium.new_context(**{"base_url": service.url, "user_agent": FIREFOX} | options)
        context.set_default_timeout(_PATIENCE_MS)
        contexts.append(context)
        window = context.new_page()
        window.on("console", lambda message: note(message.type, message.text))
        window.on("pageerror", lambda error: note("error", str(error)))
        return window

    open_window.complaints = complaints
    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []
