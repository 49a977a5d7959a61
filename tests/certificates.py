"""Certificates of the tests' own, for servers and clients on loopback."""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and of its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA whose certificate is a file in a folder, beside those that it issues."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.certificate = folder / f"{name}.pem"
        issued = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        _write(self.certificate, issued.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, password: str = "", hosts: Iterable[str] = ()) -> Pair:
        """A certificate for 127.0.0.1, localhost and hosts, good for both ends; password: of its key"""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, ("localhost", *hosts))]
        issued = _builder(self._name, _named(name), key).add_extension(x509.SubjectAlternativeName(names), False)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _write(pair.certificate, issued.sign(self._key, hashes.SHA256()))
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        return pair


class Tls:
    """A CA, and certificates of it for servers and for whoever asks them, who must show theirs."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.ca, self.server, self.client = authority.certificate, authority.issue("server"), authority.issue("client")

    def listen(self, port: int) -> list[str]:
        """Options of a server that takes nothing else on its port, and speaks so with its like."""
        files = ["--tls-cert-file", self.server.certificate, "--tls-key-file", self.server.key]
        files += ["--tls-ca-cert-file", self.ca]
        own = ["--tls-auth-clients", "yes", "--tls-replication", "yes", "--tls-cluster", "yes"]
        return ["--port", "0", "--tls-port", str(port), *map(str, files), *own]

    def options(self) -> dict[str, str]:
        """Of a connection, in redis-py's words."""
        files = {"ca_certs": self.ca, "certfile": self.client.certificate, "keyfile": self.client.key}
        return {f"ssl_{name}": str(path) for name, path in files.items()}


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
