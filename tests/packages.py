"""The folders that Python imports our code from, as pyproject.toml lists them for pytest."""

import tomllib

from tests.services import ROOT

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: list[str] = CONFIG["tool"]["pytest"]["ini_options"]["pythonpath"]
# The functions and the layer: what is deployed.
PACKAGES = tuple(ROOT / folder for folder in FOLDERS if folder.startswith(("functions/", "layers/")))
