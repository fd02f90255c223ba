"""The services that jobs call are reached through their circuits, with all that they were given."""

from shared.circuit.breaker import CircuitBreaker
from tests.breakers import make_breaker
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.ses import Mail

MAIL = Mail("besa@example.test", "s", "t", "h")


def make_circuit() -> CircuitBreaker:
    """Return a circuit that is closed."""
    return make_breaker(DirectClient(InMemoryCircuitStore()))


def test_a_mail_passes_with_its_tags() -> None:
    """The mailer gets the same mail as without a circuit."""
    mailer = FakeMailer()
    CircuitProtectedMailer(mailer, make_circuit()).send(MAIL, tags={"job": "1"})
    assert (mailer.sent, mailer.tags) == ([MAIL], [{"job": "1"}])


def test_an_identity_is_found_made_and_added_to_its_group() -> None:
    """The provider is called as without a circuit, and its answers are passed on."""
    people = FakeIdentityProvider()
    guarded = CircuitProtectedIdentityProvider(people, make_circuit())
    assert guarded.find("besa@example.test") is None
    sub = guarded.find_or_create("besa@example.test")
    assert guarded.find("besa@example.test") == sub == people.people["besa@example.test"].sub
    guarded.add_to_group(sub, "agent")
    assert people.people["besa@example.test"].groups == {"agent"}
