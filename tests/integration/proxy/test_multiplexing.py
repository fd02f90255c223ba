"""Random interleavings of clients that pipeline, fail, leave and are cut, on a proxy whose network is simulated.

Every statement carries a tag of its own. No client may see another's, statements of one transaction stay in one
session, and no session goes to another client before all that was said to it is worked at and all it said is read.
The long form is tests/chaos/test_multiplexing.py; a schedule that fails is printed, and `run_schedule` plays it again.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.database_proxy.framing import IDLE, build_message, build_parameter_status
from local.database_proxy.proxy import SESSION_STATE
from tests.databases import PostgresHandle
from tests.multiplexing.backend import build_row
from tests.multiplexing.random_clients import run_clients
from tests.multiplexing.schedules import run_schedule
from tests.multiplexing.simulation import EVERYTHING, ProxySimulation, SimulatedClient, SimulatedServer

numbers = st.lists(st.integers(0, 1 << 20), min_size=20, max_size=400)
SEED, CLIENTS, ROUNDS = 20261126, 8, 40


@settings(max_examples=150)
@given(numbers)
def test_no_client_ever_sees_an_answer_that_is_not_its_own(schedule: list[int]) -> None:
    """This holds whatever happens in between; in the end waiting clients are served too, and nothing stays borrowed."""
    run_schedule(schedule)


def test_the_same_on_postgresql(postgres: PostgresHandle) -> None:
    """Threads with real sockets: pipelines of several Syncs, errors within, lines dropped in the middle."""
    figures = run_clients(postgres, seed=SEED, clients=CLIENTS, rounds=ROUNDS)
    assert figures.wrong == []
    assert figures.crashes == []
    assert figures.open_max <= figures.limit
    assert min(figures.answered, figures.failed, figures.left) > 0, figures


# One interleaving each: what was found, and what a random schedule meets seldom.


@pytest.fixture
def simulation() -> Iterator[ProxySimulation]:
    """Return a simulation with one server connection, so the next client gets the same one if it may be borrowed."""
    simulation = ProxySimulation(1)
    yield simulation
    simulation.check()
    simulation.close()


def connect_client(simulation: ProxySimulation) -> SimulatedClient:
    client = simulation.connect()
    simulation.settle()
    return client


def find_serving(simulation: ProxySimulation, client: SimulatedClient, words: str = "run") -> SimulatedServer:
    """Return the server that works at what the client says now, before it has answered."""
    client.say(words)
    simulation.call_soon(lambda: client.end.deliver(EVERYTHING))
    simulation.loop.run_once()
    (server,) = (each for each in simulation.servers if each.end.outgoing)
    server.receive(EVERYTHING)
    return server


def list_tags(client: SimulatedClient) -> list[str]:
    return [said.body[6:].decode() for said in client.answers if said.kind == b"D"]


def test_a_client_leaves_in_the_moment_in_which_its_connection_gets_ready(simulation: ProxySimulation) -> None:
    """The connection is kept for whoever comes next; nothing is taken for an answer."""
    client = simulation.connect()
    simulation.call_soon(lambda: client.end.deliver(EVERYTHING))
    for _ in range(3):
        simulation.loop.run_once()
    (server,) = simulation.servers
    server.receive(EVERYTHING)
    simulation.call_soon(client.end.reset)
    simulation.call_soon(lambda: server.end.deliver(EVERYTHING))
    simulation.settle()
    later = connect_client(simulation)
    later.say("run")
    simulation.settle()
    assert (list_tags(later), len(simulation.servers)) == (["c1.1"], 1)


def test_a_connection_on_which_the_proxy_asks_something_itself_is_not_borrowed_meanwhile(
    simulation: ProxySimulation,
) -> None:
    """Its answer would be the client's, and the client's somebody else's."""
    client = connect_client(simulation)
    simulation.call_soon(lambda: simulation.loop.create_task(simulation.pool.ask_idle(SESSION_STATE)))
    client.say("run")
    for _ in range(2):
        simulation.loop.run_once()
    simulation.call_soon(lambda: client.end.deliver(EVERYTHING))
    simulation.settle()
    assert list_tags(client) == ["c0.1"]


def test_a_session_that_ends_right_after_the_proxys_own_question_is_not_borrowed(simulation: ProxySimulation) -> None:
    """Its last words come with the answer, before anybody else has it."""
    client = connect_client(simulation)
    (server,) = simulation.servers
    simulation.call_soon(lambda: simulation.loop.create_task(simulation.pool.ask_idle(SESSION_STATE)))
    for _ in range(2):
        simulation.loop.run_once()
    server.receive(EVERYTHING)
    server.handle_message()
    server.end_session()
    client.say("run")
    for end in (server.end, client.end):
        simulation.call_soon(lambda end=end: end.deliver(EVERYTHING))  # type: ignore[misc]
    simulation.settle()
    assert list_tags(client) == ["c0.1"]


@pytest.mark.parametrize("unasked", [IDLE, build_row("x"), build_message(b"C", b"DONE\0")])
def test_a_connection_that_speaks_unasked_is_closed_and_never_borrowed(
    simulation: ProxySimulation, unasked: bytes
) -> None:
    """Its message may be the answer to another client, so its later messages can't be trusted."""
    client = connect_client(simulation)
    simulation.servers[0].say(unasked)
    simulation.settle()
    client.say("run")
    simulation.settle()
    assert (list_tags(client), [server.is_alive for server in simulation.servers]) == (["c0.1"], [False, True])


@pytest.mark.parametrize(
    "harmless", [build_parameter_status("in_hot_standby", "off"), build_message(b"N", b"SNOTICE\0\0")]
)
def test_a_notice_or_a_changed_setting_may_come_at_any_time(simulation: ProxySimulation, harmless: bytes) -> None:
    """They are no answers: the connection is kept."""
    client = connect_client(simulation)
    simulation.servers[0].say(harmless)
    simulation.settle()
    client.say("run")
    simulation.settle()
    assert (list_tags(client), len(simulation.servers)) == (["c0.1"], 1)


def test_the_end_of_a_session_that_comes_with_an_answer_is_not_the_clients(simulation: ProxySimulation) -> None:
    """Its transaction was answered: it stays connected, and who waits gets another session."""
    one, other = connect_client(simulation), connect_client(simulation)
    server = find_serving(simulation, one)
    other.say("run")
    server.handle_message()
    server.end_session()
    simulation.settle()
    assert (list_tags(one), list_tags(other)) == (["c0.1"], ["c1.1"])
    assert {said.kind for said in one.answers} == {b"D", b"C", b"Z"}
    assert not one.end.is_closing()


def test_a_cancellation_never_meets_the_next_clients_statement(simulation: ProxySimulation) -> None:
    """A connection that a CancelRequest is on its way to is not borrowed again."""
    one, other = connect_client(simulation), connect_client(simulation)
    server = find_serving(simulation, one)
    simulation.cancel(one)
    for _ in range(4):
        simulation.loop.run_once()
    for asking in simulation.servers[1:]:
        asking.receive(EVERYTHING)  # at the server, but not yet at the session
    other.say("run")
    server.handle_message()
    for act in (server.end.deliver, other.end.deliver):
        simulation.call_soon(lambda act=act: act(EVERYTHING))  # type: ignore[misc]
    simulation.loop.run_once()
    server.receive(EVERYTHING)
    simulation.apply_cancels()
    simulation.settle()
    assert (list_tags(one), list_tags(other)) == (["c0.1"], ["c1.1"])


def test_what_follows_in_a_lost_transaction_is_not_carried_out_elsewhere(simulation: ProxySimulation) -> None:
    """The client may hear of the loss late; outside of its transaction a statement would be committed."""
    client = connect_client(simulation)
    find_serving(simulation, client, "begin run").handle_message()
    simulation.settle()
    simulation.delay_data(0.05)
    simulation.call_soon(simulation.servers[0].break_connection)
    simulation.loop.run_once()
    client.say("run")
    simulation.settle()
    executed = [tag for server in simulation.servers for tag, _ in server.backend.executed]
    assert executed == ["c0.1", "c0.2"]
    assert client.end.is_lost


def test_a_session_that_is_left_counts_until_the_server_has_ended_it(simulation: ProxySimulation) -> None:
    """PostgreSQL then never has more sessions than the pool may open, however late it notices a client's end."""
    one, other = connect_client(simulation), connect_client(simulation)
    server = find_serving(simulation, one, "begin run")
    simulation.cut(one)
    other.say("run")
    simulation.call_soon(lambda: other.end.deliver(EVERYTHING))
    for _ in range(5):
        simulation.loop.run_once()
    assert (len(simulation.servers), simulation.counts.waiting) == (1, 1)
    server.receive(EVERYTHING)
    simulation.settle()
    assert (list_tags(other), len(simulation.servers)) == (["c1.1"], 2)


def test_a_session_of_a_host_that_never_answers_is_written_off(simulation: ProxySimulation) -> None:
    """Otherwise no new session could ever be opened."""
    one, other = connect_client(simulation), connect_client(simulation)
    find_serving(simulation, one)
    silent = simulation.servers.pop()
    simulation.cut(one)
    simulation.loop.run_once()
    simulation.loop.advance(14)
    assert not silent.end.is_lost
    simulation.loop.advance(2)
    other.say("run")
    simulation.settle()
    assert list_tags(other) == ["c1.1"]


def test_a_client_that_says_no_user_is_refused(simulation: ProxySimulation) -> None:
    """PostgreSQL refuses it in the same way."""
    client = simulation.connect()
    client.end.incoming[:] = (8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big")
    simulation.settle()
    assert client.end.is_lost
    assert b"28000" in client.answers[0].raw
