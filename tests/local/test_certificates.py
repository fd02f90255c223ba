"""The certificates of a local cloud's database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local import certificates
from local.certificates import ensure_certificates, make_certificates


def test_certificates_are_made_once_and_kept(tmp_path: Path) -> None:
    """A cloud that is started again has the authority that its functions were deployed with."""
    made = ensure_certificates(tmp_path / "certificates")
    before = made.authority.read_bytes(), made.certificate.read_bytes()
    assert ensure_certificates(tmp_path / "certificates") == made
    assert (made.authority.read_bytes(), made.certificate.read_bytes()) == before


def test_the_certificate_is_for_this_machine_by_an_authority_that_can_sign_no_more(tmp_path: Path) -> None:
    """Its names; and of the two private keys only the server's is kept, readable by its owner alone."""
    made = ensure_certificates(tmp_path)
    authority, certificate = (
        x509.load_pem_x509_certificate(p.read_bytes()) for p in (made.authority, made.certificate)
    )
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["127.0.0.1", "localhost"]
    assert not any(
        extension.value == x509.BasicConstraints(ca=True, path_length=0) for extension in certificate.extensions
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authority.pem", "server.key", "server.pem"]
    assert made.key.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("missing", ["authority.pem", "server.pem", "server.key"])
def test_certificates_are_made_anew_if_one_is_missing(tmp_path: Path, missing: str) -> None:
    """All of them: one alone would fit to nothing."""
    before = ensure_certificates(tmp_path).certificate.read_bytes()
    (tmp_path / missing).unlink()
    assert ensure_certificates(tmp_path).certificate.read_bytes() != before


def test_certificates_are_made_anew_a_month_before_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after a local cloud."""
    made = ensure_certificates(tmp_path)
    monkeypatch.setattr(certificates, "VALID", timedelta(days=29))
    make_certificates(made)
    monkeypatch.undo()
    renewed = x509.load_pem_x509_certificate(ensure_certificates(tmp_path).certificate.read_bytes())
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3000)
