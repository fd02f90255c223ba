"""Decorated functions written without decorators, since mutmut leaves out every function that has one.

`@property` above `def due(self)` becomes `due = property(due)` below it, which Python makes of it anyway.
"""

import ast
from collections.abc import Iterator

# mutmut mutates these, if they are a function's only decorator.
MUTATED_ANYWAY = {"staticmethod", "classmethod"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def write_without_decorators(source: str) -> str:
    """Return the module with the decorators of its functions and methods below them, in lines of their own."""
    lines = source.splitlines()
    for function in sorted(_list_decorated(ast.parse(source)), key=lambda each: each.lineno, reverse=True):
        value = function.name
        for decorator in reversed(function.decorator_list):
            value = f"{ast.unparse(decorator)}({value})"
        lines.insert(function.end_lineno or 0, f"{' ' * function.col_offset}{function.name} = {value}")
        del lines[function.decorator_list[0].lineno - 1 : function.lineno - 1]
    return "\n".join(lines) + "\n"


def _list_decorated(module: ast.Module) -> Iterator[Function]:
    for node in module.body:
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(function, Function) and not _is_mutated_anyway(function):
                yield function


def _is_mutated_anyway(function: Function) -> bool:
    names = [ast.unparse(decorator) for decorator in function.decorator_list]
    return not names or (len(names) == 1 and names[0] in MUTATED_ANYWAY)
