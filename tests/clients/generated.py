"""The generated functions of the Python client, by method and path."""

import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import interdomestik_client.generated.api as api

_CALL = re.compile(r'"method": "(\w+)",\s*"url": "([^"]+)"')


@cache
def _list_modules() -> dict[tuple[str, str], ModuleType]:
    found = {}
    for each in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if each.ispkg:
            continue
        module = importlib.import_module(each.name)
        assert module.__file__
        if (call := _CALL.search(Path(module.__file__).read_text(encoding="utf-8"))) is not None:
            found[call[1].upper(), call[2]] = module
    return found


def find_function(method: str, path: str) -> ModuleType:
    """Return the generated module of an operation: its names follow the description's operation ids."""
    return _list_modules()[method, path]
