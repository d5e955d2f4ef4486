"""What the relay reads itself, instead of gunicorn, means the same to both."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser, wsgi
from hypothesis import example, given
from hypothesis import strategies as st

from relay.http.connection import Connection
from relay.http.memory import Memory
from relay.http.usual_requests import (
    LONGEST_FIELD,
    LONGEST_LINE,
    MOST_FIELDS,
    UsualRequest,
    answer,
    are_read_under,
    usual,
)

FIELDS = (
    "Host: h.example:8000",
    "Content-Type: application/json",
    "Content-Length: 5",
    "X-Hub-Signature-256: sha256=00",
    "User-Agent:\t GitHub-Hookshot/1 (\xe9) ",
)
USUAL = "POST /webhook/a-b HTTP/1.1"
LONGEST = f"POST /webhook/a?{'b' * (LONGEST_LINE - len('POST /webhook/a? HTTP/1.1'))} HTTP/1.1"
PEER, SERVER = ("203.0.113.7", 4711), ("0.0.0.0", 8000)


def settings(**changed: Any) -> Config:
    """gunicorn's, as those of the relay."""
    made = Config()
    ours = {
        "limit_request_line": LONGEST_LINE,
        "limit_request_fields": MOST_FIELDS,
        "limit_request_field_size": LONGEST_FIELD,
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "forwarded_allow_ips": "*",
    }
    for name, value in (ours | changed).items():
        made.set(name, value)
    return made


def sent(line: str = USUAL, fields: Iterable[str] = FIELDS, body: bytes = b"hello") -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1") + body


def read(data: bytes) -> UsualRequest | None:
    return usual(data, PEER, SERVER)


def whole() -> UsualRequest:
    found = read(sent())
    assert found is not None
    return found


class Peer:
    """A sender's end of a connection."""

    def __init__(self, *pieces: bytes):
        self._pieces = list(pieces)

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece, rest = self._pieces[0][:size], self._pieces[0][size:]
        self._pieces[:1] = [rest] if rest else []
        return piece


TEXT = st.text(st.characters(max_codepoint=255), max_size=8)
TOKEN = st.text("aA9-_!: \t", max_size=6)
A_FIELD = st.one_of(
    st.sampled_from(FIELDS),
    st.builds("{}:{}".format, TOKEN, TEXT),
    st.builds(
        "{}:{}".format,
        st.sampled_from(
            ["Connection", "content-length", "Transfer-Encoding", "Expect", "Upgrade", "Host", "X-A", "Te", "Trailer"]
        ),
        st.sampled_from(["close", "Keep-Alive", "5", "+5", "05", "\xb2", "chunked", "100-continue", "h2c", "", "a, b"]),
    ),
    st.sampled_from([" folded", "\tfolded", "", "no colon", "X-Bare: a\nb", "X-Bare: a\rb"]),
)
A_LINE = st.one_of(
    st.just(USUAL),
    st.builds("POST /webhook/{} HTTP/1.1".format, st.text("aZ09%/?#;.-_~[]&= \xe9", max_size=10)),
    st.sampled_from(
        [
            "POST //webhook/a HTTP/1.1",
            "POST http://h/webhook/a HTTP/1.1",
            "POST /api/webhook/a?b=%20c HTTP/1.1",
            "POST /webhook/a? HTTP/1.1",
            "POST /webhook/a  HTTP/1.1",
            "POST /webhook/a HTTP/1.0",
            "post /webhook/a HTTP/1.1",
            "GET /webhook/a HTTP/1.1",
            "POST /healthz HTTP/1.1",
        ]
    ),
)


@given(A_LINE, st.lists(A_FIELD, max_size=6), st.booleans())
@example(USUAL, list(FIELDS), True)
@example(USUAL, [*FIELDS, "Connection: close"], True)
@example("POST /webhook/a?b=c&d=%20 HTTP/1.1", list(FIELDS), True)
@example(LONGEST, list(FIELDS), True)
def test_a_usual_request_means_what_gunicorn_reads(line: str, fields: list[str], has_length: bool) -> None:
    data = sent(line, [*fields, "Content-Length: 5"] if has_length else fields)
    found = read(data + b"POST ")
    if found is None:
        return
    parser = get_parser(settings(), Peer(data), PEER)
    request: Any = next(parser)
    theirs = wsgi.create(request, SimpleNamespace(), PEER, SERVER, settings())[1]
    without = {"wsgi.input", "wsgi.multithread", "wsgi.multiprocess"}
    ours = {name: value for name, value in found.environ.items() if name not in without}
    assert {name: theirs.get(name) for name in ours} == ours
    assert not {name for name in theirs.keys() - ours.keys() if name.startswith(("HTTP_", "CONTENT_"))}
    body = request.body.read()
    assert (found.body.read(100), found.rest) == (body, data[data.index(b"\r\n\r\n") + 4 + len(body) :] + b"POST ")
    assert found.keeps is not request.should_close()


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (USUAL, FIELDS),
        ("POST /api/webhook/a/b.c~d?e=%2F HTTP/1.1", FIELDS),
        (LONGEST, FIELDS),
        (USUAL, (*FIELDS, "connection: Keep-Alive")),
        (USUAL, ("content-length: 0",)),
    ],
)
def test_a_delivery_is_usual(line: str, fields: tuple[str, ...]) -> None:
    assert read(sent(line, fields)) is not None


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("GET /webhook/a HTTP/1.1", FIELDS),
        ("POST /healthz HTTP/1.1", FIELDS),
        ("POST /webhook/%61 HTTP/1.1", FIELDS),
        ("POST /webhook/a HTTP/1.0", FIELDS),
        (USUAL, FIELDS[:2]),
        (USUAL, (*FIELDS, "Content-Length: 5")),
        (USUAL, (*FIELDS, "X-Hub-Signature-256: sha256=01")),
        (USUAL, (*FIELDS, "Transfer-Encoding: chunked")),
        (USUAL, (*FIELDS, "Expect: 100-continue")),
        (USUAL, (*FIELDS, "Connection: upgrade")),
        (LONGEST.replace("?", "?-"), FIELDS),
        (USUAL, (*FIELDS, f"{'X' * 101}: b")),
        (USUAL, (*FIELDS, f"X-A: {'b' * LONGEST_FIELD}")),
        (USUAL, (*FIELDS, "X_A: b")),
        (USUAL, (*FIELDS, "X-A : b")),
        (USUAL, (*FIELDS, " folded")),
        (USUAL, (*FIELDS, "X-A: b\nX-B: c")),
        (USUAL, (*FIELDS, *(f"X-{number}: a" for number in range(MOST_FIELDS)))),
        (USUAL, ("Content-Length: +5",)),
        (USUAL, ("Content-Length: \xb2",)),
    ],
)
def test_whatever_could_be_read_in_two_ways_is_left_to_gunicorn(line: str, fields: tuple[str, ...]) -> None:
    assert read(sent(line, fields)) is None


def test_a_request_that_has_not_arrived_whole_is_left_to_gunicorn() -> None:
    whole = sent()
    assert not any(read(whole[:end]) for end in range(len(whole)))
    assert read(whole) is not None


@pytest.mark.parametrize(
    ("changed", "environment"),
    [
        ({"accesslog": "-"}, {}),
        ({"keepalive": 0}, {}),
        ({"max_requests": 1}, {}),
        ({"proxy_protocol": "v1"}, {}),
        ({"limit_request_fields": 10}, {}),
        ({"loglevel": "DEBUG"}, {}),
        ({"pre_request": lambda _worker, _request: None}, {}),
        ({"statsd_host": "127.0.0.1:8125"}, {}),
        ({"secure_scheme_headers": {"X-FORWARDED-PROTO": "https"}}, {}),
        ({}, {"SCRIPT_NAME": "/a"}),
    ],
)
def test_settings_that_are_given_to_gunicorn_hold(changed: dict[str, Any], environment: dict[str, str]) -> None:
    assert are_read_under(settings(), {})
    assert not are_read_under(settings(**changed), environment)


def test_a_body_that_has_been_read_is_held_no_longer() -> None:
    content = bytes(1000)
    before = sys.getrefcount(content)
    request = UsualRequest({}, content, True, b"")
    assert request.body.read(400) + request.body.read(1000) == content
    assert request.body.read(1000) == b""
    assert sys.getrefcount(content) == before


def test_the_application_can_read_the_body() -> None:

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [environ["wsgi.input"].read(5)]

    request = whole()
    assert answer(application, request, Connection(Peer(), Memory()), True).endswith(b"\r\n\r\nhello")


def answered(status: str, headers: list[tuple[str, str]], body: bytes, keep: bool = True) -> tuple[list[str], bytes]:
    """The lines of the head, without the date, and the body."""

    def application(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [body]

    head, _, rest = answer(application, whole(), Connection(Peer(), Memory()), keep).partition(b"\r\n\r\n")
    return [line for line in head.decode("latin-1").split("\r\n") if not line.startswith("Date: ")], rest


def test_an_answer_says_how_long_it_is_and_whether_the_connection_is_kept() -> None:
    kept = ["Server: gunicorn", "Connection: keep-alive"]
    full = [("Content-Type", "text/plain"), ("Content-Length", "2")]
    as_sent = ["Content-Type: text/plain", "Content-Length: 2"]
    assert answered("200 OK", full, b"ok") == (["HTTP/1.1 200 OK", *kept, *as_sent], b"ok")
    assert answered("401 Unauthorized", [], b"", keep=False) == (
        ["HTTP/1.1 401 Unauthorized", "Server: gunicorn", "Connection: close", "Content-Length: 0"],
        b"",
    )


def test_an_answer_without_content_has_no_body() -> None:
    head, body = answered("204 No Content", [("Content-Length", "2"), ("X-A", "b")], b"ok")
    assert (head[-1], body) == ("X-A: b", b"")
    assert not any(line.startswith("Content-Length") for line in head)


def test_no_header_can_break_the_head() -> None:
    with pytest.raises(ValueError, match="X-A"):
        answered("200 OK", [("X-A", "b\r\nX-B: c")], b"")
