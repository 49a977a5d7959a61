"""Takes the README's pictures with Chromium, from a service with demonstration data. Run it by scripts/screenshots."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from app import create_app
from app.config import load_settings
from app.stores.connection.connect import connect
from tests.authenticator import Authenticator
from tests.browser.conftest import ARGUMENTS
from tests.conftest import ENVIRONMENT, Clock
from tests.device import API, PASSWORD
from tests.passkeys import CREDENTIALS
from tests.ports import free_port
from tests.servers import RedisServer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MOST_BYTES = 150_000

MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S
ACCOUNT = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
LOGIN = {"login": ACCOUNT["email"], "password": PASSWORD}

# Networks for documentation (RFC 5737), and made-up places for them.
PLACES = {
    "203.0.113.0/24": ("Zürich", "Zurich", "Switzerland"),
    "198.51.100.0/25": ("Bern", "Bern", "Switzerland"),
    "192.0.2.0/24": ("Lyon", "Auvergne-Rhône-Alpes", "France"),
}
MOZILLA = "Mozilla/5.0 "
FIREFOX = MOZILLA + "(X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
CHROME_WINDOWS = MOZILLA + "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36"
CHROME_PIXEL = MOZILLA + "(Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36"
SAFARI_IPAD = MOZILLA + "(iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1"
SAFARI_MAC = MOZILLA + "(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.0 Safari/605.1.15"


def write_places(path: Path) -> None:
    """Write a small location database in MaxMind's format."""
    writer = MMDBWriter(ip_version=6, database_type="GeoIP2-City", ipv4_compatible=True)
    for network, (city, state, country) in PLACES.items():
        named = ({"names": {"en": name}} for name in (city, state, country))
        record = dict(zip(("city", "subdivisions", "country"), named, strict=True))
        writer.insert_network(IPSet([network]), record | {"subdivisions": [record["subdivisions"]]})
    writer.to_db_file(str(path))


class Demonstration:
    """A user with devices of the last weeks, made by the API with the service's clock set back."""

    def __init__(self, app: Flask, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._laptop: Any = None
        self._codes: list[str] = []

    def make(self) -> str:
        """Make the devices. Return the token of the laptop that looks at the page."""
        now = self._clock.now
        self._sign_in(now - 41 * DAY_S, CHROME_WINDOWS, "192.0.2.14", path="/register")
        laptop = self._sign_in(now - 18 * DAY_S, FIREFOX, "203.0.113.7")
        self._sign_in(now - 16 * DAY_S, "", "198.51.100.200")
        tablet = self._sign_in(now - 12 * DAY_S, SAFARI_IPAD, "203.0.113.8")
        mac = self._sign_in(now - 6 * DAY_S, SAFARI_MAC, "192.0.2.77")
        phone = self._sign_in(now - 5 * DAY_S, CHROME_PIXEL, "198.51.100.23")
        self._clock.now = now - 2 * DAY_S
        tablet_id = self._id(tablet)
        self._clock.now = now - DAY_S
        mac.post("/logout")
        old = self._sign_in(now - DAY_S, CHROME_WINDOWS, "192.0.2.14")
        self._clock.now = now - 40 * MINUTE_S
        laptop.patch("/me/sessions/" + tablet_id, json={"name": "Kitchen tablet"})
        mfa = laptop.delete("/me/sessions/" + self._id(old)).json["mfa"]
        proof = {"ticket": mfa["ticket"], "mfa_type": "password", "data": PASSWORD}
        assert laptop.post(API + "/mfa/finish", json=proof).status_code == 200
        assert laptop.delete("/me/sessions/" + self._id(old)).status_code == 200
        self._clock.now = now - 5 * MINUTE_S
        phone.get("/me/sessions")
        self._clock.now = now
        self._laptop = laptop
        return str(laptop.get_cookie("__Host-session").value)

    def add_passkeys(self, url: str) -> str:
        """Add two passkeys for the page at a URL. Return the token that the laptop has then."""
        now = self._clock.now
        phone = Authenticator(url)
        self._clock.now = now - 9 * DAY_S
        self._add_passkey("Kitchen tablet", Authenticator(url), {"password": PASSWORD})
        self._clock.now = now - 2 * DAY_S
        self._add_passkey("Phone", phone, {"code": self._codes.pop()})
        self._clock.now = now - 3 * 60 * MINUTE_S
        mfa = self._laptop.post("/me/proof").json["mfa"]
        data = phone.get(mfa["methods"][0]["challenge"])
        proof = {"ticket": mfa["ticket"], "mfa_type": "webauthn", "data": data}
        assert self._laptop.post(API + "/mfa/finish", json=proof).status_code == 200
        self._clock.now = now
        return str(self._laptop.get_cookie("__Host-session").value)

    def _add_passkey(self, name: str, authenticator: Authenticator, proof: dict[str, str]) -> None:
        begun = self._laptop.post(API + CREDENTIALS, json=proof).json
        body = {"ticket": begun["ticket"], "name": name, "credential": authenticator.make(begun["challenge"])}
        answer = self._laptop.post(API + CREDENTIALS, json=body)
        assert answer.status_code == 200, answer.json
        self._codes = [code["code"] for code in answer.json["backup_codes"]]

    def _sign_in(self, at: float, user_agent: str, ip: str, path: str = "/login") -> Any:
        self._clock.now = at
        client = self._app.test_client()
        client.environ_base |= {"HTTP_USER_AGENT": user_agent, "REMOTE_ADDR": ip}
        answer = client.post(path, json=LOGIN | ACCOUNT)
        assert answer.status_code < 300, answer.json
        return client

    @staticmethod
    def _id(client: Any) -> str:
        return next(str(session["id"]) for session in client.get("/me/sessions").json if session["isCurrent"])


class From:
    """A WSGI middleware that sets the client's address."""

    def __init__(self, app: Callable[..., Any], ip: str) -> None:
        self._app = app
        self._ip = ip

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._app(environ | {"REMOTE_ADDR": self._ip}, start_response)


@contextmanager
def serving(app: Callable[..., Any], port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, From(app, "203.0.113.7"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


class Camera:
    def __init__(self, browser: Browser, url: str, token: str) -> None:
        self._browser = browser
        self._url = url
        self._token = token

    def open(self, path: str, scheme: str, width: int, height: int, scale: float = 1) -> Page:
        context = self._browser.new_context(
            base_url=self._url,
            user_agent=FIREFOX,
            color_scheme=scheme,  # type: ignore[arg-type]  # a str that is one of Playwright's literals
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            reduced_motion="reduce",
        )
        cookie = {"name": "__Host-session", "value": self._token, "url": self._url.replace("http:", "https:")}
        context.add_cookies([cookie | {"secure": True}])  # type: ignore[list-item]  # a dict for Playwright's TypedDict
        page = context.new_page()
        page.goto(path)
        return page

    @staticmethod
    def take(page: Page, name: str, *, full: bool = False) -> None:
        path = IMAGES / f"{name}.png"
        page.screenshot(path=path, full_page=full)
        size = path.stat().st_size
        print(f"{path.name}: {size // 1000} kB")
        assert size < MOST_BYTES, f"{path.name} is too large for a README"
        page.context.close()


def take_all(camera: Camera) -> None:
    desktop, phone = (1000, 940), (390, 844)
    camera.take(camera.open("/settings/sessions", "light", *desktop), "devices-light")
    camera.take(camera.open("/settings/sessions", "light", *phone, scale=1.5), "devices-phone-light")
    camera.take(camera.open("/settings/security/totp", "light", 1000, 640), "totp-light")

    page = camera.open("/settings/sessions", "dark", *desktop)
    for box in page.locator(".pick input").all()[:2]:
        box.check()
    page.locator("#selected").click()
    page.locator("#ask-answer").fill("not this one")
    page.keyboard.press("Enter")
    page.locator("#ask-problem:not(:empty)").wait_for()
    camera.take(page, "devices-dark")

    page = camera.open("/settings/sessions", "dark", *phone, scale=1.5)
    for box in page.locator(".pick input").all()[:2]:
        box.check()
    camera.take(page, "devices-phone-dark")


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    IMAGES.mkdir(parents=True, exist_ok=True)
    redis_server = RedisServer()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder) / "places.mmdb"
        write_places(places)
        port = free_port()
        url = f"http://localhost:{port}"  # no address: there are no passkeys at one
        settings = load_settings(ENVIRONMENT | {"GEOIP_DATABASE": str(places), "PUBLIC_URL": url})
        app = create_app(settings, connect(redis_server.url), clock)
        try:
            demonstration = Demonstration(app, clock)
            token = demonstration.make()
            with serving(app, port), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
                take_all(Camera(browser, url, token))
                camera = Camera(browser, url, demonstration.add_passkeys(url))
                camera.take(camera.open("/settings/security", "light", 1000, 940), "passkeys-light")
                browser.close()
        finally:
            redis_server.close()


if __name__ == "__main__":
    main()
