"""The names of all checks that the harness's source makes, read from the source itself."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
METHODS = re.compile(r"check(_equal|_at_most|_at_least|_statuses|_(share|percentile|ratio)_at_(most|least))?")


@dataclass(frozen=True)
class CheckName:
    """A check's name as the source has it: a regular expression if parts of it are computed."""

    module: str
    line: int
    text: str
    is_pattern: bool

    def is_for(self, check: str) -> bool:
        """Return whether a check may have this name."""
        return re.fullmatch(self.text, check) is not None if self.is_pattern else check == self.text


class UnreadableName(Exception):
    """The name of a check is not a text, nor a variable that has one in the same function."""


def list_check_names(module: Path) -> Iterator[CheckName]:
    """Yield the names of the checks that a module makes. Raise UnreadableName."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _is_check(call):
                yield from _read_names(module, function, call)


def _is_check(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and METHODS.fullmatch(call.func.attr) is not None and bool(call.args)


def _read_names(module: Path, function: ast.AST, call: ast.Call) -> Iterator[CheckName]:
    found = list(_find_texts(function, call.args[0]))
    if not found:
        raise UnreadableName(f"{module.name}:{call.lineno}")
    for text, is_pattern in found:
        yield CheckName(module.stem, call.lineno, text, is_pattern)


def _find_texts(function: ast.AST, node: ast.expr) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, False
    elif isinstance(node, ast.JoinedStr):
        parts = (re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in node.values)
        yield "".join(parts), True
    elif isinstance(node, ast.Name):
        for each in ast.walk(function):
            names = each.targets if isinstance(each, ast.Assign) else ()
            if any(isinstance(name, ast.Name) and name.id == node.id for name in names):
                yield from _find_texts(function, each.value)  # type: ignore[attr-defined]
