"""A start of the local cloud is no failover: health has forgotten the server of the run before."""

from local.known_writer import KEY, TABLE, forget_writer
from shared.aws.dynamodb_shared_state import SERVER, LastWriter, SharedStateStore
from tests.contract.dynamodb_clients import make_client, make_table
from tests.local.gateways import make_stack
from tests.services import EmulatorHandle


def test_the_first_check_after_a_start_has_seen_no_server_before(emulator: EmulatorHandle) -> None:
    """So the server of the new process is the first one, and not another; a second start finds nothing to forget."""
    client = make_client(emulator.url)
    table = make_table(client)
    store = SharedStateStore(client, table)
    assert store.change_server(None, LastWriter("of the run before", None))
    stack = make_stack([], [], outputs={TABLE: table})
    for _ in range(2):
        forget_writer(client, stack)
        assert store.read([]).server is None


def test_the_item_is_healths(emulator: EmulatorHandle) -> None:
    """The local cloud imports nothing of the service, and names the item by itself; a stack may have no table."""
    assert KEY == SERVER
    forget_writer(make_client(emulator.url), make_stack([], [], outputs={}))
