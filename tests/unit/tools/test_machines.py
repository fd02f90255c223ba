"""The check of the processor that compiled files are for."""

import struct
from pathlib import Path

import pytest

from tools import machines


def write_elf(path: Path, machine: int, order: str = "<") -> None:
    """Write the header of an ELF file."""
    identity = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(identity + struct.pack(f"{order}HH", 3, machine) + bytes(44))


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", 183), ("x86_64", 62)])
def test_a_build_for_one_architecture_passes(tmp_path: Path, architecture: str, machine: int) -> None:
    """Text files may lie beside the compiled ones."""
    write_elf(tmp_path / "layer/a.so", machine)
    (tmp_path / "layer/a.py").write_text("import a\n")
    assert machines.main([str(tmp_path), architecture]) == 0


def test_a_library_for_another_processor_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that pip took for this machine in a build for arm64."""
    write_elf(tmp_path / "a.so", 183)
    write_elf(tmp_path / "deep/b.so.5", 62)
    assert machines.main([str(tmp_path), "arm64"]) == 1
    assert "b.so.5 is not for arm64" in capsys.readouterr().err


def test_a_build_without_compiled_files_fails(tmp_path: Path) -> None:
    """The layer has some in every build: without them the check has looked at the wrong folder."""
    (tmp_path / "a.so").write_bytes(b"\x7fEL")
    assert machines.main([str(tmp_path), "arm64"]) == 1


def test_the_order_of_bytes_is_the_files_own(tmp_path: Path) -> None:
    """ELF says in its sixth byte how its numbers are written."""
    write_elf(tmp_path / "big.so", 183, order=">")
    assert machines.read_machine(tmp_path / "big.so") == 183
