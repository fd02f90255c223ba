"""Schedules of a simulation: numbers choose each next event, so a list of numbers replays a run."""

from collections.abc import Callable, Sequence
from functools import partial

from local.database_proxy.framing import build_message, build_parameter_status
from local.database_proxy.proxy import SESSION_STATE
from tests.multiplexing.simulation import PORTS, ProxySimulation, SimulatedClient, SimulatedServer

Act = Callable[[], object]

MOST_CLIENTS = 6
CONNECTIONS = 2
CHECK_EVERY = 10  # steps; what is wrong stays wrong
AMOUNTS = (1, 7, 40, 1 << 20)  # bytes that move at once
SIMPLE = ("run", "begin run", "begin run commit", "run fail run", "commit", "rollback", "begin", "fail")
PIPELINES = (
    "run sync", "run sync run sync fail sync run sync", "begin run commit sync", "begin fail run sync rollback sync",
    "run", "sync", "begin run sync", "commit sync",
)  # fmt: skip
ASYNC = (build_parameter_status("application_name", "x"), build_message(b"N", b"SNOTICE\0M.\0\0"))


def run_schedule(numbers: Sequence[int]) -> ProxySimulation:
    """Play a schedule to its end, checking after every step, and return the simulation it left."""
    simulation = ProxySimulation(CONNECTIONS)
    try:
        for step, number in enumerate(numbers):
            _choose(simulation, number)()
            if step % CHECK_EVERY == 0:
                simulation.check()
        simulation.finish()
    finally:
        simulation.close()
    return simulation


def _choose(simulation: ProxySimulation, number: int) -> Act:
    acts = _list_actions(simulation, AMOUNTS[number % len(AMOUNTS)], number // 1000)
    return acts[number // len(AMOUNTS) % len(acts)]


def _list_actions(simulation: ProxySimulation, most: int, detail: int) -> list[Act]:
    """Return all that may happen now; what shall happen often stands in the list more than once."""
    acts: list[Act] = [simulation.loop.run_once] * 6
    if len(simulation.clients) < MOST_CLIENTS:
        acts += [simulation.connect] * 2
    for client in simulation.clients:
        acts += _list_client_actions(simulation, client, most, detail)
    for server in simulation.servers:
        acts += _list_server_actions(simulation, server, most, detail)
    if any(server.cancel_key for server in simulation.servers):
        acts += [simulation.apply_cancels] * 3
    return acts + _list_rare_actions(simulation, detail)


def _list_client_actions(simulation: ProxySimulation, client: SimulatedClient, most: int, detail: int) -> list[Act]:
    acts: list[Act] = [lambda: simulation.call_soon(partial(client.receive, most))]
    if not client.end.is_closing():
        acts += [lambda: simulation.call_soon(partial(client.end.deliver, most))] * 3
    if not client.has_left:
        acts.append(lambda: _say(client, detail))
    if not client.has_left and detail % 8 == 0:
        acts += [
            partial(simulation.cut, client),
            partial(client.leave, politely=True),
            partial(client.leave, politely=False),
        ]
    if detail % 8 == 1:
        acts += [partial(simulation.cancel, client)] * 2
    return acts


def _say(client: SimulatedClient, detail: int) -> None:
    words = (SIMPLE + PIPELINES)[detail % (len(SIMPLE) + len(PIPELINES))]
    is_pipeline = words in PIPELINES and words not in SIMPLE
    if not is_pipeline and client.has_open_batch:
        client.say("sync", extended=True)  # a server that skips to the next Sync would skip a query too
    client.say(words, extended=is_pipeline)


def _list_server_actions(simulation: ProxySimulation, server: SimulatedServer, most: int, detail: int) -> list[Act]:
    acts: list[Act] = [
        lambda: simulation.call_soon(partial(server.receive, most)),
        lambda: simulation.call_soon(server.handle_message),
        lambda: simulation.call_soon(partial(server.end.deliver, most)),
    ] * 2
    if detail % 16 == 2 and server.is_alive:
        acts += [server.end_session, lambda: simulation.call_soon(server.break_connection)]
    if detail % 16 == 3 and server.is_alive and server.greeted:
        acts.append(partial(server.say, ASYNC[detail % len(ASYNC)]))
    return acts


def _list_rare_actions(simulation: ProxySimulation, detail: int) -> list[Act]:
    """Return the actions of operators and of the test suite."""
    other = PORTS[1] if simulation.pool.target == PORTS[0] else PORTS[0]
    every: dict[int, Act] = {
        4: lambda: simulation.call_soon(simulation.pool.refresh),
        8: lambda: simulation.call_soon(simulation.pool.refresh),
        5: lambda: simulation.call_soon(partial(simulation.retarget, other)),
        6: lambda: simulation.loop.create_task(simulation.pool.ask_idle(SESSION_STATE)),
        7: lambda: simulation.advance(11.0),
        9: simulation.cut_all,
        10: partial(simulation.delay_data, 0.03),
        11: partial(simulation.delay_data, 0),
        12: partial(simulation.loop.advance, 0.02),
    }
    act = every.get(detail % 16)
    return [act] if act else []
