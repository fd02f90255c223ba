"""Bodies: one JSON object, read strictly, then held against a model."""

import json
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from shared.clock import utc_now
from shared.errors import FieldError, Refusal

M = TypeVar("M", bound=BaseModel)

# The longest valid body is a claim with 10 000 characters written as escapes, some 130 KB.
MAX_BODY_BYTES = 256 * 1024


# No input has a tenth as many. Beyond them nothing is looked at: each unknown member would cost an error of its own.
MAX_MEMBERS = 100


class _Duplicate(ValueError):
    pass


class _TooManyMembers(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise _TooManyMembers
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Duplicate(key)
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_json(raw: bytes) -> dict[str, Any]:
    """The one object a body holds. Raises Refusal: too large, not JSON, a key twice, half a surrogate pair."""
    if len(raw) > MAX_BODY_BYTES:
        raise Refusal("payload-too-large")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except _Duplicate as error:
        raise _invalid(FieldError(pointer([str(error)]), "stands more than once")) from None
    except _TooManyMembers:
        raise _invalid(FieldError("", f"holds an object of more than {MAX_MEMBERS} members")) from None
    except (ValueError, RecursionError):
        raise Refusal("malformed-request") from None
    if not isinstance(value, dict):
        raise Refusal("malformed-request")
    _refuse_surrogates(value)
    return value


def _refuse_surrogates(value: dict[str, Any]) -> None:
    for key, item in value.items():
        try:
            json.dumps([key, item], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            name = key.encode("utf-8", "replace").decode()
            raise _invalid(FieldError(pointer([name]), "is not well-formed Unicode")) from None


def parse(model: type[M], value: dict[str, Any], *, now: datetime | None = None) -> M:
    """The model's instance of a JSON object. Raises Refusal("invalid-request") naming every field that is wrong.

    Validators find `now`, the time they measure dates by, in their context.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True, context={"now": now or utc_now()})
    except ValidationError as error:
        raise _invalid(*_field_errors(error)) from None


def _field_errors(error: ValidationError) -> list[FieldError]:
    # `input` and `ctx` quote what was sent: they stay out of the answer.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(pointer([str(part) for part in e["loc"]]), e["msg"]) for e in found]


def pointer(parts: list[str]) -> str:
    """An RFC 6901 JSON pointer."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _invalid(*errors: FieldError) -> Refusal:
    return Refusal("invalid-request", errors=errors)
