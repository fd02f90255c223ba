"""JSON bodies: one object, parsed strictly, then validated by a model."""

import json
import re
from datetime import datetime
from email.message import Message
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from shared.clock import read_utc_now
from shared.errors import FieldError, Refusal

M = TypeVar("M", bound=BaseModel)

# The longest valid body is a claim with 10 000 characters written as escapes, some 130 KB.
MAX_BODY_BYTES = 256 * 1024


# No valid body has a tenth as many. A larger object is refused as a whole: each unknown member would be an error of its
# own.
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


class _DuplicateKey(ValueError):
    pass


class _TooManyKeys(ValueError):
    pass


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise _TooManyKeys
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKey(key)
        found[key] = value
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_json(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raise Refusal if it is too large, not JSON, not an object, has a key twice or half of a surrogate pair.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise Refusal("payload-too-large")
    value = _load_json(_decode(raw))
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
    except _DuplicateKey as error:
        raise _make_invalid_refusal(FieldError(format_pointer([str(error)]), "is given more than once")) from None
    except _TooManyKeys:
        raise _make_invalid_refusal(FieldError("", f"holds an object of more than {MAX_MEMBERS} members")) from None
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
        raise _make_invalid_refusal(*_list_field_errors(error)) from None


def _list_field_errors(error: ValidationError) -> list[FieldError]:
    # `input` and `ctx` quote the client's values: they are left out of the answer.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(format_pointer([str(part) for part in e["loc"]]), e["msg"]) for e in found]


def format_pointer(parts: list[str]) -> str:
    """Return an RFC 6901 JSON pointer."""
    return replace_surrogates("".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts))


def replace_surrogates(text: str) -> str:
    """Return the text with a question mark for each half of a surrogate pair, which UTF-8 can't encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _make_invalid_refusal(*errors: FieldError) -> Refusal:
    return Refusal("invalid-request", errors=errors)
