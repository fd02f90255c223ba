"""The processor that compiled files are for: a build for one architecture must hold none for another.

    python -m tools.machines FOLDER arm64|x86_64

Reads the header of each ELF file (shared libraries and programs) and fails if one is for another machine, or if
there is none at all.
"""

import argparse
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\x7fELF"
LITTLE_ENDIAN = 1
# e_machine, two bytes at 18 (System V ABI), by Lambda's name of the architecture.
MACHINES = {"arm64": 183, "x86_64": 62}
HEADER_BYTES = 20


def main(arguments: list[str]) -> int:
    """Check a folder; return 1 if it does not fit the architecture."""
    parser = argparse.ArgumentParser(prog="python -m tools.machines", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("architecture", choices=sorted(MACHINES))
    options = parser.parse_args(arguments)
    found = dict(find_machines(options.folder))
    wrong = find_foreign(found, options.architecture)
    for path in wrong:
        print(f"{path} is not for {options.architecture} (machine {found[path]})", file=sys.stderr)
    if not found:
        print(f"there is no compiled file below {options.folder}", file=sys.stderr)
    print(f"{len(found) - len(wrong)} of {len(found)} compiled files are for {options.architecture}")
    return 1 if wrong or not found else 0


def find_machines(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each compiled file below a folder, with the number of its machine."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (machine := read_machine(path)) is not None:
            yield path, machine


def read_machine(path: Path) -> int | None:
    """Return the number of the machine that a file is compiled for; None if it is no ELF file."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    (machine,) = struct.unpack_from("<H" if header[5] == LITTLE_ENDIAN else ">H", header, 18)
    return int(machine)


def find_foreign(machines: dict[Path, int], architecture: str) -> list[Path]:
    """Return the files that are for another architecture."""
    return [path for path, machine in machines.items() if machine != MACHINES[architecture]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
