"""JSON bodies: one object, parsed strictly, then validated by a model."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from shared.api.field_errors import format_pointer, list_body_errors
from shared.clock import read_utc_now
from shared.errors import FieldError, Refusal

M = TypeVar("M", bound=BaseModel)

# The longest valid body is a claim with 10 000 characters written as escapes, some 130 KB.
MAX_BODY_BYTES = 256 * 1024


# A valid body has less than a tenth of this. A larger object is refused as a whole, since otherwise each of its unknown
# members would be an error of its own.
MAX_MEMBERS = 100
# No operation takes more than two levels; deep nesting is an attack on the parser, which is recursive.
MAX_DEPTH = 64

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[{\]}]")
_ENCODINGS = {b"\xef\xbb\xbf": "a byte order mark", b"\xff\xfe": "UTF-16's mark", b"\xfe\xff": "UTF-16's mark"}


def read_body(model: type[M], raw: bytes, content_type: str, *, optional: bool, now: datetime) -> M:
    """Return an instance of the model made from a JSON body. Raise Refusal if the body is not valid.

    An `optional` body may be empty. Validators find `now`, the time against which they check dates, in their context.
    """
    if optional and not raw.strip():
        return validate_model(model, {}, now=now)
    if not _is_json(content_type):
        raise Refusal("unsupported-media-type")
    return validate_model(model, read_json(raw), now=now)


def _is_json(content_type: str) -> bool:
    """Return whether a content type is application/json, in UTF-8 if it names a charset.

    Other parameters have no meaning (RFC 8259).
    """
    header = Message()
    header["Content-Type"] = content_type
    (media_type, _), *parameters = header.get_params([("", "")])
    charsets = {str(value).lower() for name, value in parameters if name.lower() == "charset"}
    return media_type.lower() == "application/json" and charsets <= {"utf-8", "utf8"}


@dataclass(frozen=True, slots=True)
class _InvalidObject:
    """An object of a body that is not valid: the name of the member at fault, if one is, and what is wrong."""

    member: tuple[str, ...]
    detail: str


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _InvalidObject:
    if len(pairs) > MAX_MEMBERS:
        return _InvalidObject((), f"holds an object of {len(pairs):,} members, and may have at most {MAX_MEMBERS}")
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            return _InvalidObject((key,), "is given more than once")
        found[key] = value
    return found


def _find_invalid_object(value: Any, path: tuple[str, ...] = ()) -> FieldError | None:
    """Return the error of the first object in a value that is not valid, with its pointer; None if there is none."""
    if isinstance(value, _InvalidObject):
        return FieldError(format_pointer([*path, *value.member]), value.detail)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_find_invalid_object(item, (*path, str(name))) for name, item in items)
    return next((error for error in found if error is not None), None)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_json(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raise Refusal if it is too large, not JSON, not an object, has a key twice or half of a surrogate pair.
    """
    if len(raw) > MAX_BODY_BYTES:
        found = f"The body has {len(raw):,} bytes, and may have at most {MAX_BODY_BYTES:,}"
        raise Refusal("payload-too-large", detail=f"{found} ({MAX_BODY_BYTES // 1024} KiB).")
    value = _load_json(_decode(raw))
    if (invalid := _find_invalid_object(value)) is not None:
        raise _make_invalid_refusal(invalid)
    if not isinstance(value, dict):
        raise _make_malformed_refusal("is JSON, but not an object")
    _refuse_surrogates(value)
    return value


def _decode(raw: bytes) -> str:
    mark = next((name for start, name in _ENCODINGS.items() if raw.startswith(start)), None)
    if mark:
        raise _make_malformed_refusal(f"begins with {mark}, and JSON is sent without one (RFC 8259, 8.1)")
    if _measure_depth(raw) > MAX_DEPTH:
        raise _make_malformed_refusal(f"is nested more than {MAX_DEPTH} levels deep")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _make_malformed_refusal(f"is not UTF-8 at byte {error.start}") from None


def _measure_depth(raw: bytes) -> int:
    """Return how deep arrays and objects are nested, without recursion; brackets inside strings don't count."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _load_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_build_object, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        raise _make_malformed_refusal(f"is not JSON at character {error.pos}") from None
    except ValueError:
        raise _make_malformed_refusal("holds a number that is none in JSON, or one of thousands of digits") from None


def _make_malformed_refusal(what: str) -> Refusal:
    return Refusal("malformed-request", detail=f"The body {what}. Send one JSON object in UTF-8.")


def _refuse_surrogates(value: dict[str, Any]) -> None:
    for key, item in value.items():
        try:
            json.dumps([key, item], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise _make_invalid_refusal(FieldError(format_pointer([key]), "is not well-formed Unicode")) from None


def validate_model(model: type[M], value: dict[str, Any], *, now: datetime | None = None) -> M:
    """Return an instance of the model made from a JSON object.

    Raise Refusal("invalid-request") naming each invalid field.

    Validators find `now`, the time against which they check dates, in their context.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True, context={"now": now or read_utc_now()})
    except ValidationError as error:
        raise _make_invalid_refusal(*list_body_errors(error, model)) from None


def _make_invalid_refusal(*errors: FieldError) -> Refusal:
    return Refusal("invalid-request", errors=errors)
