"""The keys of tokens for receivers, as real processes publish them."""

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.live.server import Service
from tests.servers import wait_until


def test_a_worker_notes_what_it_publishes_when_it_begins(live_server, real_redis, tmp_path):
    """Nobody has to ask for the keys first: a deliverer elsewhere learns since when they are known."""
    path = tmp_path / "signing.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    service = Service(live_server.url, SIGNING_KEYS=str(path))
    try:
        wait_until(lambda: real_redis.zcard("events:signing_keys") == 1, "no key was noted")
        answer = service.client().open("/.well-known/jwks.json", "GET", {})
        assert [key["kid"] for key in answer.json["keys"]] == real_redis.zrange("events:signing_keys", 0, -1)
    finally:
        service.close()
