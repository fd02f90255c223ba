"""The services we call, each behind its circuit: what a circuit refuses never leaves the process."""

from collections.abc import Callable
from typing import TypeVar

from shared.aws.cognito import Identities
from shared.aws.errors import NotBegun, Uncertain
from shared.aws.errors import Unavailable as NotDone
from shared.aws.s3 import MAGIC_BYTES, EvidenceStore, StoredObject, Upload
from shared.aws.ses import Mail, Mailer
from shared.circuit.breaker import CircuitBreaker, CircuitOpen
from shared.errors import Unavailable

T = TypeVar("T")

# What a circuit counts as a failure. A refusal is an answer: the service is well and has said no.
FAILURES = (NotDone, Uncertain)
# What it does not count at all: no call was made.
NO_CALLS = (NotBegun,)


def through(circuit: CircuitBreaker, call: Callable[[], T]) -> T:
    """Make a call if the circuit lets it pass. Raises Unavailable, with the time to wait, where it does not."""
    try:
        return circuit.call(call)
    except CircuitOpen as refused:
        raise Unavailable(refused.name, retry_after_s=refused.retry_after_s) from None


class GuardedMailer:
    """A Mailer behind a circuit; every method of the three also raises shared.errors.Unavailable."""

    def __init__(self, mailer: Mailer, circuit: CircuitBreaker) -> None:
        self._mailer = mailer
        self._circuit = circuit

    def send(self, mail: Mail, *, tags: dict[str, str]) -> None:
        """See Mailer.send."""
        through(self._circuit, lambda: self._mailer.send(mail, tags=tags))


class GuardedIdentities:
    """Identities behind a circuit."""

    def __init__(self, identities: Identities, circuit: CircuitBreaker) -> None:
        self._identities = identities
        self._circuit = circuit

    def find(self, email: str) -> str | None:
        """See Identities.find."""
        return through(self._circuit, lambda: self._identities.find(email))

    def find_or_create(self, email: str) -> str:
        """See Identities.find_or_create."""
        return through(self._circuit, lambda: self._identities.find_or_create(email))

    def add_to_group(self, sub: str, group: str) -> None:
        """See Identities.add_to_group."""
        through(self._circuit, lambda: self._identities.add_to_group(sub, group))


class GuardedEvidence:
    """An EvidenceStore behind a circuit. What is signed here makes no call, and passes whatever the circuit says."""

    def __init__(self, evidence: EvidenceStore, circuit: CircuitBreaker) -> None:
        self._evidence = evidence
        self._circuit = circuit

    def presign_upload(self, *, key: str, content_type: str, size: int) -> Upload:
        """See EvidenceStore.presign_upload."""
        return self._evidence.presign_upload(key=key, content_type=content_type, size=size)

    def head(self, key: str) -> StoredObject | None:
        """See EvidenceStore.head."""
        return through(self._circuit, lambda: self._evidence.head(key))

    def first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """See EvidenceStore.first_bytes."""
        return through(self._circuit, lambda: self._evidence.first_bytes(key, count))

    def copy(self, key: str, to: str) -> bool:
        """See EvidenceStore.copy."""
        return through(self._circuit, lambda: self._evidence.copy(key, to))

    def delete(self, key: str) -> None:
        """See EvidenceStore.delete."""
        through(self._circuit, lambda: self._evidence.delete(key))

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """See EvidenceStore.presign_download."""
        return self._evidence.presign_download(key=key, file_name=file_name, content_type=content_type)
