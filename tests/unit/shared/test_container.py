"""What the container hands on of the settings."""

from types import SimpleNamespace

import psycopg
import pytest

from shared.aws.errors import NotBegun, Uncertain
from shared.container import Container
from shared.errors import Unavailable
from shared.settings import Settings
from tests.databases import soon
from tests.fakes.circuits import DirectClient, InMemoryCircuits


@pytest.mark.parametrize("retries", [0, 2])
def test_a_transaction_is_tried_again_as_often_as_the_settings_say(retries: int) -> None:
    """Against a database where every transaction meets another one at its row."""
    tries = []

    def borrow(_within_s: float) -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure

    container = Container(Settings.from_environ({"RETRY": f'{{"retries": {retries}, "base_s": 0.001}}'}))
    container.__dict__["connector"] = SimpleNamespace(borrow=borrow)
    container.__dict__["_retries"] = SimpleNamespace(count=lambda: None)
    with pytest.raises(Unavailable):
        container.database.run(lambda _tx: pytest.fail("it has no connection"), soon())
    assert len(tries) == 1 + retries


def test_a_call_that_was_not_begun_says_nothing_of_its_service() -> None:
    """Counted as a success it would make up for failures, and as a failure it would open the circuit."""
    container, store = Container(Settings()), InMemoryCircuits()
    container.__dict__["_circuit_client"] = DirectClient(store)
    circuit, policy = container.circuit("email"), container.settings.circuit("email")

    def end(error: Exception) -> None:
        def call() -> None:
            raise error

        with pytest.raises(type(error)):
            circuit.call(call)

    for n in range(policy.failures):
        assert store.read("email").state == "closed"
        if n:
            for _ in range(2 * policy.successes_per_failure):
                end(NotBegun("OutOfTime"))
        end(Uncertain("ReadTimeoutError"))
    assert store.read("email").state == "open"
