"""The values of checks in words: how a page shows a count by status, a list, or nothing."""

from collections.abc import Collection, Mapping

NOTHING = "none"
NOT_SHOWN = ": not shown, "  # between a figure's name and why a run has none; its note is found by it


def describe_value(value: object) -> str:
    """Return a value as a reader of the report expects it: lists with commas, yes or no, none for what is empty.

    Counts by name are written as how many times what; other pairs as name: value.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, Collection) and not value):
        return NOTHING
    if isinstance(value, Mapping):
        return ", ".join(_describe_pair(name, inner) for name, inner in value.items())
    if isinstance(value, str) or not isinstance(value, Collection):
        return str(value)
    inner = [describe_value(each) for each in value]
    return ", ".join(sorted(inner) if isinstance(value, set | frozenset) else inner)


def _describe_pair(name: object, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,} × {describe_value(name)}"
    return f"{describe_value(name)}: {describe_value(value)}"
