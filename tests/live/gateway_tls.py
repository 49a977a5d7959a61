"""A listener for TLS and HTTP/2 in the gateways' files, beside the one that they have; their first lines say where."""

import copy
from pathlib import Path
from typing import Any

import yaml

from tests.certificates import Pair


def with_tls(name: str, text: str, plain: int, port: int, pair: Pair) -> str:
    """Return a file of docs/gateway that listens on a second port, with a certificate."""
    if name not in _CHANGES:
        return text
    changed = _CHANGES[name](text, plain, port, pair)
    assert changed != text, f"{name} has no line to change"
    return changed


def _nginx(text: str, plain: int, port: int, pair: Pair) -> str:
    tls = f"listen 127.0.0.1:{port} ssl http2; ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};"
    return text.replace(f"listen 127.0.0.1:{plain};", f"listen 127.0.0.1:{plain}; {tls}")


def _caddy(text: str, plain: int, port: int, pair: Pair) -> str:
    """The site is one for both, without Caddy's redirects from port 80, which is the machine's."""
    text = text.replace("{\n\tservers {", "{\n\tauto_https disable_redirects\n\tservers {", 1)
    site = f"http://127.0.0.1:{plain} {{"
    tls = f"tls {pair.certificate} {pair.key}"
    both = f"{site}\n\timport site\n}}\nhttps://127.0.0.1:{port} {{\n\t{tls}\n\timport site\n}}\n"
    return text.replace(site, "(site) {", 1) + both


def _traefik(text: str, plain: int, port: int, pair: Pair) -> str:
    config = yaml.safe_load(text)
    entry = copy.deepcopy(config["entryPoints"]["web"])
    entry["address"] = f"127.0.0.1:{port}"
    entry["http"]["tls"] = {}
    config["entryPoints"]["tls"] = entry
    return yaml.safe_dump(config)


def _traefik_routes(text: str, plain: int, port: int, pair: Pair) -> str:
    certificate = {"certFile": str(pair.certificate), "keyFile": str(pair.key)}
    return yaml.safe_dump(yaml.safe_load(text) | {"tls": {"stores": {"default": {"defaultCertificate": certificate}}}})


def _envoy(text: str, plain: int, port: int, pair: Pair) -> str:
    config: dict[str, Any] = yaml.safe_load(text)
    listener = copy.deepcopy(config["static_resources"]["listeners"][0])
    listener["name"] = "web-tls"
    listener["address"]["socket_address"]["port_value"] = port
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    files = {"certificate_chain": {"filename": str(pair.certificate)}, "private_key": {"filename": str(pair.key)}}
    context = {"@type": kind, "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]}}
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": context}
    config["static_resources"]["listeners"].append(listener)
    return yaml.safe_dump(config)


def _haproxy(text: str, plain: int, port: int, pair: Pair) -> str:
    """HAProxy reads certificate and key from one file."""
    both = Path(f"{pair.certificate}.both")
    both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    bind = f"    bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1\n"
    return text.replace(f"    bind 127.0.0.1:{plain}", f"{bind}    bind 127.0.0.1:{plain}", 1)


_CHANGES = {
    "nginx.conf": _nginx,
    "Caddyfile": _caddy,
    "traefik.yaml": _traefik,
    "traefik-routes.yaml": _traefik_routes,
    "envoy.yaml": _envoy,
    "haproxy.cfg": _haproxy,
}
