"""The errors of a request's fields in words of ours, for every type of error that pydantic can report about our models.

Words follow the field's name, and never quote a text that was sent. tests/unit/api/test_error_words.py goes through
the models and fails for a type of error that has no words here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.errors import FieldError
from shared.fields.rules import BROKEN_RULE, describe_length

_WHOLE = "must be a whole number"
_TIME = "must be a time with its zone, like 2026-11-26T21:30:00Z"

# By pydantic's type of error. `_describe` fills in the names in braces.
WORDS: Mapping[str, str] = {
    BROKEN_RULE: "{words}",
    "missing": "is required",
    "extra_forbidden": "{unknown}",
    "literal_error": "must be {choices}",
    "string_type": "must be a string, and is {found}",
    "string_too_short": "{length}",
    "string_too_long": "{length}",
    "string_unicode": "is not well-formed Unicode",
    "int_type": f"{_WHOLE}, and is {{found}}",
    "int_from_float": f"{_WHOLE}, and has decimals",
    "int_parsing": f"{_WHOLE}, in digits",
    "int_parsing_size": "is a number of more digits than any that can be used",
    "finite_number": "is a number of more digits than any that can be used",
    "greater_than_equal": "must be at least {ge}{number}",
    "less_than_equal": "must be at most {le}{number}",
    "bool_type": "must be true or false, and is {found}",
    "bool_parsing": "must be true or false",
    "date_type": "must be a date, like 2026-11-02",
    "date_parsing": "must be a date, like 2026-11-02",
    "date_from_datetime_parsing": "must be a date, like 2026-11-02",
    "date_from_datetime_inexact": "must be a date without a time, like 2026-11-02",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": _TIME,
    "model_type": "must be an object, and is {found}",
}
# For a type that is not listed: the library's own words never reach a client, whatever version is deployed.
OTHER = "is not valid"

# A number up to here is repeated in the answer, to be compared with its bound; a longer one would only fill the answer.
_MAX_REPEATED = 10**12


def list_body_errors(error: ValidationError, model: type[BaseModel]) -> list[FieldError]:
    """Return the errors of a body, each with the JSON pointer of its field."""
    return [
        FieldError(format_pointer([str(part) for part in each["loc"]]), _describe(each, model, "field"))
        for each in _list_details(error)
    ]


def list_parameter_errors(error: ValidationError, model: type[BaseModel]) -> list[FieldError]:
    """Return the errors of a query, each with the name of its parameter."""
    return [
        FieldError(replace_surrogates(".".join(map(str, each["loc"]))), _describe(each, model, "parameter"))
        for each in _list_details(error)
    ]


def format_pointer(parts: Sequence[str]) -> str:
    """Return an RFC 6901 JSON pointer."""
    return replace_surrogates("".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts))


def replace_surrogates(text: str) -> str:
    """Return the text with a question mark for each half of a surrogate pair, which UTF-8 can't encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _list_details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _describe(details: ErrorDetails, model: type[BaseModel], noun: str) -> str:
    context, value = details.get("ctx", {}), details["input"]
    facts = {
        **context,
        "found": _name_type(value),
        "length": _describe_length(value, context),
        "number": _repeat_number(value),
        "choices": _list_choices(str(context.get("expected", ""))),
        "unknown": _describe_unknown(details, model, noun),
    }
    return WORDS.get(details["type"], OTHER).format_map(facts)


def _name_type(value: Any) -> str:
    """Return JSON's name for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and not value.is_integer():
        return "a number with decimals"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def _describe_length(value: Any, context: Mapping[str, Any]) -> str:
    length = len(value) if isinstance(value, str) else 0
    return describe_length(length, least=context.get("min_length"), most=context.get("max_length")) or OTHER


def _repeat_number(value: Any) -> str:
    return f", and is {value}" if isinstance(value, int) and abs(value) < _MAX_REPEATED else ""


def _list_choices(expected: str) -> str:
    """Return the values of a literal; pydantic gives them in quotes, with its own words between them."""
    values = re.findall(r"'([^']*)'", expected)
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


def _describe_unknown(details: ErrorDetails, model: type[BaseModel], noun: str) -> str:
    if len(details["loc"]) > 1:
        return f"is not a {noun} here"
    names = list(model.model_fields)
    known = f"its {noun}s are {', '.join(names)}" if names else "it has none"
    return f"is not a {noun} of this call; {known}"
