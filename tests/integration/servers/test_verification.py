"""A function connects only to who shows a certificate of a root that it was given, for the host that it asked for.

By the layer's code and psycopg's wheels, in a process with an environment of its own, on servers that speak TLS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.certificates import Certificates
from local.database_proxy.proxy import run_proxy
from tests.integration.servers.tls import ConnectionOutcome, connect_elsewhere, make_certificates_for, run_server

HOST = "127.0.0.1"
OTHER_NAME = "localhost"  # leads there too, and is not in the certificate


@dataclass(frozen=True)
class Way:
    """A way to a server: its port, and the certificates that it is reached under."""

    port: int
    certificates: Certificates

    def build_variables(self, **more: str) -> dict[str, str]:
        """Return the variables of a function that trusts its authority."""
        return {
            "DB_HOST": HOST,
            "DB_PORT": str(self.port),
            "DB_NAME": "postgres",
            "DB_USER": "postgres",
            "DB_SSLROOTCERT": str(self.certificates.authority),
            **more,
        }


@pytest.fixture(scope="module", params=["direct", "by-the-proxy"])
def way(request: pytest.FixtureRequest, version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Straight to the server, or by what stands for RDS Proxy."""
    folder = tmp_path_factory.mktemp(f"postgres{version}")
    files = make_certificates_for(folder / "certificates", HOST)
    tls = {"ssl": "on", "ssl_cert_file": str(files.certificate), "ssl_key_file": str(files.key)}
    with run_server(version, folder, **tls) as server:
        if request.param == "direct":
            yield Way(server.port, files)
        else:
            with run_proxy(server.port, tls=files.build_server_context()) as proxy:
                yield Way(proxy.port, files)


@pytest.fixture(params=["scrubbed", "like-a-shells"])
def environment(request: pytest.FixtureRequest, way: Way) -> dict[str, str]:
    """Return what OpenSSL reads of the environment: nothing, as in Lambda, or a bundle that has the server's root."""
    if request.param == "scrubbed":
        return {}
    return {"SSL_CERT_FILE": str(way.certificates.authority), "SSL_CERT_DIR": str(way.certificates.authority.parent)}


def check_one_connection(way: Way, environment: dict[str, str], **more: str) -> ConnectionOutcome:
    """Return what comes of one connection."""
    [attempt] = connect_elsewhere([way.build_variables(**more)], **environment)
    return attempt


def test_the_right_authority_is_trusted(way: Way, environment: dict[str, str]) -> None:
    """Named explicitly, so it needs nothing of the environment; and the session is encrypted."""
    attempt = check_one_connection(way, environment)
    assert (attempt.error, attempt.tls, attempt.seen) == ("", True, [])


def test_a_certificate_of_another_authority_is_refused(way: Way, environment: dict[str, str], tmp_path: Path) -> None:
    """This holds for any other authority, even if the environment would trust the server's."""
    other = make_certificates_for(tmp_path, HOST).authority
    attempt = check_one_connection(way, environment, DB_SSLROOTCERT=str(other))
    assert "certificate verify failed" in attempt.error
    assert not attempt.is_retried


def test_a_certificate_for_another_host_is_refused(way: Way, environment: dict[str, str]) -> None:
    """The authority is the right one: otherwise any database of the same account would do."""
    attempt = check_one_connection(way, environment, DB_HOST=OTHER_NAME)
    assert f'does not match host name "{OTHER_NAME}"' in attempt.error
    assert not attempt.is_retried


@pytest.mark.parametrize("roots", ["rds-proxy", "rds"])
def test_the_roots_that_ship_are_read_and_do_not_trust_just_anybody(
    way: Way, environment: dict[str, str], roots: str
) -> None:
    """libpq would report a missing or broken file in other words."""
    attempt = check_one_connection(way, environment, DB_SSLROOTCERT=roots, AWS_REGION="eu-central-1")
    assert "certificate verify failed" in attempt.error


@pytest.mark.parametrize("roots", ["/opt/no/such/file.pem", "rds"])
def test_roots_that_are_not_there_are_an_operators_business(way: Way, environment: dict[str, str], roots: str) -> None:
    """A misspelt path, or a region that Amazon has opened since: no wait mends it."""
    attempt = check_one_connection(way, environment, DB_SSLROOTCERT=roots, AWS_REGION="xx-nowhere-1")
    assert "root certificate file" in attempt.error
    assert not attempt.is_retried


def test_the_operator_sees_what_libpq_said(way: Way, environment: dict[str, str]) -> None:
    """The log has it once, without the password; the caller gets no more than before."""
    attempt = check_one_connection(way, environment, DB_HOST=OTHER_NAME, PASSWORD="p4ss-w0rd")
    [[event, facts]] = attempt.seen
    assert event == "database_connect_failed"
    assert facts == {"error": "OperationalError", "reason": attempt.error}
    assert "p4ss-w0rd" not in str(facts)


def test_a_proxy_that_requires_tls_lets_nobody_in_without(
    version: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The stand-in for RDS Proxy says so, and so does a function that finds a server without TLS."""
    files = make_certificates_for(tmp_path / "certificates", HOST)
    with run_server(version, tmp_path) as server, run_proxy(server.port, tls=files.build_server_context()) as proxy:
        bare = Way(proxy.port, files).build_variables(DB_SSLMODE="disable")
        secure = Way(server.port, files).build_variables()
        [refused, refusing] = connect_elsewhere([bare, secure], **environment)
    assert "requires TLS" in refused.error
    assert "does not support SSL" in refusing.error
    assert (refused.is_retried, refusing.is_retried) == (False, False)
