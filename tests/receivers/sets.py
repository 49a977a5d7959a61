"""Holds a security event token against RFC 8417, SSF 1.0 and CAEP 1.0, as a careful receiver would."""

import re
from urllib.parse import urlsplit

import jwt

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
ENTITIES = {"admin", "user", "policy", "system"}
CREDENTIALS = {"password", "pin", "x509", "fido2-platform", "fido2-roaming", "fido-u2f", "app", "backup-codes"}
CHANGES = {"create", "revoke", "update", "delete"}
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")


def read(token: bytes, jwks: dict, issuer: str, audience: str) -> dict:
    """Return the claims of a SET. AssertionError says which rule it breaks."""
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "secevent+jwt", "RFC 8417, 2.3"
    assert header["alg"] == "RS256", "the interoperability profile"
    [key] = [one for one in jwks["keys"] if one["kid"] == header["kid"]]
    claims = jwt.decode(token, jwt.PyJWK(key).key, ["RS256"], audience=audience, issuer=issuer)
    assert {"exp", "sub", "nbf", "nonce"}.isdisjoint(claims), "SSF 1.0, 4.1.2 and 4.1.6; RFC 8417, 2.2"
    assert claims["aud"] == audience
    assert isinstance(claims["iat"], int)
    assert re.fullmatch(r"\S{1,200}", claims["jti"])
    assert isinstance(claims.get("txn", ""), str)
    [(kind, event)] = claims["events"].items()  # one event a SET
    assert urlsplit(kind).scheme == "https"
    assert isinstance(event, dict)
    _check_subject(claims["sub_id"])
    if kind == VERIFICATION:
        assert claims["sub_id"]["format"] == "opaque", "SSF 1.0, 8.1.4.1"
        assert set(event) <= {"state"}
        return claims
    assert claims["txn"], "SSF 1.0, 4.1.9: SHOULD"
    assert kind.startswith(CAEP)
    _check_event(kind.removeprefix(CAEP), event)
    return claims


def _check_subject(subject: dict) -> None:
    """RFC 9493, and the complex subject of SSF 1.0."""
    members = {"opaque": {"id"}, "iss_sub": {"iss", "sub"}, "complex": {"user", "session"}}[subject["format"]]
    assert set(subject) == members | {"format"}
    for member in members:
        if subject["format"] == "complex":
            _check_subject(subject[member])
        else:
            assert isinstance(subject[member], str)
            assert subject[member]


def _check_event(kind: str, event: dict) -> None:
    known = {"event_timestamp", "initiating_entity", "reason_admin"}
    if kind == "credential-change":
        known |= {"credential_type", "change_type"}
        assert event["credential_type"] in CREDENTIALS, "CAEP 1.0, 3.3"
        assert event["change_type"] in CHANGES
    else:
        assert kind in ("session-revoked", "session-established")
    assert set(event) <= known
    assert isinstance(event["event_timestamp"], int)
    assert event.get("initiating_entity", "user") in ENTITIES
    if kind == "session-revoked":
        assert event["reason_admin"], "the interoperability profile"
    for language, text in event.get("reason_admin", {}).items():
        assert LANGUAGE.fullmatch(language)
        assert text
