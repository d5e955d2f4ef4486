"""Bodies that are too large, malformed or of a media type that isn't read."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.support.receiving import OK, PLAIN, error_of
from tests.support.relay import MakeRelay


@pytest.mark.parametrize("limit", ["10", "1KB", None])
def test_a_body_that_is_too_large_is_refused(limit: str | None, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | ({"max_body": limit} if limit else {}))
    largest = {"10": 10, "1KB": 1024, None: 1024 * 1024}[limit]
    assert relay.post("plain", '"' + "x" * (largest - 2) + '"', OK).status_code == 200
    response = relay.post("plain", '"' + "x" * (largest - 1) + '"', OK)
    assert (response.status_code, error_of(response)) == (413, "body_too_large")
    [told] = relay.rejections()
    assert (told.status, told.reason) == (
        413,
        f"the body is larger than {largest} bytes (max_body)",
    )


def test_what_would_be_too_large_for_conductor_is_refused(make_relay: MakeRelay) -> None:
    """Its own `_webhook` counts, and of a split delivery each element."""
    relay = make_relay(
        PLAIN | {"name": "whole", "max_body": "5MB"},
        PLAIN | {"name": "bare", "max_body": "5MB", "metadata": False},
        PLAIN | {"name": "split", "max_body": "5MB", "split": True},
        bridge_conductor_payload="1MB",
    )
    limit = 1024 * 1024
    body = '{"a":"' + "x" * (limit - 8) + '"}'
    assert relay.post("bare", body, OK).status_code == 200
    assert relay.post("bare", body + " ", OK).status_code == 413  # max_body is no larger
    for sent in (
        body,
        '{"a":"' + "x" * (limit - 108) + '"}',
        '{"a":"' + "\u00e9" * (limit // 2 - 50) + '"}',
    ):
        response = relay.post("whole", sent, OK)
        assert (response.status_code, error_of(response)) == (413, "body_too_large")
    assert "Conductor" in response.get_json()["message"]
    assert relay.post("whole", '{"a":"' + "x" * (limit - 1000) + '"}', OK).status_code == 200
    element = '{"a":"' + "x" * (limit - 1000) + '"}'
    assert relay.post("split", f"[{element},{element},{element}]", OK).status_code == 200
    assert relay.post("split", f"[1,{body}]", OK).status_code == 413
    assert len(relay.events()) == 5
    assert [(told.webhook, told.status) for told in relay.rejections()].count(("whole", 413)) == 3
    assert "Conductor" in relay.rejections()[0].reason


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        ('{"a": "b\\u0000"}', "application/json", "NUL"),
        ('{"a\\u0000": 1}', "application/json", "NUL"),
        ('[[{"a": ["\\u0000"]}]]', "application/json", "NUL"),
        ("a=%00", "application/x-www-form-urlencoded", "NUL"),
        ("a\0", "text/plain", "NUL"),
        ('{"' + "n" * 50_001 + '": 1}', "application/json", "name"),
        ('[{"a": {"' + "n" * 50_001 + '": 1}}]', "application/json", "name"),
    ],
)
def test_what_some_conductor_can_never_store_is_malformed(
    body: str, content_type: str, word: str, make_relay: MakeRelay
) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", body, OK | {"Content-Type": content_type})
    assert (response.status_code, error_of(response)) == (400, "malformed_body")
    assert word in response.get_json()["message"]
    assert word in relay.rejections()[0].reason
    assert relay.events() == []


def test_a_text_of_more_than_20_million_characters_is_malformed(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"max_body": "40MB"}, bridge_conductor_payload="50MB")
    assert relay.post("plain", '"' + "x" * 20_000_000 + '"', OK).status_code == 200
    response = relay.post("plain", '"' + "x" * 20_000_001 + '"', OK)
    assert (response.status_code, error_of(response)) == (400, "malformed_body")


def test_what_only_looks_like_a_nul_or_is_just_short_enough_is_stored(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(PLAIN)
    for body in ('{"a": "\\\\u0000"}', '{"' + "n" * 50_000 + '": 1}'):
        assert relay.post("plain", body, OK).status_code == 200
    assert relay.post("plain", "{}", OK, query_string="a=%00").status_code == 400


class Endless:
    """A body without a length; counts what is read of it."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def read(self, size: int = -1) -> bytes:
        self.read_so_far += size
        return b"x" * size


def test_a_chunked_body_is_measured_while_it_is_read(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    body = Endless()
    response = relay.client.post(
        "/webhook/plain",
        headers=OK,
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )
    assert (response.status_code, error_of(response)) == (413, "body_too_large")
    assert body.read_so_far < 2 * 1024 * 1024
    chunked = relay.client.post(
        "/webhook/plain",
        headers=OK | {"Content-Type": "application/json"},
        environ_overrides={"wsgi.input": io.BytesIO(b"{}"), "wsgi.input_terminated": True},
    )
    assert chunked.status_code == 200


class Broken:
    """A body whose sender goes away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize(
    ("body", "length"),
    [(io.BytesIO(b"{}"), "3"), (Broken(), "2"), (io.BytesIO(b"{}"), "-2"), (io.BytesIO(), "x")],
)
def test_a_body_that_breaks_off_is_a_bad_request(
    body: Any, length: str, make_relay: MakeRelay
) -> None:
    relay = make_relay(PLAIN)
    response = relay.client.post(
        "/webhook/plain",
        headers=OK,
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": length},
    )
    assert (response.status_code, error_of(response)) == (400, "malformed_body")
