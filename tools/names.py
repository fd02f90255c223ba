"""Check names: functions begin with a verb, and no two classes have the same name.

    python -m tools.names

In each folder at least three of four functions and methods are named by a verb and its object. Predicates (is_, has_,
can_) count as well. Names that nobody chooses are left out (`__enter__`), and so are those that are no verbs by nature:
properties, pytest fixtures, and test functions, whose names are sentences. The verbs are listed in verbs.txt; add a
missing one there.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bench", "functions", "judge", "layers", "local", "stress", "tools", "tests")
MIN_SHARE = 0.75
# Names of several classes, with the reason. An entry whose name has become unique fails the check too.
REPEATED_CLASSES: Mapping[str, str] = {}
PREDICATES = ("is_", "has_", "can_")
NOUNS = ("property", "cached_property", "setter", "fixture")
GIVEN_PREFIXES = ("__", "test_", "pytest_")


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """A function or method, and whether its name begins with a verb."""

    place: str
    is_verb_led: bool


def read_verbs() -> frozenset[str]:
    """Return the verbs of verbs.txt."""
    return frozenset((ROOT / "tools/verbs.txt").read_text(encoding="utf-8").split())


def parse_folder(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Yield each Python file of a folder with its syntax tree."""
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def list_functions(folder: Path, verbs: Iterable[str]) -> Iterator[NamedFunction]:
    """Yield the functions of a folder whose names are chosen freely."""
    for path, tree in parse_folder(folder):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_exempt(node):
                yield NamedFunction(f"{path}:{node.lineno}: {node.name}", is_verb_led(node.name, verbs))


def is_exempt(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is a special method, a property, a fixture, a test or a hook of pytest."""
    decorators = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
    is_noun = any(ast.unparse(each).rpartition(".")[2] in NOUNS for each in decorators)
    return is_noun or node.name.startswith(GIVEN_PREFIXES)


def is_verb_led(name: str, verbs: Iterable[str]) -> bool:
    """Return whether a name is a verb, or begins with one or with a predicate."""
    plain = name.lstrip("_")
    return plain.startswith(PREDICATES) or any(plain == verb or plain.startswith(f"{verb}_") for verb in verbs)


def find_repeated_classes(folders: Iterable[Path]) -> dict[str, list[str]]:
    """Return the places of each class name that stands for several classes."""
    places = defaultdict(list)
    for folder in folders:
        for path, tree in parse_folder(folder):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def check_functions(root: Path) -> Iterator[str]:
    """Print the share of verb-led names of each folder, and yield an error for each folder with too few of them."""
    verbs = read_verbs()
    for name in FOLDERS:
        functions = list(list_functions(root / name, verbs))
        others = [function.place for function in functions if not function.is_verb_led]
        share = 1 - len(others) / len(functions)
        print(f"{name}: {share:.1%} of {len(functions)} functions begin with a verb")
        if share < MIN_SHARE:
            yield "\n  ".join([f"{name}: fewer than {MIN_SHARE:.0%} begin with a verb; the others:", *others])


def check_classes(root: Path, excused: Mapping[str, str] = REPEATED_CLASSES) -> Iterator[str]:
    """Yield an error for each class name that stands twice without a reason, and for each reason without need."""
    repeated = find_repeated_classes(root / name for name in FOLDERS)
    for name in sorted(repeated.keys() - excused.keys()):
        yield f"class {name} stands at {', '.join(repeated[name])}"
    for name in sorted(excused.keys() - repeated.keys()):
        yield f"class {name} is unique: remove it from REPEATED_CLASSES"


def main(root: Path = ROOT) -> int:
    """Print what is wrong; return 1 if anything is."""
    errors = [*check_functions(root), *check_classes(root)]
    print("\n".join(errors) or "no class name stands twice", file=sys.stderr if errors else sys.stdout)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
