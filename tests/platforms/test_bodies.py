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


def payload(body: bytes | str, content_type: str | None = JSON, query: str = "", **more: Any) -> Any:
    """The payload as a value."""
    raw = body.encode() if isinstance(body, str) else body
    return json.loads(payload_of(read_body(raw, content_type, **more), read_query(query)))


# --- JSON ---


def test_an_object_is_its_own_payload_byte_for_byte() -> None:
    text = ' {"amount": 1.10, "big": 12345678901234567890, "n": 1e2, "é": "\\u00e9"}\n'
    assert payload_of(read_body(text.encode(), JSON), {}) == text


@pytest.mark.parametrize("text", ["[1, 2]", '"text"', "1.5", "true", "null", " [] "])
def test_another_json_value_is_the_request(text: str) -> None:
    assert payload(text) == {"request": json.loads(text)}


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "application/cloudevents+json; x=1"],
)
def test_json_goes_by_several_names(content_type: str) -> None:
    assert payload('{"a": 1}', content_type) == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"[-Infinity]",
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'{"a": 1} {}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b"1" * 1001,
        b"1" * 5000,
        b"0." + b"1" * 1001,
        b'{"a": undefined}',
        b"\x00",
    ],
)
def test_what_is_not_rfc_8259_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_body(body, JSON)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": "\n"}', "the body is not JSON: Invalid control character at character 7"),
        (b'{"a": "', "the body is not JSON: Unterminated string starting at character 6"),
        (b'\xef\xbb\xbf{"a": 1}', "the body is not JSON: it begins with a byte order mark (U+FEFF)"),
        (gzip.compress(b'{"a": 1}', mtime=0), "the body is compressed with gzip; send it uncompressed"),
        (b'{"a": "\xff"}', "the body is JSON that is not UTF-8"),
    ],
)
def test_the_sender_learns_what_is_wrong_with_it(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        read_body(body, JSON)
    assert str(raised.value) == reason


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("content_type", [JSON, None])
def test_too_many_values_are_malformed_whatever_the_content_type(content_type: str | None) -> None:
    with pytest.raises(MalformedBody, match="more than 500000 values"):
        payload(b"[" + b"1," * 500_000 + b"1]", content_type)


@pytest.mark.parametrize("text", ['{"a": "' + "[1," * 400_000 + '"}', '["' + '\\\\\\",{' * 400_000 + '"]'])
def test_what_is_inside_of_strings_is_no_value(text: str) -> None:
    assert values_in(text, 0) == sum(map(_blanked(text).count, "[{,"))
    assert payload(text.encode(), JSON)


def _blanked(text: str) -> str:
    """Without what is inside of strings, character by character."""
    kept, inside, escaped = [], False, False
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        else:
            kept.append(character)
    return "".join(kept)


@pytest.mark.parametrize("content_type", [JSON, None])
def test_a_hundred_levels_are_fine_and_one_more_is_malformed(content_type: str | None) -> None:
    assert payload(nested(100), content_type)
    for body in (nested(101), b'{"a":' * 101 + b"1" + b"}" * 101, nested(100_000), b"[" * 400_000):
        with pytest.raises(MalformedBody, match="deeper than 100"):
            read_body(body, content_type)


def test_brackets_in_strings_and_in_breadth_are_no_depth() -> None:
    assert payload(json.dumps({"a": "[" * 5000, "b": [[]] * 500}))["b"] == [[]] * 500


def test_half_a_surrogate_pair_is_kept_and_can_be_stored() -> None:
    for body in (b'{"a": "\\ud800"}', b'["\\ud800"]'):
        text = payload_of(read_body(body, JSON), {"b": "c"})
        assert "\ud800" in json.dumps(json.loads(text), ensure_ascii=False)
        text.encode("utf-8")


# --- forms ---


def test_a_form_becomes_its_fields_and_repeated_ones_lists() -> None:
    assert payload("a=1&b=x+y%20%C3%A9&a=2&a=3&c=", FORM) == {"a": ["1", "2", "3"], "b": "x y é", "c": ""}
    assert payload("", FORM) == {}


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("iso-8859-1", b"a=%E9&b=\xe9"),
        ("iso-8859-1", b"a=%C3%A9&b=\xe9"),
        ("shift_jis", b"a=%83A&b=%83%41"),
        ("utf-8-sig", b"a=%C3%A9&b=\xc3\xa9"),
        ("utf-16", "a=%C3%A9&b=é".encode("utf-16")),
    ],
)
def test_a_forms_charset_is_that_of_its_escapes_too_unless_they_are_utf_8(charset: str, body: bytes) -> None:
    letter = "ア" if charset == "shift_jis" else "é"
    assert payload(body, f"{FORM}; charset={charset}") == {"a": letter, "b": letter}


def test_the_packed_payload_of_a_form_is_unpacked() -> None:
    assert payload("payload=%7B%22a%22%3A+1.10%7D", FORM) == {"a": 1.1}
    assert payload("payload=%7B%22a%22%3A1%7D", FORM, "x=1") == {"a": 1, "x": "1"}


@pytest.mark.parametrize("fields", ["payload=text", "payload=%7B", "payload=%7B%7D&a=1", "payload=%7B%7D&payload=2"])
def test_any_other_payload_field_is_a_field(fields: str) -> None:
    assert "payload" in payload(fields, FORM)


def test_a_packed_payload_is_nested_no_deeper_either() -> None:
    with pytest.raises(MalformedBody):
        read_body(b"payload=" + b'{"a":' * 101 + b"1" + b"}" * 101, FORM)


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&a=1" * 20_000])
def test_a_form_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_body(body, FORM)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(b"--b\r\n%b\r\n\r\n%b\r\n" % (head.encode(), content) for head, content in parts) + b"--b--\r\n"


def test_a_multipart_form_keeps_fields_and_files() -> None:
    body = multipart(
        ('Content-Disposition: form-data; name="a"', "é".encode()),
        ('Content-Disposition: form-data; name="f"; filename="n.bin"\r\nContent-Type: image/png', b"\x00\xff"),
    )
    assert payload(body, "multipart/form-data; boundary=b") == {
        "a": "é",
        "f": {"filename": "n.bin", "contentType": "image/png", "content": "AP8="},
    }


def test_a_field_of_a_multipart_form_may_have_its_own_charset() -> None:
    head = 'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset='
    assert payload(multipart((f"{head}iso-8859-1", b"\xe9")), "multipart/form-data; boundary=b") == {"a": "é"}
    with pytest.raises(UnreadableMediaType):
        read_body(multipart((f"{head}nothing", b"1")), "multipart/form-data; boundary=b")


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=c", "multipart/form-data; boundary=é"]
)
def test_a_multipart_form_that_is_none_is_malformed(content_type: str) -> None:
    with pytest.raises(MalformedBody):
        read_body(multipart(('Content-Disposition: form-data; name="a"', b"1")), content_type)


# --- text and others ---


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("é <x>".encode(), "text/plain"),
        ("é <x>".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        ("é <x>".encode("utf-16"), "text/html; charset=utf-16"),
        ("é <x>".encode(), "application/xml"),
        ("é <x>".encode(), "application/atom+xml; charset=utf-8"),
    ],
)
def test_text_and_xml_are_the_request(body: bytes, content_type: str) -> None:
    assert payload(body, content_type) == {"request": "é <x>"}


def test_xml_may_declare_its_charset() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'
    assert payload(text.encode("latin-1"), "application/xml") == {"request": text}
    assert payload(text.encode(), "text/xml; charset=utf-8") == {"request": text}
    assert payload("<a>é</a>".encode("utf-16"), "text/xml") == {"request": "<a>é</a>"}


@pytest.mark.parametrize("charset", ["rot13", "idna", "unicode_escape", "base64", "x"])
def test_a_charset_that_is_none_of_text_is_unreadable(charset: str) -> None:
    with pytest.raises(UnreadableMediaType):
        read_body(b"x", f"text/plain; charset={charset}")


def test_text_in_another_charset_than_it_says_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        read_body(b"\xff", "text/plain")


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "image/png", "json", "a/b/c", ";", "application/json, text/plain"]
)
def test_other_media_types_are_unreadable(content_type: str) -> None:
    with pytest.raises(UnreadableMediaType):
        read_body(b"{}", content_type)


def test_without_a_content_type_json_is_recognized_and_the_rest_is_text() -> None:
    assert payload('{"a": 1}', None) == {"a": 1}
    assert payload("[1]", " ") == {"request": [1]}
    assert payload("a=1", None) == {"request": "a=1"}
    assert payload('{"a": NaN}', None) == {"request": '{"a": NaN}'}
    assert payload("", None) == {}
    with pytest.raises(MalformedBody):
        read_body(b"\xff", None)


def test_a_platform_may_say_that_bodies_are_json() -> None:
    assert payload('{"a": 1}', "text/plain", always_json=True) == {"a": 1}


# --- query and split ---


def test_query_parameters_are_added_where_the_body_has_no_such_key() -> None:
    assert payload('{"a": 1.10}', JSON, "a=2&b=3&b=4&c=&d=%C3%A9+x") == {"a": 1.1, "b": ["3", "4"], "c": "", "d": "é x"}
    assert payload("{}", JSON, "a=1") == {"a": "1"}
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


@given(body=st.binary(max_size=300), content_type=st.none() | st.text(max_size=60))
def test_any_bytes_become_a_payload_or_a_bad_body(body: bytes, content_type: str | None) -> None:
    try:
        text = payload_of(read_body(body, content_type), {})
    except BadBody:
        return
    assert isinstance(json.loads(text), dict)
    text.encode("utf-8")


@given(
    body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    content_type=st.sampled_from([JSON, FORM, "text/plain", "text/xml", "multipart/form-data; boundary=b", None]),
    query=st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_any_body_of_a_known_type_becomes_a_payload_or_is_malformed(
    body: bytes, content_type: str | None, query: str
) -> None:
    try:
        text = payload_of(read_body(body, content_type), read_query(query))
    except MalformedBody:
        return
    assert isinstance(json.loads(text), dict)
    text.encode("utf-8")


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON_VALUES, query=st.dictionaries(st.text(), st.text(), max_size=3))
def test_the_payload_is_the_value_and_the_query_behind_it(value: Any, query: dict[str, str]) -> None:
    expected = value if isinstance(value, dict) else {"request": value}
    text = payload_of(read_body(json.dumps(value).encode(), JSON), query)
    assert json.loads(text) == {**query, **expected}


def test_hostile_headers_and_bodies_are_refused_without_ado() -> None:
    """Each is one that a parser in quadratic time would work on for minutes."""
    hostile = ("text/plain;" + ";" * 16_000, 'text/plain; a="' * 1000, "multipart/form-data; boundary=" + "a" * 16_000)
    for content_type in hostile:
        with pytest.raises(BadBody):
            read_body(b"\xff" * 10, content_type)
    for body in (b"1" * 1_000_000, b"[" + b"1" * 999 + b"x" * 1_000_000, b'"' * 1_000_000, b"\r\n--" * 250_000):
        for known in (JSON, "multipart/form-data; boundary=b"):
            with pytest.raises(BadBody):
                read_body(body, known)


@pytest.mark.parametrize("disposition", ["form-data", "form-data; a=1", "form-data; filename=x"])
def test_a_field_of_a_form_without_a_name_is_malformed(disposition: str) -> None:
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--b--\r\n".encode()
    with pytest.raises(MalformedBody):
        read_body(body, "multipart/form-data; boundary=b")
