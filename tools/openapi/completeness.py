"""A check that the API's description says everything: names, descriptions and examples of all operations."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

JSON = Mapping[str, Any]

_OPERATION_ID = re.compile(r"[a-z_]+(\.[a-z_]+)+")
# What a description may add to a field's name without saying anything.
_FILLERS = frozenset({"a", "an", "its", "of", "the"})
_STORY = "tools/openapi/story"


class UnnamedEnum(Exception):
    """An enum has no name in tools/openapi/enums.py, or several: the description can't be built."""


def find_gaps(description: JSON, examples: Mapping[str, Any]) -> list[str]:
    """Return what the description lacks, and where to write it; `examples` are those of the story."""
    reader = _DescriptionReader(description)
    ids = Counter(operation["operationId"] for _, operation in reader.list_operations())
    return [
        *(f"{name}: {count} operations have this id: give each its own" for name, count in ids.items() if count > 1),
        *(f"{name}: no operation has this id: remove its example ({_STORY})" for name in sorted({*examples} - {*ids})),
        *(gap for place, operation in reader.list_operations() for gap in reader.check_operation(place, operation)),
        *reader.check_components(),
    ]


class _DescriptionReader:
    """The parts of a description, with references followed."""

    def __init__(self, description: JSON) -> None:
        self._description = description
        self._tags = {tag["name"] for tag in description.get("tags", ()) if tag.get("description")}

    def list_operations(self) -> Iterator[tuple[str, JSON]]:
        """Yield each operation with its method and path."""
        for path, item in self._description["paths"].items():
            for method, operation in item.items():
                yield f"{method.upper()} {path}", operation

    def check_operation(self, place: str, operation: JSON) -> Iterator[str]:
        """Yield what an operation lacks."""
        if not _OPERATION_ID.fullmatch(operation["operationId"]):
            yield f"{place}: no operation_id such as claims.create: give it one in its decorator"
        if not set(operation["tags"]) <= self._tags:
            yield f"{place}: its tag {operation['tags'][0]!r} has no description: write one ({_STORY}/all_examples.py)"
        if not operation["description"].partition("\n")[0].strip():
            yield f"{place}: no description: write the handler's docstring"
        for parameter in map(self._follow, operation["parameters"]):
            yield from _check_value(f"{place}: parameter {parameter['name']}", parameter)
        yield from self._check_content(f"{place}: body", operation.get("requestBody", {}))
        for status, answer in operation["responses"].items():
            yield from self._check_answer(f"{place}: answer {status}", self._follow(answer))

    def check_components(self) -> Iterator[str]:
        """Yield the schemas, and the properties of schemas, without a description."""
        for name, schema in self._description["components"]["schemas"].items():
            if not schema.get("description"):
                yield f"{name}: no description: write the model's docstring"
            for field, described in schema.get("properties", {}).items():
                yield from _check_property(f"{name}/{field}", field, described.get("description", ""))

    def _check_answer(self, place: str, answer: JSON) -> Iterator[str]:
        if not answer.get("description"):
            yield f"{place}: no description: write the docstring of its model"
        yield from self._check_content(place, answer)
        for name, header in answer.get("headers", {}).items():
            yield from _check_value(f"{place}: header {name}", self._follow(header))

    def _check_content(self, place: str, part: JSON) -> Iterator[str]:
        for kind, content in part.get("content", {}).items():
            if "example" not in content and not content.get("examples"):
                yield f"{place}: no example of {kind}: add it to the operation's in {_STORY}"

    def _follow(self, part: JSON) -> JSON:
        while "$ref" in part:
            found: Any = self._description
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = found
        return part


def _check_property(place: str, field: str, text: str) -> Iterator[str]:
    """Yield what is wrong with a property's description; what stands at the schema that it refers to isn't enough."""
    if not text:
        yield f"{place}: no description: Field(description=…) in its model"
    elif _list_words(text) <= {*_list_words(field.replace("_", " ")), *_FILLERS}:
        yield f"{place}: its description only repeats its name: say what it means, in which unit or format"
    elif not text.endswith("."):
        yield f"{place}: its description is no sentence: end it with a full stop"


def _list_words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _check_value(place: str, value: JSON) -> Iterator[str]:
    """Yield what a parameter or header lacks."""
    if not value.get("description"):
        yield f"{place}: no description: Field(description=…) in its model, or PATH_IDS in {_STORY}/all_examples.py"
    if "example" not in value:
        yield f"{place}: no example: add it to the operation's in {_STORY}"
