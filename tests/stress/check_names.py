"""The names of all checks that the harness's source makes, read from the source itself."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

METHODS = re.compile(r"check(_equal|_at_most|_at_least|_statuses|_(share|percentile|ratio)_at_(most|least))?")
# Stands for a computed part of a name. Each way to fill it in is tried.
COMPUTED = "\0"
FILLINGS = ("10", "claims", "Calls")


@dataclass(frozen=True)
class CheckName:
    """A check's name as the source has it, with COMPUTED in place of its computed parts."""

    module: str
    line: int
    text: str

    @property
    def examples(self) -> list[str]:
        """Return names that the check may have."""
        return list(dict.fromkeys(self.text.replace(COMPUTED, filling) for filling in FILLINGS))

    def is_for(self, check: str) -> bool:
        """Return whether a check may have this name."""
        return re.fullmatch(".+".join(map(re.escape, self.text.split(COMPUTED))), check) is not None


class UnreadableName(Exception):
    """The name of a check is none of the forms that can be read from the source; the message says where."""


Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class HarnessModule:
    """One module of the harness."""

    path: Path
    tree: ast.Module = field(compare=False)

    @cached_property
    def functions(self) -> list[Function]:
        """Return all functions, methods included."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def list_check_names(self) -> Iterator[CheckName]:
        """Yield the names of the checks that the module makes. Raise UnreadableName."""
        for function in self.functions:
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and _is_check(call) and not METHODS.fullmatch(function.name):
                    texts = list(self._find_texts(function, call.args[0]))
                    if not texts:
                        raise UnreadableName(f"{self.path.name}:{call.lineno}")
                    yield from (CheckName(self.path.stem, call.lineno, text) for text in texts)

    def _find_texts(self, function: Function, node: ast.expr) -> Iterator[str]:
        """Yield the texts that an expression may have: a literal, a variable, a parameter, or the keys of a table."""
        if isinstance(node, ast.Constant):
            yield str(node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else COMPUTED for part in node.values)
        elif isinstance(node, ast.Name):
            for each in ast.walk(function):
                yield from self._find_assigned(function, each, node.id)
            yield from self._find_arguments(function, node.id)

    def _find_assigned(self, function: Function, each: ast.AST, name: str) -> Iterator[str]:
        if isinstance(each, ast.Assign) and any(_is_name(target, name) for target in each.targets):
            yield from self._find_texts(function, each.value)
        if isinstance(each, ast.For) and isinstance(each.target, ast.Tuple) and _is_name(each.target.elts[0], name):
            yield from self._list_keys(ast.unparse(each.iter).removesuffix(".items()"))

    def _list_keys(self, table: str) -> Iterator[str]:
        for each in self.tree.body:
            if isinstance(each, ast.Assign) and any(_is_name(target, table) for target in each.targets):
                yield from ast.literal_eval(each.value)

    def _find_arguments(self, function: Function, name: str) -> Iterator[str]:
        parameters = [each.arg for each in function.args.args]
        if name not in parameters:
            return
        position = parameters.index(name)
        for caller in self.functions:
            for call in ast.walk(caller):
                if isinstance(call, ast.Call) and _is_name(call.func, function.name) and len(call.args) > position:
                    yield from self._find_texts(caller, call.args[position])


def read_module(path: Path) -> HarnessModule:
    """Return a module of the harness."""
    return HarnessModule(path, ast.parse(path.read_text(encoding="utf-8")))


def _is_check(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and METHODS.fullmatch(call.func.attr) is not None and bool(call.args)


def _is_name(node: Any, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
