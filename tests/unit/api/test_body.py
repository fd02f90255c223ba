"""Bodies are read strictly, and a problem names the field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.body import MAX_BODY_BYTES, MAX_DEPTH, read_json, validate_model
from shared.api.field_errors import format_pointer
from shared.api.problems import CATALOGUE
from shared.errors import Refusal
from shared.fields import RequestModel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Small(RequestModel):
    name: str
    count: int = 0


def read_refusal(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_json(raw)
    return caught.value


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
def test_any_json_object_is_read_as_it_was_sent(value: dict[str, object]) -> None:
    """Reading is not guessing: what goes in comes out."""
    assert read_json(json.dumps(value).encode()) == json.loads(json.dumps(value))


NOT_ONE_OBJECT = [
    *[b"", b"[]", b'"x"', b"1", b"null", b"{", b"{'a': 1}", b"\xff\xfe{}"],
    *[b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"],
]


@pytest.mark.parametrize("raw", NOT_ONE_OBJECT, ids=lambda raw: repr(raw[:12]))
def test_what_is_not_one_json_object_is_malformed(raw: bytes) -> None:
    """This includes bodies that Python's parser would accept, or fail on."""
    assert read_refusal(raw).name == "malformed-request"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 980, 981, 995, 1_000, 20_000, 40_000])
def test_nesting_of_any_depth_is_a_clients_mistake(opening: bytes, depth: int) -> None:
    """Refused before the parser sees it: how deep it can go differs from one Python to the next."""
    closing = b"]" if opening == b"[" else b"}"
    for raw in (b'{"a": ' + opening * depth + b"1" + closing * depth + b"}", b'{"a": ' + opening * depth):
        refusal = read_refusal(raw)
        assert (refusal.name, "nested more than 64 levels deep" in str(refusal.detail)) == ("malformed-request", True)


def test_only_brackets_that_nest_count() -> None:
    """Brackets in a text and those side by side do not; 64 levels are allowed."""
    text = '[{"' * 500 + "\\"
    assert read_json(json.dumps({"a": text, "b": [[]] * 500, '["]': 1}).encode()) == {
        "a": text,
        "b": [[]] * 500,
        '["]': 1,
    }
    deepest = b'{"a": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert list(read_json(deepest)) == ["a"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'\xef\xbb\xbf{"name": "x"}', "begins with a byte order mark"),
        ('\ufeff{"name": "x"}'.encode("utf-16-le"), "begins with UTF-16's mark"),
        ('\ufeff{"name": "x"}'.encode("utf-16-be"), "begins with UTF-16's mark"),
        (b'{"name": "\xff"}', "is not UTF-8 at byte 10"),
        (b'{"name": }', "is not JSON at character 9"),
        (b"[]", "is JSON, but not an object"),
        (b'{"a": NaN}', "holds a number that is none in JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "or one of thousands of digits"),
    ],
)
def test_a_body_that_can_not_be_read_says_why(raw: bytes, words: str) -> None:
    """It names the place and does not quote the body."""
    refusal = read_refusal(raw)
    assert (refusal.name, words in str(refusal.detail)) == ("malformed-request", True)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1.5e300", "9" * 400 + ".5"])
def test_a_number_out_of_range_is_a_field_that_is_wrong(number: str) -> None:
    """JSON sets numbers no bound; the field does."""
    with pytest.raises(Refusal) as caught:
        validate_model(Small, read_json(b'{"name": "x", "count": ' + number.encode() + b"}"))
    assert (caught.value.name, [e.pointer for e in caught.value.errors]) == ("invalid-request", ["/count"])


def test_a_key_that_stands_twice_is_named() -> None:
    """The last one would win silently; instead neither does, at any level."""
    refusal = read_refusal(b'{"email": "a@example.test", "email": "b@example.test"}')
    assert (refusal.name, refusal.errors[0].pointer) == ("invalid-request", "/email")
    assert read_refusal(b'{"a": [1, {"b": 1, "b": 2}]}').errors[0].pointer == "/a/1/b"


def test_a_pointer_is_always_well_formed() -> None:
    """A key that is half a surrogate pair could not be sent back."""
    for raw in (rb'{"\ud800": 1, "\ud800": 2}', rb'{"\ud800": 1}', rb'{"a": {"\udfff": 1}}'):
        for error in read_refusal(raw).errors:
            assert error.pointer.encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "pointer"), [(b"{%s}", ""), (b'{"name": [{%s}]}', "/name/0")], ids=["at the top", "within"]
)
def test_an_object_of_more_members_than_any_input_is_not_looked_at(raw: bytes, pointer: str) -> None:
    """100 are read, and 101 refused as one mistake."""
    members = [f'"m{n}": 1'.encode() for n in range(101)]
    assert read_json(raw % b",".join(members[:100]))
    refusal = read_refusal(raw % b",".join(members))
    assert (refusal.name, len(refusal.errors), refusal.errors[0].pointer) == ("invalid-request", 1, pointer)
    assert refusal.errors[0].detail == "holds an object of 101 members, and may have at most 100"


@pytest.mark.parametrize("raw", [rb'{"name": "\ud800"}', rb'{"name": ["ok", {"x": "\udfffz"}]}'])
def test_half_a_surrogate_pair_is_named(raw: bytes) -> None:
    """It is no text: it could be stored nowhere and sent back to no one."""
    assert read_refusal(raw).errors[0].pointer == "/name"


def test_a_body_over_the_bound_is_too_large() -> None:
    """One byte more than the bound is refused."""
    refusal = read_refusal(b'{"a": "' + b"x" * MAX_BODY_BYTES)
    assert refusal.name == "payload-too-large"
    assert refusal.detail == "The body has 262,151 bytes, and may have at most 262,144 (256 KiB)."
    assert "262,144 bytes (256 KiB)" in CATALOGUE["payload-too-large"].detail


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": None}, ["/name"]),
        ({"name": 1}, ["/name"]),
        ({"name": "x", "count": "1"}, ["/count"]),
        ({"name": "x", "count": 1.0}, ["/count"]),
        ({"name": "x", "count": True}, ["/count"]),
        ({"name": "x", "more": 1, "count": "1"}, ["/count", "/more"]),
    ],
)
def test_every_wrong_field_is_named_at_once(value: dict[str, object], pointers: list[str]) -> None:
    """Missing, null, of another type, unknown: nothing is coerced."""
    with pytest.raises(Refusal) as caught:
        validate_model(Small, value)
    assert sorted(e.pointer for e in caught.value.errors) == pointers


def test_a_problem_does_not_quote_what_was_sent() -> None:
    """Clients and proxies log answers too."""
    with pytest.raises(Refusal) as caught:
        validate_model(Small, {"name": 12345678901})
    assert "12345678901" not in str(caught.value.errors)


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    """A key may hold a slash or a tilde."""
    assert format_pointer(["a/b", "c~d"]) == "/a~1b/c~0d"
