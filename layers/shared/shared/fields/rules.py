"""The error of a value that breaks one of our own rules: the words are ours, and pydantic only passes them on."""

from pydantic_core import PydanticCustomError

# The type of every error that our rules raise. All other types are pydantic's own (shared/api/field_errors.py).
BROKEN_RULE = "broken_rule"


def make_rule_error(words: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule; `words` follow the field's name, as in "is in the future"."""
    return PydanticCustomError(BROKEN_RULE, "{words}", {"words": words})


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 character, 10,000 characters."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def describe_length(found: int, *, least: int | None = None, most: int | None = None) -> str | None:
    """Return what is wrong with the length of a text, `found` characters; None if it is within the bounds."""
    if least is not None and found < least:
        return f"has {format_count(found, 'character')}, and needs at least {least:,}"
    if most is not None and found > most:
        return f"has {format_count(found, 'character')}, and may have at most {most:,}"
    return None
