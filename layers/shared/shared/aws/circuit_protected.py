"""Calls to a service through its circuit breaker: while the circuit is open, nothing is sent."""

from collections.abc import Callable
from typing import TypeVar

from shared.aws.errors import CallNotBegun, OutcomeUnknown
from shared.aws.errors import ServiceUnavailable as NotDone
from shared.aws.s3 import MAGIC_BYTES, DocumentStore, PresignedUpload, StoredObject
from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.errors import Unavailable

T = TypeVar("T")

# What a circuit counts as a failure. A rejection is an answer: the service works and has said no.
FAILURES = (NotDone, OutcomeUnknown)
# What a circuit does not count: no call was made.
NO_CALLS = (CallNotBegun,)


def call_through_circuit(circuit: CircuitBreaker, call: Callable[[], T]) -> T:
    """Make a call if the circuit permits it. Raise Unavailable, with the time to wait, if it does not."""
    try:
        return circuit.call(call)
    except CircuitOpen as refused:
        raise Unavailable(refused.name, retry_after_s=refused.retry_after_s) from None


class CircuitProtectedDocumentStore:
    """A DocumentStore behind a circuit breaker; its methods also raise shared.errors.Unavailable.

    Presigning makes no call, so it works whatever state the circuit is in.
    """

    def __init__(self, store: DocumentStore, circuit: CircuitBreaker) -> None:
        self._store = store
        self._circuit = circuit

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        """Return an upload form; see DocumentStore.presign_upload."""
        return self._store.presign_upload(key=key, content_type=content_type, size=size)

    def read_metadata(self, key: str) -> StoredObject | None:
        """Return an object's metadata; see DocumentStore.read_metadata."""
        return call_through_circuit(self._circuit, lambda: self._store.read_metadata(key))

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """Return an object's first bytes; see DocumentStore.read_first_bytes."""
        return call_through_circuit(self._circuit, lambda: self._store.read_first_bytes(key, count))

    def copy(self, key: str, to: str) -> bool:
        """Copy an object; see DocumentStore.copy."""
        return call_through_circuit(self._circuit, lambda: self._store.copy(key, to))

    def delete(self, key: str) -> None:
        """Delete an object; see DocumentStore.delete."""
        call_through_circuit(self._circuit, lambda: self._store.delete(key))

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """Return a download link; see DocumentStore.presign_download."""
        return self._store.presign_download(key=key, file_name=file_name, content_type=content_type)
