"""The certificate authority of a local cloud, and the certificate that its database is reached under."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NAMES = ("127.0.0.1", "localhost")
VALID = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=30)  # a cloud that is started within this of the end gets new certificates


@dataclass(frozen=True)
class Certificates:
    """The files, in PEM: the authority's own certificate, and the server's certificate and private key."""

    authority: Path
    certificate: Path
    key: Path

    def build_server_context(self) -> ssl.SSLContext:
        """Return what a server that speaks TLS is made with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # as RDS Proxy
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure_certificates(folder: Path) -> Certificates:
    """Return the certificates kept in a folder, made if there are none or they end soon."""
    found = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    if not all(path.exists() for path in (found.authority, found.certificate, found.key)) or _ends_soon(found):
        make_certificates(found)
    return found


def make_certificates(files: Certificates, names: tuple[str, ...] = NAMES) -> None:
    """Write a new authority, whose private key nobody keeps, and one certificate of it for hosts of these names."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Interdomestik local database authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    # Both name the authority's key: else OpenSSL takes any authority of that name for it, and finds a broken signature.
    key_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    authority = (
        _begin_certificate(issuer, issuer, authority_key)
        .add_extension(constraints, critical=True)
        .add_extension(key_id, critical=False)
    )
    alternatives = x509.SubjectAlternativeName([_build_alternative_name(name) for name in names])
    server = (
        _begin_certificate(subject, issuer, server_key)
        .add_extension(alternatives, critical=False)
        .add_extension(issuer_key_id, critical=False)
    )
    files.key.parent.mkdir(parents=True, exist_ok=True)
    files.key.touch(mode=0o600)
    files.key.chmod(0o600)  # PostgreSQL refuses a key that others can read
    files.key.write_bytes(server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(server.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.authority.write_bytes(authority.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _begin_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID)
    )


def _build_alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _ends_soon(files: Certificates) -> bool:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return certificate.not_valid_after_utc - RENEW_BEFORE < datetime.now(UTC)
