"""The check that the operations in code and the API's events in template.yaml are the same.

    python -m tools.routes

The code is the source: for each difference the entry to paste, or the one to remove, is printed. So is each place where
people state all operations a second time and one is missing.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.template import list_code_folders, read_template

ROOT = Path(__file__).resolve().parents[1]
LAYER = "layers/shared"
ANY = "ANY"
# What no operation answers goes to this function, so that it takes no environment from the others. Health's wrong
# methods go there too: they must not keep a monitor from an answer.
REST = "PagesFunction"
WITHOUT_OWN_REST = "HealthFunction"
REST_PATHS = ("/", "/{proxy+}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A file in which people state each operation a second time: a pattern that finds it, and how an entry begins.

    `with_any`: whether the events for wrong methods stand there too.
    """

    file: str
    pattern: str
    entry: str
    with_any: bool = False


# Why they are stated twice: docs/decisions/0026. Tests that take minutes read them; a missing one is said here at once.
STATEMENTS = (
    Statement(
        "tests/template/test_routes.py",
        '"<lower>", "<path>", "<function>"',
        'ExpectedRoute("<lower>", "<path>", "<function>"),',
    ),
    Statement(
        "tests/integration/access/permissions.toml", '"<method> <path>(?: [^"]+)?"', '[operations."<method> <path>"]'
    ),
    Statement("tools/events/requests.py", '"<method> <path>": SampleRequest', '"<method> <path>": SampleRequest(…),'),
    Statement("tests/sam/answers.toml", r'^\["<event>"\]$', '["<event>"]', with_any=True),
)


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path, the function that gets it, and whether it comes without a token."""

    function: str
    method: str
    path: str
    is_public: bool

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class ApiFunction:
    """A function of the template. `events` maps the names of its API events to their routes."""

    logical_id: str
    module: str
    events: Mapping[str, Route]


def read_functions(template: Mapping[str, Any]) -> list[ApiFunction]:
    """Return the functions that have events of the API."""
    functions = (
        ApiFunction(name, resource["Properties"]["Handler"].rpartition(".")[0], dict(read_events(name, resource)))
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    )
    return [function for function in functions if function.events or has_operations(function.module)]


def read_events(function: str, resource: Mapping[str, Any]) -> Iterator[tuple[str, Route]]:
    """Yield the API events of a function by name."""
    for name, event in resource["Properties"].get("Events", {}).items():
        if event["Type"] == "Api":
            properties = event["Properties"]
            is_public = properties.get("Auth", {}).get("Authorizer") == "NONE"
            yield name, Route(function, properties["Method"].upper(), properties["Path"], is_public)


def has_operations(module: str) -> bool:
    """Return whether a handler's module has an API; a package is imported only if its source says so."""
    source = ROOT / "functions" / module.split(".")[0] / Path(*module.split(".")).with_suffix(".py")
    return source.exists() and re.search(r"^api\b.*= Api", source.read_text(encoding="utf-8"), re.MULTILINE) is not None


def list_operations(function: ApiFunction) -> list[tuple[str, Route]]:
    """Return the routes that a function's code needs, each after the name that its event would get."""
    if not has_operations(function.module):
        return []
    operations = importlib.import_module(function.module).api.operations.values()
    own = [
        (make_name(o.run.__name__), Route(function.logical_id, o.method, o.resource, is_public=o.sign_in != "required"))
        for o in operations
    ]
    rest = REST if function.logical_id == WITHOUT_OWN_REST else function.logical_id
    paths = dict.fromkeys(route.path for _, route in own)
    return own + [(f"Other{make_name(path)}", Route(rest, ANY, path, is_public=True)) for path in paths]


def make_name(text: str) -> str:
    """Return the words of a path or of a function's name, as an event is named."""
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", text))


def list_differences(functions: Iterable[ApiFunction]) -> list[str]:
    """Return what to do about each difference, in the order of the template."""
    functions = list(functions)
    needed = {route: name for function in functions for name, route in list_operations(function)}
    needed |= {Route(REST, ANY, path, is_public=True): "Elsewhere" for path in REST_PATHS}
    deployed = {route: name for function in functions for name, route in function.events.items()}
    return [
        *(describe_missing(route, name, functions) for route, name in needed.items() if route not in deployed),
        *(
            describe_surplus(route, name, functions)
            for route, name in deployed.items()
            if route not in needed and not is_head_of_get(route, needed)
        ),
    ]


def is_head_of_get(route: Route, needed: Mapping[Route, str]) -> bool:
    """Return whether it is HEAD of a path with GET, which the router serves with it."""
    return route.method == "HEAD" and Route(route.function, "GET", route.path, route.is_public) in needed


def describe_missing(route: Route, name: str, functions: Iterable[ApiFunction]) -> str:
    """Return the entry that the template lacks."""
    taken = {name for function in functions for name in function.events if function.logical_id == route.function}
    free = next(each for each in (name, *(f"{name}{number}" for number in range(2, 100))) if each not in taken)
    return (
        f"template.yaml: {route.function} has no event for {route}. Paste into its Events:\n"
        f"        {free}:\n          Type: Api\n          Properties: {format_properties(route)}\n"
    )


def format_properties(route: Route) -> str:
    """Return an event's properties in the form that template.yaml has them."""
    auth = ", Auth: {Authorizer: NONE}" if route.is_public else ""
    return f"{{RestApiId: !Ref Api, Path: '{route.path}', Method: {route.method.lower()}{auth}}}"


def describe_surplus(route: Route, name: str, functions: Iterable[ApiFunction]) -> str:
    """Return the entry that no operation needs, with the operation that would."""
    [module] = {function.module for function in functions if function.logical_id == route.function}
    problem = f"template.yaml: {route.function} has the event {name} for {route}"
    if route.method == ANY:
        return f"{problem}, a path that has no operation. Remove it:\n        {name}:\n"
    sign_in, openly = (', sign_in="none"', " without a token") if route.is_public else ("", "")
    file = f"functions/{module.split('.')[0]}/{module.replace('.', '/')}.py"
    return (
        f"{problem}{openly}, and {module} has no such operation. Remove it, or add to {file}:\n"
        f'@api.{route.method.lower()}("{route.path}", summary="…", answer=…, access=…{sign_in})\n'
        f"def verb_object(call: Call[…]) -> Answer:\n"
    )


def list_unstated(functions: Iterable[ApiFunction], root: Path = ROOT) -> list[str]:
    """Return where an operation is not stated a second time, and how its entry begins."""
    functions = list(functions)
    folders = {function.logical_id: function.module.split(".")[0] for function in functions}
    texts = {statement.file: (root / statement.file).read_text(encoding="utf-8") for statement in STATEMENTS}
    return [
        f"    {statement.file}: {route} is missing. Its entry begins: {fill_in(statement.entry, words)}\n"
        for function in functions
        for _, route in list_operations(function)
        for words in [describe_route(route, folders[route.function])]
        for statement in STATEMENTS
        if (statement.with_any or route.method != ANY) and not is_stated(statement, words, texts[statement.file])
    ]


def describe_route(route: Route, folder: str) -> dict[str, str]:
    """Return the words by which a route is stated; `event` is the name of its file in events/."""
    event = "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])
    words = {"method": route.method, "lower": route.method.lower(), "path": route.path, "function": route.function}
    return {**words, "event": f"{folder}/{event}"}


def fill_in(text: str, words: Mapping[str, str]) -> str:
    """Return a text with the words in place of their names."""
    return re.sub(r"<(\w+)>", lambda found: words[found[1]], text)


def is_stated(statement: Statement, words: Mapping[str, str], text: str) -> bool:
    """Return whether a file has a route's entry."""
    pattern = fill_in(statement.pattern, {name: re.escape(word) for name, word in words.items()})
    return re.search(pattern, text, re.MULTILINE) is not None


def check_template(text: str) -> list[str]:
    """Return what to do about each difference between the code and the text of a template."""
    return list_differences(import_functions(text))


def import_functions(text: str) -> list[ApiFunction]:
    """Return the API's functions in the text of a template; their modules can be imported then."""
    template = read_template(text)
    folders = [ROOT / LAYER, *list_code_folders(template, ROOT).values()]
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]
    return read_functions(template)


def main() -> int:
    """Print the differences, and what is stated once only; return 1 if there is anything."""
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found = check_template(template) + list_unstated(import_functions(template))
    print(*found, sep="\n", end="", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
