"""The packages of Spectral are pinned: exact versions with hashes, and no address that they are taken from."""

import json
import re

from tools.spectral import LOCK, PINNED

MANIFEST = json.loads((PINNED / "package.json").read_text(encoding="utf-8"))
PACKAGES = json.loads((PINNED / LOCK).read_text(encoding="utf-8"))["packages"]


def test_every_package_has_a_hash_and_no_address() -> None:
    installed = {name: package for name, package in PACKAGES.items() if name}
    assert len(installed) > 100
    assert [name for name, package in installed.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []


def test_spectral_itself_has_one_version() -> None:
    """The lock file is of the version that is asked for."""
    [(name, version)] = MANIFEST["dependencies"].items()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert PACKAGES[f"node_modules/{name}"]["version"] == version
    assert PACKAGES[""]["dependencies"] == MANIFEST["dependencies"]
