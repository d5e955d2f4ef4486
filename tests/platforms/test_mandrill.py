"""Mandrill: the form around its events, which is decoded before anything is proven."""

from __future__ import annotations

import base64
import hmac
import json
import tracemalloc
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms import PLATFORMS
from platforms.bodies import BadBody
from platforms.http import Request
from platforms.verifiers import Credentials
from tests.support.examples import examples
from tests.support.relay import MakeRelay

URL = "https://hooks.example.com/webhook/hook"
KEY = "0123456789abcdef-key"


def request(body: bytes) -> Request:
    return Request("POST", URL, "", {}, body, None, 0.0)


@examples
@given(st.text())
def test_a_form_is_read_whatever_characters_are_in_it(text: str) -> None:
    value = [{"event": text}]
    for ascii_only in (True, False):
        body = urlencode(
            {"mandrill_events": json.dumps(value, ensure_ascii=ascii_only)}, errors="replace"
        ).encode()
        read = PLATFORMS["mandrill"].read(request(body), signed=True).value
        assert read == value or (not ascii_only and not text.isprintable())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"mandrill_events",
        b"mandrill_events=[]&x=1",
        b"x=1&mandrill_events=[]",
        b"mandrill_events=[]&mandrill_events=[]",
        b"mandrill%5Fevents=[]",
        b"mandrill_events=[]\n",
        b"mandrill_events= []",
        b"mandrill_events=\xff",
        b"mandrill_events=%FF",
        b"other=[]",
    ],
)
def test_any_other_form_is_refused(body: bytes, make_relay: MakeRelay) -> None:
    with pytest.raises(BadBody):
        PLATFORMS["mandrill"].read(request(body), signed=True)
    relay = make_relay({"name": "hook", "platform": "mandrill", "secret": KEY, "public_url": URL})
    assert relay.post("hook", body).status_code == 401


def test_a_thousand_events_are_taken_at_once(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "mandrill", "secret": KEY, "public_url": URL})
    events = json.dumps(
        [{"event": "open", "_id": str(number), "ua": "x" * 1000} for number in range(1000)]
    )
    body = urlencode({"mandrill_events": events}).encode()
    assert len(body) > 1024 * 1024
    signature = hmac.digest(KEY.encode(), (URL + "mandrill_events" + events).encode(), "sha1")
    headers = {"X-Mandrill-Signature": base64.b64encode(signature).decode()}
    assert relay.post("hook", body, headers).status_code == 200
    assert len(relay.events()) == 1000


def test_a_stranger_cannot_make_the_form_take_many_times_its_size() -> None:
    body = b"mandrill_events=" + b"%41" * 100_000
    tracemalloc.start()
    try:
        PLATFORMS["mandrill"].challenge(request(body), Credentials())
        assert tracemalloc.get_traced_memory()[1] < 5 * len(body)
    finally:
        tracemalloc.stop()
