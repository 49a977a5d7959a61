"""A copy of Redis signs nobody in: no secret that was issued is in it, in no form that could be used."""

from app.stores.mail import new_notice_id
from app.web.services import EXTENSION
from tests.authenticator import Authenticator
from tests.device import PASSWORD
from tests.passkeys import add, sign_in


def dump(redis):
    """Every key and value in Redis as one text."""
    readers = {
        "string": redis.get,
        "hash": redis.hgetall,
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        "list": lambda key: redis.lrange(key, 0, -1),
        "stream": redis.xrange,
    }
    return "\n".join(f"{key} {readers[redis.type(key)](key)}" for key in sorted(redis.scan_iter()))


def test_no_secret_is_in_redis(alice, new_device, redis, clock, app):
    """Tokens, tickets, proofs, passwords, links, TOTP secrets and backup codes of everything the surface does."""
    alice.prove()
    alice.challenge()
    alice.enable_totp(clock())
    clock.advance(30)
    ticket = new_device().post("/auth/login", {"login": alice.email, "password": PASSWORD}).json["ticket"]
    codes = list(alice.backup_codes)
    tablet = new_device().log_in(alice)
    alice.end([tablet.id_hash])
    renewed = alice.post(
        "/users/@me/mfa/codes",
        {"password": PASSWORD, "regenerate": True},
        X_Discord_MFA_Authorization=alice.prove(),
    )
    codes += [code["code"] for code in renewed.json["backup_codes"]]
    alice.backup_codes = list(codes[-10:])
    proof = alice.prove()
    phone = Authenticator()
    added = add(alice, phone, X_Discord_MFA_Authorization=proof)
    codes += [code["code"] for code in added["backup_codes"]]
    start = alice.post("/auth/passwordless/start").json["ticket"]
    assert sign_in(new_device(), phone).status_code == 200
    links = app.extensions[EXTENSION].links
    linked = [
        links.issue_not_me(alice.user_id, alice.id_hash, new_notice_id()),
        links.issue_reset(alice.user_id, "9", clock(), new_notice_id()),
    ]
    new_device().post("/auth/forgot", {"login": alice.email})
    issued = {
        secret for secret in [*alice.secrets, *tablet.secrets, ticket, start, *codes, *linked] if len(secret) >= 8
    }
    assert len(issued) >= 30

    held = dump(redis)
    assert alice.id_hash in held
    assert not [secret for secret in issued if secret in held]
    parts = {part for secret in issued if secret.count(".") == 2 for part in secret.split(".")[2:]}
    assert len(parts) >= 8
    assert not [part for part in parts if part in held]
