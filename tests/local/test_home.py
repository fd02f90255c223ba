"""What a local cloud remembers, and its ports."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.state_folder import (
    AlreadyRunning,
    PortInUse,
    SavedState,
    StateFolder,
    choose_front_port,
    choose_internal_ports,
)


@pytest.fixture
def home(tmp_path: Path) -> StateFolder:
    """A local cloud that never ran."""
    made = StateFolder(tmp_path, tmp_path / ".local")
    made.make_folders()
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    """A loopback port on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_ports_stay_the_same_over_restarts(home: StateFolder) -> None:
    """Addresses that were handed out stay right."""
    first = choose_internal_ports(home, ["postgres", "emulator"])
    home.update_state(ports=first)
    assert choose_internal_ports(home, ["postgres", "emulator"]) == first


def test_a_port_that_was_taken_meanwhile_is_replaced(home: StateFolder, taken: int) -> None:
    """Another program may have it now; the other port stays."""
    kept = choose_internal_ports(home, ["postgres"])["postgres"]
    home.update_state(ports={"postgres": kept, "emulator": taken})
    ports = choose_internal_ports(home, ["postgres", "emulator"])
    assert ports["postgres"] == kept
    assert ports["emulator"] not in (taken, kept)


def test_two_checkouts_look_for_ports_in_different_places(tmp_path: Path) -> None:
    """Side by side, neither waits for the other's ports."""
    homes = [StateFolder(tmp_path / name, tmp_path / name / ".local") for name in ("one", "two")]
    assert choose_internal_ports(homes[0], ["postgres"]) != choose_internal_ports(homes[1], ["postgres"])


def test_a_port_in_use_is_named_with_a_way_out(taken: int) -> None:
    """The error says what to type."""
    with pytest.raises(PortInUse, match=f"port {taken} is in use. Another one: make up PORT={taken + 1}"):
        choose_front_port(taken)


def test_a_second_start_in_the_same_place_is_refused_with_the_address(home: StateFolder) -> None:
    """Two supervisors over one state would spoil it."""
    home.update_state(ports={"front": 3210})
    with home.lock():
        assert home.is_running()
        with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:3210"), home.lock():
            pass
    assert not home.is_running()


def test_a_broken_state_file_counts_as_none(home: StateFolder) -> None:
    """A start never fails for what an earlier one wrote."""
    (home.path / "state.json").write_text('{"ports": ')
    assert home.read_state() == SavedState()
