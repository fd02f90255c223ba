"""The command that writes the API's description: the file that the pages function serves, and the published contract.

    python -m tools.openapi           write both
    python -m tools.openapi --check   check that both are up to date, and that nothing is missing in them

One function can't import another, so the description is built here and ships as a file. The published contract is the
same text; it changes only if its clients can take the change, or the first number of VERSION is raised (decision 68).
"""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.openapi.compatibility import find_breaking_changes, is_raised
from tools.openapi.completeness import UnnamedEnum, find_gaps

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("agents", "claims", "health", "jobs_api", "members", "pages")
APPS = tuple(f"{name}.app" for name in FUNCTIONS)
TARGET = ROOT / "functions/pages/pages/openapi.json"
PUBLISHED = ROOT / "docs/reference/openapi.json"
VERSION = "2.0.0"  # of the contract, not of a build; the first number says that clients have to change


def render_description() -> str:
    """Return the description as JSON text. Raise UnnamedEnum."""
    return json.dumps(_build_description(), indent=1, ensure_ascii=False) + "\n"


def list_gaps(description: Mapping[str, Any]) -> list[str]:
    """Return the names, descriptions and examples that a description lacks."""
    _find_functions()
    from tools.openapi.story.all_examples import EXAMPLES

    return find_gaps(description, EXAMPLES)


def list_refused_changes(published: Path, description: Mapping[str, Any]) -> list[str]:
    """Return what clients of the published contract could not take; nothing if the version is raised."""
    if not published.exists():
        return []
    old = json.loads(published.read_text(encoding="utf-8"))
    if is_raised(old["info"]["version"], description["info"]["version"]):
        return []
    return find_breaking_changes(old, description)


def main(arguments: list[str], target: Path = TARGET, published: Path = PUBLISHED) -> int:
    """Write or check both files; return 1 if something is missing, refused, or with --check different."""
    try:
        text = render_description()
    except UnnamedEnum as error:
        errors = [str(error)]
    else:
        description = json.loads(text)
        refused = list_refused_changes(published, description)
        errors = [*list_gaps(description), *_explain_refusal(refused)]
        if "--check" in arguments:
            errors += _list_stale(text, target, published)
        else:
            _write(text, target, *([] if refused else [published]))
    print(*errors, sep="\n", end="\n" if errors else "", file=sys.stderr)
    return 1 if errors else 0


def _build_description() -> dict[str, Any]:
    _find_functions()
    from tools.openapi.description import describe

    operations = [o for app in APPS for o in importlib.import_module(app).api.operations.values()]
    return describe(operations, version=VERSION)


def _find_functions() -> None:
    """Put the functions' packages on the path of imports."""
    for folder in ("layers/shared", *(f"functions/{name}" for name in FUNCTIONS)):
        if (path := str(ROOT / folder)) not in sys.path:
            sys.path.insert(0, path)


def _explain_refusal(refused: list[str]) -> Iterator[str]:
    if refused:
        yield f"{_shorten(PUBLISHED)} is not changed, since clients of it could not take this:"
        yield from (f"  {change}" for change in refused)
        yield "Keep what they rely on, or raise the first number of VERSION in tools/openapi/__main__.py."


def _list_stale(text: str, *paths: Path) -> Iterator[str]:
    for path in paths:
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{_shorten(path)} is out of date: run make openapi"


def _write(text: str, *paths: Path) -> None:
    for path in paths:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {_shorten(path)}")


def _shorten(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
