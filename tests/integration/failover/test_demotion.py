"""A writer that has become a reader takes connections and answers: nothing ends them but we."""

from collections.abc import Mapping

from members.app import api
from shared.database.pipeline import Database
from tests.databases import Blank, Postgres
from tests.failover.relay import Relay, relay_to
from tests.failover.servers import configure, look, promote, wait_until
from tests.fakes.nudges import Nudges
from tests.fakes.state import InMemoryStateStore
from tests.harness import Client, wired
from tests.integration.room import serial
from tests.people import person
from tests.roles import SESSION_OF_A_FUNCTION

SESSIONS = f"SELECT count(*) FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION}"


class Environment:
    """The members' room by way of a relay, and the retries of its transactions."""

    def __init__(self, blank: Blank, relay: Relay) -> None:
        settings = blank.direct.model_copy(update={"db_port": relay.port})
        container = wired(settings, admission_store=InMemoryStateStore(), queues=Nudges())
        self.retries: list[Mapping[str, object]] = []
        container.__dict__["database"] = Database(container.connector, observer=self._seen)
        self.client = Client(api, container)

    def _seen(self, event: str, facts: Mapping[str, object]) -> None:
        if event == "transaction_retried":
            self.retries.append(facts)

    def register(self, key: str | None = None) -> int:
        """The status of a registration."""
        return self.client.call("POST", "/members", person(), key=key or f"key-{serial()}").status


def test_a_demoted_writer_is_left_at_once(pair: tuple[Blank, Postgres]) -> None:
    """By its first refusal: the second try is on a new connection, which leads to the new writer."""
    blank, standby = pair
    with relay_to(blank.postgres.server.port) as relay:
        environment = Environment(blank, relay)
        assert environment.register() == 201
        configure(blank.postgres, "default_transaction_read_only = on")
        wait_until(lambda: look(blank.postgres, "SHOW transaction_read_only") == "on", "the writer was not demoted")
        take_over(standby)
        relay.lead_to(standby.server.port, cut=False)
        assert environment.register() == 201
        assert [(facts["sqlstate"], facts["attempt"]) for facts in environment.retries] == [("25006", 1)]
        assert relay.made == 2
    assert Blank(standby, blank.name).count("members") == 2
    wait_until(lambda: look(blank.postgres, SESSIONS) == 0, "the demoted writer was not left")


def test_a_reader_is_left_at_each_try_until_there_is_a_writer(pair: tuple[Blank, Postgres]) -> None:
    """A standby that is not promoted yet: the client is told when to come back, and then its call is done once."""
    blank, standby = pair
    with relay_to(standby.server.port) as relay:
        environment = Environment(blank, relay)
        assert environment.register("patient") == 503
        assert [facts["sqlstate"] for facts in environment.retries] == ["25006"]  # all that was saved for
        assert relay.made == 2
        take_over(standby)
        assert environment.register("patient") == 201
        assert relay.made == 3
    assert Blank(standby, blank.name).count("members") == 1


def take_over(standby: Postgres) -> None:
    """Promote, and wait until it takes writes."""
    promote(standby)
    wait_until(lambda: look(standby, "SELECT pg_is_in_recovery()") is False, "the standby was not promoted")
