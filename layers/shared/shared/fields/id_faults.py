"""Words for what is wrong with a text that should be an id."""

_ID_CHARACTERS = frozenset("0123456789abcdefABCDEF-")
_EXAMPLE = "01a20ba6-afb6-76d1-9556-a703ff01d17a"


def describe_id_fault(value: str) -> str:
    """Return what is wrong with a text that is not an id, without quoting it."""
    example = f"an id has {len(_EXAMPLE)} characters, like {_EXAMPLE}"
    if len(value) != len(_EXAMPLE):
        return f"it has {len(value):,}, and {example}"
    if not _ID_CHARACTERS.issuperset(value):
        return f"it has a character other than 0 to 9, a to f and dashes, and {example}"
    return f"its dashes stand in other places, and {example}"
