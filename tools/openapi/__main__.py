"""The command that writes the API's description to the file that the pages function serves.

    python -m tools.openapi           write it
    python -m tools.openapi --check   check that the file is up to date

One function can't import another, so the description is built here and ships as a file.
"""

import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("agents", "claims", "health", "jobs_api", "members", "pages")
APPS = tuple(f"{name}.app" for name in FUNCTIONS)
TARGET = ROOT / "functions/pages/pages/openapi.json"
VERSION = "1.0.0"  # of the contract, not of a build


def render_description() -> str:
    """Return the description as JSON text."""
    for folder in ("layers/shared", *(f"functions/{name}" for name in FUNCTIONS)):
        if (path := str(ROOT / folder)) not in sys.path:
            sys.path.insert(0, path)
    from tools.openapi.description import describe

    operations = [o for app in APPS for o in importlib.import_module(app).api.operations.values()]
    return json.dumps(describe(operations, version=VERSION), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the description; return 1 if --check finds a difference."""
    text = render_description()
    if "--check" in arguments:
        if TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"{TARGET.relative_to(ROOT)} is out of date: run make openapi")
        return 1
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
