"""Evidence while the bucket's circuit is open: what needs the bucket is told when to come again, the rest works."""

from dataclasses import dataclass

import pytest

from claims.app import api
from shared.aws.circuit_protected import CircuitProtectedDocumentStore
from shared.aws.errors import ServiceUnavailable
from shared.circuit.store import force_circuit
from shared.settings import Settings
from tests.breakers import Time, service_breaker
from tests.databases import Blank
from tests.fakes.circuits import InMemoryCircuits
from tests.fakes.evidence import FakeEvidence
from tests.harness import Client
from tests.integration.claims.cases import Cases
from tests.integration.claims.test_documents import PNG, Folder
from tests.integration.room import room

STORAGE = Settings().find_circuit_policy("storage")


@dataclass(frozen=True)
class Desk:
    """A member's folder, whose bucket stands behind a circuit."""

    folder: Folder
    bucket: FakeEvidence
    client: Client
    store: InMemoryCircuits
    time: Time


@pytest.fixture
def desk(blank: Blank) -> Desk:
    bucket, store, time = FakeEvidence(), InMemoryCircuits(), Time()
    client = room(
        api, blank, document_store=CircuitProtectedDocumentStore(bucket, service_breaker(store, time, STORAGE))
    )
    folder = Folder(Cases(blank, bucket, client))
    return Desk(folder, bucket, client, store, time)


def test_completing_before_an_open_circuit_is_503_until_the_probes_time(desk: Desk) -> None:
    """The bucket is not called; announcing works, since forms are signed here; then everything does."""
    document = desk.folder.uploaded()
    desk.bucket.fails = ServiceUnavailable("EndpointConnectionError")
    failed = [desk.folder.complete(document) for _ in range(STORAGE.failures)]
    assert {(reply.status, reply.headers["Retry-After"]) for reply in failed} == {(503, "1")}
    desk.bucket.fails = AssertionError("called")  # type: ignore[assignment]
    refused = desk.folder.complete(document)
    assert (refused.status, refused.problem, refused.headers["Retry-After"]) == (503, "unavailable", "30")
    desk.time.advance(10)
    assert desk.folder.complete(document).headers["Retry-After"] == "20"
    assert desk.folder.announce().status == 201
    assert desk.folder.row(document)["state"] == "pending"
    desk.bucket.fails = None
    desk.time.advance(20)
    assert desk.folder.complete(document).json["state"] == "available"
    assert desk.store.read("storage").state == "closed"


def test_a_link_to_a_document_needs_no_bucket(desk: Desk) -> None:
    """It is signed here, whatever the circuit says."""
    document, other = desk.folder.uploaded(), desk.folder.uploaded()
    assert desk.folder.complete(document).status == 200
    desk.bucket.fails = ServiceUnavailable("EndpointConnectionError")
    for _ in range(STORAGE.failures):
        desk.folder.complete(other)
    assert desk.store.read("storage").state == "open"
    assert desk.folder.download(document).status == 200


def test_a_file_that_is_not_there_is_an_answer(desk: Desk) -> None:
    """However often it is asked for: the bucket is well."""
    document = desk.folder.announce().json
    assert {desk.folder.complete(document).problem for _ in range(3 * STORAGE.failures)} == {"document-not-uploaded"}
    assert desk.store.read("storage").state == "closed"
    assert desk.bucket.post(document["upload"]["fields"], PNG)
    assert desk.folder.complete(document).status == 200


def test_a_verdict_stands_though_the_circuit_opens_before_the_upload_is_removed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left over expires by itself."""
    document = desk.folder.uploaded()
    look = desk.bucket.read_first_bytes

    def last_look(key: str, count: int) -> bytes:
        head = look(key, count)
        force_circuit(desk.store, STORAGE, "open", desk.time())
        desk.time.advance(STORAGE.refresh_s)
        return head

    monkeypatch.setattr(desk.bucket, "read_first_bytes", last_look)
    assert desk.folder.complete(document).json["state"] == "available"
    assert len(desk.bucket.objects) == 2, "the upload is still there"
