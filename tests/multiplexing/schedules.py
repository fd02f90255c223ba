"""Schedules: what happens next, chosen by one number after the other, so that a list of numbers replays a run."""

from collections.abc import Callable, Sequence
from functools import partial

from local.database_proxy.framing import build_message, build_parameter_status
from local.database_proxy.proxy import SESSION_STATE
from tests.multiplexing.world import PORTS, Client, Server, World

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


def play(numbers: Sequence[int]) -> World:
    """Play a schedule to its end, checking after every step, and return the world it left."""
    world = World(CONNECTIONS)
    try:
        for step, number in enumerate(numbers):
            _choose(world, number)()
            if step % CHECK_EVERY == 0:
                world.check()
        world.finish()
    finally:
        world.close()
    return world


def _choose(world: World, number: int) -> Act:
    acts = _acts(world, AMOUNTS[number % len(AMOUNTS)], number // 1000)
    return acts[number // len(AMOUNTS) % len(acts)]


def _acts(world: World, most: int, detail: int) -> list[Act]:
    """All that may happen now; what shall happen often stands in the list more than once."""
    acts: list[Act] = [world.loop.tick] * 6
    if len(world.clients) < MOST_CLIENTS:
        acts += [world.connect] * 2
    for client in world.clients:
        acts += _acts_of_client(world, client, most, detail)
    for server in world.servers:
        acts += _acts_of_server(world, server, most, detail)
    if any(server.cancel_key for server in world.servers):
        acts += [world.apply_cancels] * 3
    return acts + _rare(world, detail)


def _acts_of_client(world: World, client: Client, most: int, detail: int) -> list[Act]:
    acts: list[Act] = [lambda: world.soon(partial(client.receive, most))]
    if not client.end.is_closing():
        acts += [lambda: world.soon(partial(client.end.deliver, most))] * 3
    if not client.has_left:
        acts.append(lambda: _say(client, detail))
    if not client.has_left and detail % 8 == 0:
        acts += [
            partial(world.cut, client),
            partial(client.leave, politely=True),
            partial(client.leave, politely=False),
        ]
    if detail % 8 == 1:
        acts += [partial(world.cancel, client)] * 2
    return acts


def _say(client: Client, detail: int) -> None:
    words = (SIMPLE + PIPELINES)[detail % (len(SIMPLE) + len(PIPELINES))]
    is_pipeline = words in PIPELINES and words not in SIMPLE
    if not is_pipeline and client.has_open_batch:
        client.say("sync", extended=True)  # a server that skips to the next Sync would skip a query too
    client.say(words, extended=is_pipeline)


def _acts_of_server(world: World, server: Server, most: int, detail: int) -> list[Act]:
    acts: list[Act] = [
        lambda: world.soon(partial(server.receive, most)),
        lambda: world.soon(server.work),
        lambda: world.soon(partial(server.end.deliver, most)),
    ] * 2
    if detail % 16 == 2 and server.is_alive:
        acts += [server.end_session, lambda: world.soon(server.break_line)]
    if detail % 16 == 3 and server.is_alive and server.greeted:
        acts.append(partial(server.say, ASYNC[detail % len(ASYNC)]))
    return acts


def _rare(world: World, detail: int) -> list[Act]:
    """What operators and the test suite do."""
    other = PORTS[1] if world.pool.target == PORTS[0] else PORTS[0]
    every: dict[int, Act] = {
        4: lambda: world.soon(world.pool.refresh),
        8: lambda: world.soon(world.pool.refresh),
        5: lambda: world.soon(partial(world.retarget, other)),
        6: lambda: world.loop.create_task(world.pool.ask_idle(SESSION_STATE)),
        7: lambda: world.advance(11.0),
        9: world.cut_all,
        10: partial(world.delay, 0.03),
        11: partial(world.delay, 0),
        12: partial(world.loop.advance, 0.02),
    }
    act = every.get(detail % 16)
    return [act] if act else []
