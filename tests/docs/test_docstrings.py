"""Docstrings say what a thing is or does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ROOT

FOLDERS = ("layers", "functions", "judge", "local", "stress", "tools")
QUESTIONS = ("What", "How", "Who", "Whose", "Where", "Which", "When")


def _list_docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Return name and docstring of each class and function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield node.name, text


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_begins_like_a_question(folder: str) -> None:
    """A class is a noun phrase, a function an imperative: "Return how many …" instead of "How many …"."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    found = [
        f"{path.name}: {name}"
        for path in paths
        for name, text in _list_docstrings(path)
        if text.split()[0] in QUESTIONS
    ]

    assert paths
    assert found == []
