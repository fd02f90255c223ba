"""The root certificates that ship with the layer."""

import re
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.database.connection import ROOTS, build_connect_arguments
from shared.settings import Settings
from tests.services import ROOT
from tools.root_certificates import NotTheArchive, read_archive

REGIONS = {path.stem.removeprefix("rds-") for path in ROOTS.glob("rds-*-*-*.pem")}
# The roots of Amazon Trust Services, which issues RDS Proxy's certificates.
OF_THE_PROXY = [
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
]


def read(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a file."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def name(certificate: x509.Certificate) -> str:
    """Return its common name, or no name."""
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def publicly_trusted() -> dict[str, bytes]:
    """Return the fingerprints of Mozilla's roots by their names."""
    return {name(each): each.fingerprint(hashes.SHA256()) for each in read(Path(certifi.where()))}


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # some roots of Mozilla's have one that is not positive
def test_the_proxys_roots_are_amazons_as_mozilla_has_them() -> None:
    """No more and no less, and the same to the bit as from another source."""
    found = {name(each): each.fingerprint(hashes.SHA256()) for each in read(ROOTS / "rds-proxy.pem")}
    assert list(found) == OF_THE_PROXY
    assert found == {each: publicly_trusted()[each] for each in OF_THE_PROXY}


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_a_region_has_the_three_roots_that_rds_gives_out(region: str) -> None:
    """There is one for each kind of key that a cluster's certificate may have, and none of another region."""
    prefix = f"Amazon RDS {region} Root CA "
    assert sorted(name(each) for each in read(ROOTS / f"rds-{region}.pem")) == [
        f"{prefix}ECC384 G1",
        f"{prefix}RSA2048 G1",
        f"{prefix}RSA4096 G1",
    ]


def test_the_regions_of_europe_are_there() -> None:
    """A stack's country is served from one of them."""
    assert {"eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1"} <= REGIONS


@pytest.mark.parametrize("path", sorted(ROOTS.glob("*")), ids=lambda path: path.stem)
def test_every_root_signs_itself_and_is_valid_for_years(path: Path) -> None:
    """The test fails three years before a root ends."""
    for certificate in read(path):
        certificate.verify_directly_issued_by(certificate)
        assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3 * 365)


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("rds-proxy", str(ROOTS / "rds-proxy.pem")),
        ("rds", str(ROOTS / "rds-eu-west-1.pem")),
        ("/opt/own.pem", "/opt/own.pem"),
    ],
)
def test_the_setting_names_the_file(setting: str, file: str) -> None:
    """Explicitly: what a process's environment or its OpenSSL would find is not asked."""
    settings = Settings(db_sslrootcert=setting, aws_region="eu-west-1")
    arguments = build_connect_arguments(settings, None)
    assert (arguments["sslmode"], arguments["sslrootcert"]) == ("verify-full", file)


@pytest.mark.parametrize("mode", ["require", "prefer", "disable"])
def test_another_mode_has_no_roots(mode: str) -> None:
    """With a file of roots libpq takes `require` for `verify-ca`."""
    assert "sslrootcert" not in build_connect_arguments(Settings.from_environ({"DB_SSLMODE": mode}), None)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    """All trusted roots come from one package of one version."""
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(ROOTS / "rds-proxy.pem", "package/lib/profiles/ca/proxies.js")
    with pytest.raises(NotTheArchive):
        read_archive(tmp_path / "other.tgz")


def test_the_guide_says_what_the_setting_may_be() -> None:
    """It names both values, and where a file of one's own has to be before the build and is after it."""
    guide = (ROOT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    assert f"`{ROOTS.relative_to(ROOT)}`" in guide
    assert re.search(r"DatabaseSslRootCert=/opt/python/shared/database/roots/\w+\.pem", guide)
