"""The sizes of what is deployed, in bytes: the layer as it is unpacked, and the package of each function."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.programs import LAYER, ROOT

BYTECODE = "__pycache__"
SHOWN = 8  # parts of the layer
BYTES_PER_KB = 1000


def round_up_to_kb(size: float) -> int:
    """Return a size in bytes in KB, rounded up."""
    return -int(-size // BYTES_PER_KB)


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, also those that its links lead to."""
    for path in folder.iterdir():
        if path.is_dir():
            yield from list_files(path)
        else:
            yield path


def sum_bytes(files: Iterable[Path]) -> int:
    """Return the size of files."""
    return sum(path.stat().st_size for path in files)


def measure_layer() -> dict[str, int]:
    """Return the layer's size: its files, and their bytecode, which ships with it."""
    files = list(list_files(LAYER / "python")) + list(list_files(LAYER / "migrations"))
    compiled = [path for path in files if BYTECODE in path.parts]
    return {"files": sum_bytes(files) - sum_bytes(compiled), "bytecode": sum_bytes(compiled)}


def list_largest_parts() -> dict[str, int]:
    """Return the largest parts of the layer, bytecode included."""
    sizes: Counter[str] = Counter()
    for part in (LAYER / "python").iterdir():
        name = part.name.removesuffix(".libs").removesuffix(".dist-info")
        sizes[name] += sum_bytes(list_files(part)) if part.is_dir() else part.stat().st_size
    return dict(sizes.most_common(SHOWN))


def measure_packages() -> dict[str, int]:
    """Return the size of each function's package, without the bytecode that ships with it."""
    folders = sorted(path for path in (ROOT / "functions").iterdir() if path.is_dir())
    return {
        folder.name: sum_bytes(path for path in list_files(folder) if BYTECODE not in path.parts) for folder in folders
    }
