"""A comparison of two descriptions of the API: what a client of the old one could not take of the new one."""

from collections.abc import Iterator, Mapping
from typing import Any

from tools.openapi.schema_comparison import Direction, SchemaComparison

JSON = Mapping[str, Any]
METHODS = frozenset({"get", "put", "post", "patch", "delete"})


def find_breaking_changes(old: JSON, new: JSON) -> list[str]:
    """Return each change that breaks a client which was written, or generated, for the old description."""
    return [*_Comparison(old, new).compare()]


def is_raised(old: str, new: str) -> bool:
    """Return whether a version says by its first number that clients have to change."""
    return _read_major(new) > _read_major(old)


def _read_major(version: str) -> int:
    return int(version.partition(".")[0])


class _Comparison:
    """The comparison of two descriptions, operation by operation."""

    def __init__(self, old: JSON, new: JSON) -> None:
        self._old, self._new = old, new
        self._schemas = SchemaComparison(old, new)

    def compare(self) -> Iterator[str]:
        """Yield each breaking change, with its operation."""
        for path, item in self._old["paths"].items():
            for method in (each for each in item if each in METHODS):
                place = f"{method.upper()} {path}"
                new = self._new["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{place}: the operation is gone"
                else:
                    yield from self._compare_operations(place, item[method], new)

    def _compare_operations(self, place: str, old: JSON, new: JSON) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{place}: the operation id is {new['operationId']}, and was {old['operationId']}"
        if _is_open(old) and not _is_open(new):
            yield f"{place}: a token is required now"
        yield from self._compare_parameters(place, old, new)
        yield from self._compare_bodies(place, old.get("requestBody", {}), new.get("requestBody", {}))
        yield from self._compare_answers(place, old["responses"], new["responses"])

    def _compare_parameters(self, place: str, old: JSON, new: JSON) -> Iterator[str]:
        before, after = self._list_parameters(self._old, old), self._list_parameters(self._new, new)
        for name in sorted({*before, *after}):
            at = f"{place}: parameter {name}"
            was, now = before.get(name), after.get(name)
            if now is None:
                yield f"{at} is gone, and unknown ones are refused"
                continue
            if now.get("required") and not (was or {}).get("required"):
                yield f"{at} is required now"
            if was is not None:
                yield from self._schemas.compare(at, was["schema"], now["schema"], Direction.INPUT)

    def _list_parameters(self, description: JSON, operation: JSON) -> dict[str, JSON]:
        found = (self._schemas.follow(description, each) for each in operation.get("parameters", ()))
        return {f"{each['name']} ({each['in']})": each for each in found}

    def _compare_bodies(self, place: str, old: JSON, new: JSON) -> Iterator[str]:
        if new.get("required") and not old.get("required"):
            yield f"{place}: a body is required now"
        if old and not new:
            yield f"{place}: the body is gone"
        yield from self._compare_contents(f"{place}: body", old, new, Direction.INPUT)

    def _compare_answers(self, place: str, old: JSON, new: JSON) -> Iterator[str]:
        for status, answer in old.items():
            at = f"{place}: answer {status}"
            if status in new:
                was, now = self._schemas.follow(self._old, answer), self._schemas.follow(self._new, new[status])
                yield from self._compare_contents(at, was, now, Direction.ANSWER)
                yield from self._compare_headers(at, was.get("headers", {}), now.get("headers", {}))
            elif status.startswith("2"):
                yield f"{at} is gone"

    def _compare_contents(self, place: str, old: JSON, new: JSON, direction: Direction) -> Iterator[str]:
        after = new.get("content", {})
        for kind, content in old.get("content", {}).items():
            if kind not in after:
                yield f"{place} is not {kind} any more"
            elif "schema" in content and "schema" in after[kind]:
                yield from self._schemas.compare(place, content["schema"], after[kind]["schema"], direction)

    def _compare_headers(self, place: str, old: JSON, new: JSON) -> Iterator[str]:
        for name, header in old.items():
            if name not in new:
                yield f"{place}: the header {name} is gone"
                continue
            was, now = self._schemas.follow(self._old, header), self._schemas.follow(self._new, new[name])
            if was.get("required") and not now.get("required"):
                yield f"{place}: the header {name} may be missing now"


def _is_open(operation: JSON) -> bool:
    """Return whether an operation may be called without a token."""
    rules = operation.get("security", [])
    return not rules or {} in rules
