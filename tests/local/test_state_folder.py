"""The state that a local cloud keeps, and its ports."""

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
def state_folder(tmp_path: Path) -> StateFolder:
    """Return a local cloud that never ran."""
    made = StateFolder(tmp_path, tmp_path / ".local")
    made.make_folders()
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a loopback port on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_ports_stay_the_same_over_restarts(state_folder: StateFolder) -> None:
    """Addresses that were handed out stay right."""
    first = choose_internal_ports(state_folder, ["postgres", "emulator"])
    state_folder.update_state(ports=first)
    assert choose_internal_ports(state_folder, ["postgres", "emulator"]) == first


def test_a_port_that_was_taken_meanwhile_is_replaced(state_folder: StateFolder, taken_port: int) -> None:
    """Another program may have it now; the other port stays."""
    kept = choose_internal_ports(state_folder, ["postgres"])["postgres"]
    state_folder.update_state(ports={"postgres": kept, "emulator": taken_port})
    ports = choose_internal_ports(state_folder, ["postgres", "emulator"])
    assert ports["postgres"] == kept
    assert ports["emulator"] not in (taken_port, kept)


def test_two_checkouts_look_for_ports_in_different_places(tmp_path: Path) -> None:
    """Side by side, neither waits for the other's ports."""
    homes = [StateFolder(tmp_path / name, tmp_path / name / ".local") for name in ("one", "two")]
    assert choose_internal_ports(homes[0], ["postgres"]) != choose_internal_ports(homes[1], ["postgres"])


def test_a_port_in_use_is_named_with_a_way_out(taken_port: int) -> None:
    """The error says what to type."""
    with pytest.raises(PortInUse, match=f"port {taken_port} is in use. Another one: make up PORT={taken_port + 1}"):
        choose_front_port(taken_port)


def test_a_second_start_in_the_same_place_is_refused_with_the_address(state_folder: StateFolder) -> None:
    """Two supervisors over one state would spoil it."""
    state_folder.update_state(ports={"front": 3210})
    with state_folder.lock():
        assert state_folder.is_running()
        with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:3210"), state_folder.lock():
            pass
    assert not state_folder.is_running()


def test_a_broken_state_file_counts_as_none(state_folder: StateFolder) -> None:
    """A start never fails for what an earlier one wrote."""
    (state_folder.path / "state.json").write_text('{"ports": ')
    assert state_folder.read_state() == SavedState()
