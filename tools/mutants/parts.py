"""The parts of the code that are mutated, and the tests that should notice."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tools.pages import ROOT

# Where the packages lie whose code is mutated. mutmut names a mutant by its file's path, and looks for tests of it by
# the name under which they import it, so both packages have to lie at the root of what it is given.
PACKAGES = {"shared": "layers/shared/shared", "worker": "functions/worker/worker"}


@dataclass(frozen=True)
class Part:
    """A folder of the code, and the tests of it; for each mutant mutmut runs those that reach it.

    `folder` is relative to the root of the checkout.
    """

    name: str
    folder: str
    tests: tuple[str, ...]

    @property
    def package_path(self) -> str:
        """Return the folder as it is imported: `shared/circuit`."""
        for package, path in PACKAGES.items():
            if self.folder == path or self.folder.startswith(f"{path}/"):
                return package + self.folder.removeprefix(path)
        raise ValueError(f"{self.folder} is in none of {PACKAGES}")

    def compute_digest(self, root: Path = ROOT) -> str:
        """Return a hash of the folder's code, by which results are recognised as older than the code."""
        digest = hashlib.sha256()
        for path in sorted((root / self.folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]


PARTS = (
    Part("retry", "layers/shared/shared/retry", ("tests/unit/retry",)),
    Part("circuit", "layers/shared/shared/circuit", ("tests/unit/circuit",)),
    Part("admission", "layers/shared/shared/admission", ("tests/unit/admission",)),
    Part("outbox", "layers/shared/shared/outbox", ("tests/unit/outbox", "tests/unit/shared/test_tracing.py")),
    Part("worker", "functions/worker/worker", ("tests/unit/worker",)),
    Part(
        "database", "layers/shared/shared/database", ("tests/unit/database", "tests/unit/shared/test_schema_version.py")
    ),
)


def find_part(name: str) -> Part:
    """Return the part of that name. Raise KeyError."""
    return {part.name: part for part in PARTS}[name]
