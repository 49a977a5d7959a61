"""Each surface refuses in its own form: a page, the cookie API's one sentence, or code and message."""

import pytest
from flask import Flask

from app.web.surfaces import CookieBlueprint, PageBlueprint, Surface, Surfaces

PAGE, COOKIE_API, API = "page", "cookie API", "API"

# Answered by no view: 404, or 405 where the path takes other methods only
REFUSED = {
    PAGE: [
        *("GET /settings", "GET /settings/", "GET /settings/x", "GET /settings/sessions/x", "PUT /settings/sessions"),
        *("GET /keyrack", "GET /keyrack/x", "PUT /keyrack/keyrack.css", "PUT /docs", "GET /docs/x"),
        *("PUT /", "GET /login/", "GET /login/x", "GET /login/mfa/", "GET /login/mfa/x", "PUT /login/form"),
        *("GET /register/", "GET /register/x", "PUT /register/form", "GET /logout/", "GET /logout/x"),
        *("PUT /forgot", "GET /forgot/x", "PUT /reset", "GET /reset/x", "PUT /not-me", "GET /not-me/", "GET /not-me/x"),
    ],
    COOKIE_API: [
        *("PUT /login", "GET /login/mfa", "PUT /register", "GET /logout", "GET /me", "GET /me/", "GET /me/x"),
        *("GET /me/sessions/x", "GET /me/sessions/revoke", "GET /me/sessions/x/y"),
    ],
    API: [
        *("GET /api/v9/x", "GET /api/v9/auth/login", "GET /api/v9/login", "GET /api", "GET /gateway", "GET /gateway/x"),
        *("GET /gateway/introspect", "GET /gateway/settings", "PUT /healthz", "GET /healthz/x", "PUT /readyz"),
        *(
            "PUT /openapi.json",
            "GET /metrics",
            "GET /static/keyrack.css",
            "GET /nonsense",
            "GET /nonsense/x",
            "GET /x/settings",
            "GET /x/login",
        ),
        *("GET /settingsx", "GET /docsx", "GET /loginx", "GET /mex", "GET /settings%0a", "GET /login%0a", "GET /%0a"),
    ],
}


def form_of(answer):
    if answer.content_type.startswith("text/html"):
        return PAGE
    return {("error",): COOKIE_API, ("code", "message"): API}[tuple(sorted(answer.json))]


@pytest.mark.parametrize("surface", REFUSED)
def test_what_no_view_answers_is_refused_in_the_form_of_the_surface(make_app, surface):
    client = make_app(GATEWAY_SECRET="what-the-gateway-shows-to-be-let-in").test_client()
    for asked in REFUSED[surface]:
        method, path = asked.split(" ")
        answer = client.open(path, method=method)
        assert answer.status_code in (404, 405), asked
        assert form_of(answer) == surface, asked


def test_what_a_view_refuses_has_the_form_of_the_surface(app):
    client = app.test_client()
    evil = {"Sec-Fetch-Site": "cross-site"}
    assert form_of(client.post("/login/form", headers=evil)) == PAGE
    assert form_of(client.post("/reset/form", headers=evil)) == PAGE
    assert form_of(client.post("/login", headers=evil)) == COOKIE_API
    assert form_of(client.get("/me/sessions")) == COOKIE_API
    assert form_of(client.get("/api/v9/auth/sessions")) == API


def test_a_new_page_is_known_by_its_blueprint():
    app = Flask("new")
    for blueprint, path in (
        (PageBlueprint("shown", "new"), "/shown/here"),
        (CookieBlueprint("own", "new"), "/own/<x>"),
    ):
        blueprint.add_url_rule(path, "view", lambda: "")
        app.register_blueprint(blueprint)
    surfaces = Surfaces(app)
    paths = {"/shown": Surface.PAGES, "/shown/x": Surface.PAGES, "/own/x/y": Surface.COOKIE_API, "/other": Surface.API}
    assert {path: surfaces.of_path(path) for path in paths} == paths
