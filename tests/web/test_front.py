"""The paths of the API: its versions, and a slash at the end."""

import pytest

PREFIXES = ["/api", *(f"/api/v{version}" for version in range(6, 11))]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("end", ["", "/"])
def test_the_api_answers_under_every_version_and_with_a_slash_at_the_end(alice, app, prefix, end):
    """Clients ask for the version that they know, and some end a path with a slash."""
    client = app.test_client()
    headers = {"Authorization": alice.token}
    assert client.get(f"{prefix}/users/@me{end}", headers=headers).json["id"] == alice.user_id
    assert client.get(f"{prefix}/auth/sessions{end}?extended=true", headers=headers).json["user_sessions"][0]["id"]
    login = client.post(f"{prefix}/auth/login{end}", json={"login": alice.email, "password": alice.password})
    assert login.json["user_id"] == alice.user_id
    assert client.put(f"{prefix}/auth/login{end}").status_code == 405
    assert client.get(f"{prefix}/users/@me/guilds{end}").json == {"code": 0, "message": "404: Not Found"}


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v5/users/@me", "/api/v11/users/@me", "/api/v/users/@me", "/api/v09/users/@me", "/api/V9/users/@me"),
        *("/api/v9/v9/users/@me", "/api/api/users/@me", "/api/v9//users/@me", "/api//users/@me", "//api/users/@me"),
        *("/api/v9/users/@me//", "/users/@me", "/apiv9/users/@me", "/api/v10users/@me", "/api", "/api/", "/api/v9/"),
    ],
)
def test_no_other_spelling_of_a_path_is_the_api(alice, app, path):
    """A gateway that reads a path in another way than Keyrack would let a request past the check."""
    answer = app.test_client().get(path, headers={"Authorization": alice.token})
    assert (answer.status_code, answer.json) == (404, {"code": 0, "message": "404: Not Found"})


@pytest.mark.parametrize("path", ["/login/", "/me/sessions/", "/settings/sessions/", "/healthz/", "/gateway/verify/"])
def test_outside_the_api_a_slash_at_the_end_is_another_path(app, path):
    assert app.test_client().get(path).status_code == 404
