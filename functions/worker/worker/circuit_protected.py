"""The services that jobs call, each behind its circuit breaker."""

from shared.aws.circuit_protected import call_through_circuit
from shared.aws.cognito import IdentityProvider
from shared.circuit.breaker import CircuitBreaker
from worker.ses import Mail, Mailer


class CircuitProtectedMailer:
    """A Mailer behind a circuit breaker; its methods also raise shared.errors.Unavailable."""

    def __init__(self, mailer: Mailer, circuit: CircuitBreaker) -> None:
        self._mailer = mailer
        self._circuit = circuit

    def send(self, mail: Mail, *, tags: dict[str, str]) -> None:
        """Send a mail; see Mailer.send."""
        call_through_circuit(self._circuit, lambda: self._mailer.send(mail, tags=tags))


class CircuitProtectedIdentityProvider:
    """An IdentityProvider behind a circuit breaker; its methods also raise shared.errors.Unavailable."""

    def __init__(self, identities: IdentityProvider, circuit: CircuitBreaker) -> None:
        self._identities = identities
        self._circuit = circuit

    def find(self, email: str) -> str | None:
        """Return the identity's `sub`; see IdentityProvider.find."""
        return call_through_circuit(self._circuit, lambda: self._identities.find(email))

    def find_or_create(self, email: str) -> str:
        """Return the `sub` of an existing or new identity; see IdentityProvider.find_or_create."""
        return call_through_circuit(self._circuit, lambda: self._identities.find_or_create(email))

    def add_to_group(self, sub: str, group: str) -> None:
        """Add an identity to a group; see IdentityProvider.add_to_group."""
        call_through_circuit(self._circuit, lambda: self._identities.add_to_group(sub, group))
