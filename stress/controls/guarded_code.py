"""Digests of the code that a control guards: its result holds for exactly this code, whatever commit it is in.

A control breaks the service, and a scenario finds it. So it guards the service, the harness with its own scenario, and
itself. Other scenarios, the pages and other controls decide nothing about it, and may change.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from stress.controls.checkout_copies import list_files
from stress.controls.model import NegativeControl

SERVICE = ("functions/", "layers/", "migrations/", "templates/", "template.yaml", "local/")
HARNESS = ("stress/", "judge/")
LEFT_OUT = ("stress/controls/controls.toml", "stress/controls/patches/", "stress/report/", "stress/published_claims")
SCENARIOS = "stress/scenarios/"
OF_A_SCENARIO = b"\nPROMISE = "  # what makes a module of that folder a scenario
DIGITS = 16


class GuardedCode:
    """The files of a checkout that any control guards, as they are now, committed or not."""

    def __init__(self, root: Path) -> None:
        """Read all of them. Raise CannotCopy if git can't list them."""
        self._hashes: dict[str, str] = {}
        self._scenarios: set[str] = set()
        for name in list_files(root):
            if name.startswith((*SERVICE, *HARNESS)) and not name.startswith(LEFT_OUT):
                path = root / name
                content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
                self._hashes[name] = hashlib.sha256(content).hexdigest()
                if name.startswith(SCENARIOS) and OF_A_SCENARIO in content:
                    self._scenarios.add(name)

    def describe(self, control: NegativeControl) -> dict[str, str]:
        """Return the digest of each part that a control guards."""
        others = self._scenarios - {f"{SCENARIOS}{control.scenario}.py"}
        written = {name: value for name, value in asdict(control).items() if name not in ("name", "why")}
        return {
            "service": self._hash_files(SERVICE, set()),
            "harness": self._hash_files(HARNESS, others),
            "control": _hash_text(json.dumps(written, sort_keys=True)),
        }

    def _hash_files(self, folders: tuple[str, ...], without: set[str]) -> str:
        names = [name for name in sorted(self._hashes) if name.startswith(folders) and name not in without]
        return _hash_text("".join(f"{name}\0{self._hashes[name]}\n" for name in names))


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
