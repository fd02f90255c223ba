"""A comparison of two JSON schemas, in the direction in which their values go: from the client, or to it."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

JSON = Mapping[str, Any]

# Keywords by which a value is refused that was taken before, if the number becomes larger, or smaller.
_LOWER_BOUNDS = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_UPPER_BOUNDS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
# Nobody can tell whether another pattern takes all that the first one did, so every change counts.
_OPAQUE = ("pattern", "format", "multipleOf", "uniqueItems", "if", "then", "else", "not", "allOf", "oneOf")


class Direction(Enum):
    """The way of the values: from a client, of which the new schema must take all, or to it."""

    INPUT = "input"
    ANSWER = "answer"


class SchemaComparison:
    """The comparison of schemas of two descriptions, whose references it follows."""

    def __init__(self, old: JSON, new: JSON) -> None:
        self._old, self._new = old, new
        self._compared: set[tuple[str, str, Direction]] = set()

    def follow(self, description: JSON, part: JSON) -> JSON:
        """Return a part of a description, or what it refers to; keywords beside the reference are added to it."""
        while "$ref" in part:
            found: Any = description
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = {**found, **{key: value for key, value in part.items() if key != "$ref"}}
        return part

    def compare(self, place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
        """Yield each change after which a client's values are refused, or an answer is not what it expects."""
        references = (str(old.get("$ref")), str(new.get("$ref")), direction)
        if "$ref" in old and "$ref" in new:
            if references in self._compared:
                return  # a model is compared once, at the first operation that has it
            self._compared.add(references)
        before, after = self._split(self._old, old), self._split(self._new, new)
        yield from _compare_null(place, before.nullable, after.nullable, direction)
        if len(before.choices) == len(after.choices) == 1:
            yield from self._compare_plain(place, before.choices[0], after.choices[0], direction)
        elif before.choices != after.choices:
            yield f"{place}: the choice of types is another one"

    def _split(self, description: JSON, schema: JSON) -> "_Choices":
        """Return the kinds of values that a schema takes, with null apart."""
        plain = self.follow(description, schema)
        found = [self.follow(description, each) for each in plain.get("anyOf", (plain,))]
        choices = [each for each in found if each.get("type") != "null"]
        return _Choices(choices, len(choices) < len(found))

    def _compare_plain(self, place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
        yield from _compare_types(place, old, new, direction)
        yield from _compare_values(place, old, new, direction)
        if direction is Direction.INPUT:
            yield from _compare_limits(place, old, new)
        yield from self._compare_properties(place, old, new, direction)
        for part, name in (("items", "each"), ("additionalProperties", "other fields")):
            if isinstance(old.get(part), Mapping) and isinstance(new.get(part), Mapping):
                yield from self.compare(f"{place}/({name})", old[part], new[part], direction)

    def _compare_properties(self, place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name in after:
                yield from self.compare(f"{place}/{name}", schema, after[name], direction)
            elif direction is Direction.ANSWER or new.get("additionalProperties") is False:
                yield f"{place}/{name}: the field is gone"
        was, now = set(old.get("required", ())), set(new.get("required", ()))
        if direction is Direction.INPUT:
            yield from (f"{place}/{name}: the field is required now" for name in sorted(now - was))
        else:
            yield from (f"{place}/{name}: the field may be missing now" for name in sorted((was - now) & set(after)))


class _Choices:
    """The kinds of values that a schema takes, and whether null is one."""

    def __init__(self, choices: list[JSON], nullable: bool) -> None:  # noqa: FBT001
        self.choices = choices
        self.nullable = nullable


def _compare_null(place: str, old: bool, new: bool, direction: Direction) -> Iterator[str]:  # noqa: FBT001
    if old and not new and direction is Direction.INPUT:
        yield f"{place}: null is refused now"
    if new and not old and direction is Direction.ANSWER:
        yield f"{place}: it may be null now"


def _compare_types(place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
    before, after = old.get("type"), new.get("type")
    wider = ("integer", "number") if direction is Direction.INPUT else ("number", "integer")
    if before != after and (before, after) != wider:
        yield f"{place}: the type is {after}, and was {before}"


def _list_values(schema: JSON) -> set[str] | None:
    """Return the values that a schema lists, None if it takes others."""
    if "const" in schema:
        return {repr(schema["const"])}
    return {repr(value) for value in schema["enum"]} if "enum" in schema else None


def _compare_values(place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
    before, after = _list_values(old), _list_values(new)
    if direction is Direction.INPUT:
        refused = set() if after is None else {"any other"} if before is None else before - after
        yield from (f"{place}: the value {value} is refused now" for value in sorted(refused))
    else:
        added = set() if before is None else {"any other"} if after is None else after - before
        yield from (f"{place}: the value may be {value} now, which no client knows" for value in sorted(added))


def _compare_limits(place: str, old: JSON, new: JSON) -> Iterator[str]:
    for name in _LOWER_BOUNDS:
        if name in new and (name not in old or new[name] > old[name]):
            yield f"{place}: {name} is {new[name]}, and was {old.get(name, 'not set')}"
    for name in _UPPER_BOUNDS:
        if name in new and (name not in old or new[name] < old[name]):
            yield f"{place}: {name} is {new[name]}, and was {old.get(name, 'not set')}"
    for name in _OPAQUE:
        if name in new and new[name] != old.get(name):
            yield f"{place}: {name} is another one"
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield f"{place}: unknown fields are refused now"
