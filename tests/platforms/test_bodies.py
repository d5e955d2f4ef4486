"""From a request's body to its value, and on to the payload."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms.bodies import (
    BadBody,
    MalformedBody,
    UnreadableMediaType,
    read_body,
    read_query,
    values_in,
)
from relay.events.payload import payload_of
from relay.events.splitting import parts_of

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
LATIN = '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'


def payload(body: bytes | str, content_type: str | None = JSON, query: str = "") -> Any:
    """The payload as a value."""
    raw = body.encode() if isinstance(body, str) else body
    return json.loads(payload_of(read_body(raw, content_type), read_query(query)))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def multipart(head: str, content: bytes) -> bytes:
    return b"--b\r\n%b\r\n\r\n%b\r\n--b--\r\n" % (head.encode(), content)


FIELD = 'Content-Disposition: form-data; name="a"'
FILE = 'Content-Disposition: form-data; name="f"; filename="n.bin"\r\nContent-Type: image/png'


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ("[1, 2]", JSON, {"request": [1, 2]}),
        ('"text"', JSON, {"request": "text"}),
        ("null", JSON, {"request": None}),
        ('{"a": 1}', "APPLICATION/JSON; charset=utf-8", {"a": 1}),
        ('{"a": 1}', "application/cloudevents+json; x=1", {"a": 1}),
        (json.dumps({"a": "[" * 5000, "b": [[]] * 500}), JSON, {"a": "[" * 5000, "b": [[]] * 500}),
        ("a=1&b=x+y%20%C3%A9&a=2&a=3&c=", FORM, {"a": ["1", "2", "3"], "b": "x y é", "c": ""}),
        ("", FORM, {}),
        # A form's charset is that of its escapes too, unless they are UTF-8.
        (b"a=%E9&b=\xe9", f"{FORM}; charset=iso-8859-1", {"a": "é", "b": "é"}),
        (b"a=%C3%A9&b=\xe9", f"{FORM}; charset=iso-8859-1", {"a": "é", "b": "é"}),
        (b"a=%83A&b=%83%41", f"{FORM}; charset=shift_jis", {"a": "ア", "b": "ア"}),
        ("a=%C3%A9&b=é".encode("utf-16"), f"{FORM}; charset=utf-16", {"a": "é", "b": "é"}),
        ("payload=%7B%22a%22%3A+1.10%7D", FORM, {"a": 1.1}),
        ("payload=text", FORM, {"payload": "text"}),
        ("payload=%7B", FORM, {"payload": "{"}),
        ("payload=%7B%7D&a=1", FORM, {"payload": "{}", "a": "1"}),
        (multipart(FIELD, "é".encode()), MULTIPART, {"a": "é"}),
        (
            multipart(f"{FIELD}\r\nContent-Type: text/plain; charset=iso-8859-1", b"\xe9"),
            MULTIPART,
            {"a": "é"},
        ),
        (
            multipart(FILE, b"\x00\xff"),
            MULTIPART,
            {"f": {"filename": "n.bin", "contentType": "image/png", "content": "AP8="}},
        ),
        ("é <x>", "text/plain", {"request": "é <x>"}),
        ("é <x>".encode("latin-1"), "text/plain; charset=ISO-8859-1", {"request": "é <x>"}),
        ("é <x>".encode("utf-16"), "text/html; charset=utf-16", {"request": "é <x>"}),
        ("é <x>", "application/atom+xml; charset=utf-8", {"request": "é <x>"}),
        (LATIN.encode("latin-1"), "application/xml", {"request": LATIN}),
        (LATIN, "text/xml; charset=utf-8", {"request": LATIN}),
        ("<a>é</a>".encode("utf-16"), "text/xml", {"request": "<a>é</a>"}),
        # Without a content type JSON is recognized, and the rest is text.
        ('{"a": 1}', None, {"a": 1}),
        ("[1]", " ", {"request": [1]}),
        ("a=1", None, {"request": "a=1"}),
        ('{"a": NaN}', None, {"request": '{"a": NaN}'}),
        ("", None, {}),
    ],
)
def test_the_payload_of_a_body(body: bytes | str, content_type: str | None, expected: Any) -> None:
    assert payload(body, content_type) == expected


def test_an_object_is_its_own_payload_byte_for_byte() -> None:
    text = ' {"amount": 1.10, "big": 12345678901234567890, "n": 1e2, "é": "\\u00e9"}\n'
    assert payload_of(read_body(text.encode(), JSON), {}) == text


def test_a_platform_may_say_that_bodies_are_json() -> None:
    assert read_body(b'{"a": 1}', "text/plain", always_json=True).value == {"a": 1}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        *(
            (body, JSON)
            for body in (
                b"",
                b"{",
                b"{'a': 1}",
                b'{"a": NaN}',
                b"[-Infinity]",
                b'{"a": -1e999}',
                b"\x00",
            )
        ),
        *(
            (body, JSON)
            for body in (
                b'{"a": 1,}',
                b'{"a": 01}',
                b'{"a": 1} {}',
                b"0." + b"1" * 1001,
                b"1" * 5000,
            )
        ),
        *(('{"a": 1}'.encode(encoding), JSON) for encoding in ("utf-16", "utf-16-le", "utf-32")),
        *((b"a=%ff", FORM), (b"a=\xff", FORM), (b"&a=1" * 20_000, FORM)),
        (b"payload=" + b'{"a":' * 101 + b"1" + b"}" * 101, FORM),
        *(
            (multipart(FIELD, b"1"), f"multipart/form-data{more}")
            for more in ("", "; boundary=c", "; boundary=é")
        ),
        *(
            (multipart(f"Content-Disposition: form-data{more}", b"x"), MULTIPART)
            for more in ("", "; filename=x")
        ),
        *((b"\xff", "text/plain"), (b"\xff", None)),
    ],
)
def test_what_is_not_what_it_says_is_malformed(body: bytes, content_type: str | None) -> None:
    """JSON is that of RFC 8259."""
    with pytest.raises(MalformedBody):
        read_body(body, content_type)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": "\n"}', "the body is not JSON: Invalid control character at character 7"),
        (b'{"a": "', "the body is not JSON: Unterminated string starting at character 6"),
        (
            b'\xef\xbb\xbf{"a": 1}',
            "the body is not JSON: it begins with a byte order mark (U+FEFF)",
        ),
        (
            gzip.compress(b'{"a": 1}', mtime=0),
            "the body is compressed with gzip; send it uncompressed",
        ),
        (b'{"a": "\xff"}', "the body is JSON that is not UTF-8"),
    ],
)
def test_the_sender_learns_what_is_wrong_with_it(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        read_body(body, JSON)
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        *(
            (b"x", f"text/plain; charset={charset}")
            for charset in ("rot13", "idna", "unicode_escape", "base64", "x")
        ),
        *(
            (b"{}", name)
            for name in (
                "application/octet-stream",
                "json",
                "a/b/c",
                ";",
                "application/json, text/plain",
            )
        ),
        (multipart(f"{FIELD}\r\nContent-Type: text/plain; charset=nothing", b"1"), MULTIPART),
    ],
)
def test_other_media_types_and_charsets_are_unreadable(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableMediaType):
        read_body(body, content_type)


# --- limits ---


@pytest.mark.parametrize("content_type", [JSON, None])
def test_values_and_levels_are_bounded_whatever_the_content_type(content_type: str | None) -> None:
    with pytest.raises(MalformedBody, match="more than 500000 values"):
        payload(b"[" + b"1," * 500_000 + b"1]", content_type)
    assert payload(nested(100), content_type)
    for body in (nested(101), b'{"a":' * 101 + b"1" + b"}" * 101, nested(100_000), b"[" * 400_000):
        with pytest.raises(MalformedBody, match="deeper than 100"):
            read_body(body, content_type)


@pytest.mark.parametrize(
    ("text", "values"),
    [('{"a": "' + "[1," * 400_000 + '"}', 1), ('["' + '\\\\\\",{' * 400_000 + '"]', 1)],
)
def test_what_is_inside_of_strings_is_no_value(text: str, values: int) -> None:
    assert values_in(text, 0) == values
    assert payload(text)


def test_hostile_headers_and_bodies_are_refused_without_ado() -> None:
    """Each is one that a parser in quadratic time would work on for minutes."""
    hostile = (
        "text/plain;" + ";" * 16_000,
        'text/plain; a="' * 1000,
        "multipart/form-data; boundary=" + "a" * 16_000,
    )
    for content_type in hostile:
        with pytest.raises(BadBody):
            read_body(b"\xff" * 10, content_type)
    for body in (
        b"1" * 1_000_000,
        b"[" + b"1" * 999 + b"x" * 1_000_000,
        b'"' * 1_000_000,
        b"\r\n--" * 250_000,
    ):
        for known in (JSON, MULTIPART):
            with pytest.raises(BadBody):
                read_body(body, known)


# --- query and split ---


def test_query_parameters_are_added_where_the_body_has_no_such_key() -> None:
    assert payload('{"a": 1.10}', JSON, "a=2&b=3&b=4&c=&d=%C3%A9+x") == {
        "a": 1.1,
        "b": ["3", "4"],
        "c": "",
        "d": "é x",
    }
    assert payload("[1]", JSON, "request=2&a=1") == {"request": [1], "a": "1"}
    assert payload(b"", None, "a=1") == {"a": "1"}


def test_a_query_may_hold_any_bytes_but_not_any_number() -> None:
    assert read_query("a=%ff&\xff=1") == {"a": "\ufffd", "\ufffd": "1"}
    with pytest.raises(MalformedBody):
        read_query("a&" * 20_000)


def test_a_json_array_is_split_and_nothing_else() -> None:
    body = read_body(b'[{"a": 1}, 2, [3]]', JSON)
    assert [payload_of(part.body, {"q": "1"}) for part in parts_of(body, True, 9)] == [
        '{"a":1,"q":"1"}',
        '{"request":2,"q":"1"}',
        '{"request":[3],"q":"1"}',
    ]
    single = read_body(b'{"a": 1}', JSON)
    assert [part.body for part in parts_of(single, True, 9)] == [single]


@given(
    body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    content_type=st.sampled_from([JSON, FORM, "text/plain", "text/xml", MULTIPART, None])
    | st.text(max_size=60),
    query=st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_any_body_becomes_a_payload_or_is_a_bad_one(
    body: bytes, content_type: str | None, query: str
) -> None:
    try:
        text = payload_of(read_body(body, content_type), read_query(query))
    except BadBody:
        return
    assert isinstance(json.loads(text), dict)
    text.encode("utf-8")


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON_VALUES, query=st.dictionaries(st.text(), st.text(), max_size=3))
def test_the_payload_is_the_value_and_the_query_behind_it(
    value: Any, query: dict[str, str]
) -> None:
    expected = value if isinstance(value, dict) else {"request": value}
    text = payload_of(read_body(json.dumps(value).encode(), JSON), query)
    assert json.loads(text) == {**query, **expected}
