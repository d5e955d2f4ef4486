"""Bodies that nobody has proven yet: what looking for the proof inside of them may cost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from platforms import bodies
from tests.support.chance import in_time
from tests.support.relay import MakeRelay
from tests.support.relay_process import KEY, Process, connect, serving

SECRET = "0123456789abcdef0123456789abcdef"
INSIDE: dict[str, dict[str, Any]] = {
    "adyen": {"secret": SECRET},
    "aws-sns": {"topic": "arn:aws:sns:eu-west-1:123456789012:alarms"},
    "mailgun": {"secret": SECRET},
    "microsoft-graph": {"secret": SECRET},
}
"""Platforms whose proof is inside of the body."""
Meanwhile = Callable[[Callable[[], None]], None]
MB = 1024 * 1024
PARAMETERS = (
    b"--b\r\nContent-Disposition: form-data; name=a"
    + b"; x=y" * (MB // 6)
    + b"\r\n\r\nv\r\n--b--\r\n"
)
BRACKETS = b'{"a":[' + b"[]," * (MB // 3 - 10) + b"1]}"


@pytest.mark.parametrize("platform", INSIDE)
@pytest.mark.parametrize(
    "body", [BRACKETS, b"[" * MB, PARAMETERS, b"a=b&" * (MB // 4), b"--b\r\n\r\n\r\n" * (MB // 12)]
)
def test_no_unproven_body_is_parsed_whose_cost_is_not_bounded(
    platform: str, body: bytes, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    decode = bodies._decode_json

    def counted(text: str) -> Any:
        parsed.append(bodies.values_in(text, 0))
        return decode(text)

    monkeypatch.setattr(bodies, "_decode_json", counted)
    monkeypatch.setattr(bodies, "MultipartDecoder", None)
    relay = make_relay({"name": "a", "platform": platform, **INSIDE[platform]})
    assert relay.post("a", body).status_code in (400, 401)
    assert sum(parsed) <= 50_000


def test_a_genuine_large_delivery_of_such_a_platform_is_accepted(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "a", "platform": "microsoft-graph", "secret": SECRET, "max_body": "2MB"}
    )
    assert relay.client.post("/webhook/a?validationToken=t").status_code == 200
    one = {"clientState": SECRET, "resource": "users/1", "encryptedContent": {"data": "x" * 20_000}}
    assert (
        relay.post(
            "a", json.dumps({"value": [one | {"id": str(number)} for number in range(50)]})
        ).status_code
        == 200
    )


# --- on a relay of real processes


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    webhooks = [
        {"name": name, "platform": name, **more, "receivers": {"a": "any"}}
        for name, more in INSIDE.items()
    ]
    webhooks.append({"name": "one", "headers": {"X-Api-Key": KEY}, "receivers": {"a": "any"}})
    with serving(
        tmp_path_factory.mktemp("unproven"), json.dumps({"webhooks": webhooks})
    ) as process:
        yield process


@pytest.fixture
def meanwhile() -> Iterator[Meanwhile]:
    """Does something again and again in the background, until the test ends."""
    over = threading.Event()
    threads = []

    def begin(act: Callable[[], None]) -> None:
        def run() -> None:
            while not over.is_set():
                with suppress(OSError):
                    act()

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.measured
@pytest.mark.parametrize("waits", [False, True])
def test_peers_that_pipeline_or_ask_without_a_pause_hold_up_nobody(
    waits: bool, relay: Process, meanwhile: Meanwhile
) -> None:
    def ask() -> None:
        with connect(relay) as connection:
            connection.settimeout(0.2)
            for _ in range(500):
                connection.sendall(b"GET /q HTTP/1.1\r\nHost: h\r\n\r\n" * (1 if waits else 100))
                if waits:
                    connection.recv(65536)
                else:
                    connection.setblocking(False)
                    with suppress(BlockingIOError):
                        while connection.recv(65536):
                            pass
                    connection.settimeout(0.2)

    usual = relay.seconds()
    for _ in range(8 if waits else 4):
        meanwhile(ask)
    in_time(
        relay.seconds() < 6 + 20 * usual,
        "promised is a tenth of a second for each, on a machine that is not busy",
    )
