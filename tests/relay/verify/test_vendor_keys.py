"""Vendors' keys: cached, bounded, and only over HTTPS without redirects."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from platforms.verifiers import KeysUnavailable
from platforms.verifiers.protocol import OF_DEFINITION
from relay.verify.vendor_keys import (
    CACHED_FOR,
    FAILED_FOR,
    FRESH_FOR,
    MAX_BYTES,
    UNKNOWN,
    UNKNOWN_TO_ONE,
    HttpsDownload,
    KeyCache,
    KeyCaches,
    _opener,
)
from tools.servers import PATIENCE
from tools.servers.http_server import Handler, HttpServer


class Vendor:
    """A vendor that counts, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.is_mirror = False
        self.asked: list[str] = []
        self.error: Exception | None = None

    def monotonic(self) -> float:
        return self.now

    def get(self, url: str, send: bytes | None = None) -> bytes:
        self.asked.append(url)
        if self.error:
            raise self.error
        return f"key {len(self.asked)}".encode()


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def source(vendor: Vendor) -> KeyCache:
    return KeyCache(vendor, vendor)


def test_a_key_is_fetched_once_an_hour(vendor: Vendor, source: KeyCache) -> None:
    assert source("https://a") == source("https://a") == b"key 1"
    vendor.now += CACHED_FOR - 1
    assert source("https://a") == b"key 1"
    vendor.now += 1
    assert source("https://a") == b"key 2"
    assert source("https://b") == b"key 3"


def test_a_fresh_one_is_a_minute_old_at_most(vendor: Vendor, source: KeyCache) -> None:
    source("https://a")
    vendor.now += FRESH_FOR - 1
    assert source("https://a", fresh=True) == b"key 1"
    vendor.now += 1
    assert source("https://a", fresh=True) == b"key 2"


def test_an_old_key_is_better_than_none_but_no_confirmation(
    vendor: Vendor, source: KeyCache
) -> None:
    source("https://a")
    vendor.error = OSError("down")
    vendor.now += CACHED_FOR
    assert source("https://a") == b"key 1"
    with pytest.raises(KeysUnavailable):
        source("https://a", fresh=True)


def test_what_can_not_be_read_replaces_no_key_and_is_fetched_again_soon(
    vendor: Vendor, source: KeyCache
) -> None:
    def read(content: bytes) -> None:
        if content != b"key 3":
            raise ValueError

    with pytest.raises(KeysUnavailable):
        source("https://a", read=read)
    vendor.now += FAILED_FOR
    with pytest.raises(KeysUnavailable):
        source("https://a", read=read)
    vendor.now += FAILED_FOR
    assert source("https://a", read=read) == b"key 3"
    vendor.now += CACHED_FOR
    assert source("https://a", read=read) == b"key 3"
    assert len(vendor.asked) == 4


@pytest.mark.parametrize("error", [OSError("down"), TimeoutError(), ValueError("too large")])
def test_after_a_failure_there_is_a_pause(
    error: Exception, vendor: Vendor, source: KeyCache
) -> None:
    vendor.error = error
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            source("https://a")
    assert len(vendor.asked) == 1
    vendor.error = None
    vendor.now += FAILED_FOR
    assert source("https://a") == b"key 2"


def test_the_cache_is_bounded_and_keeps_what_is_used(vendor: Vendor, source: KeyCache) -> None:
    source("https://genuine")
    for number in range(200):
        vendor.now += 60
        source(f"https://{number}")
        assert source("https://genuine")
    assert len(source._known) <= 64
    assert vendor.asked.count("https://genuine") == 4  # once an hour
    for number in range(1000):
        vendor.now += 60
        vendor.error = OSError("none")
        with pytest.raises(KeysUnavailable):
            source(f"https://none/{number}")
    assert len(source._failed) <= 64


def test_unknown_keys_cost_a_fetch_a_minute_and_known_ones_are_used_meanwhile(
    vendor: Vendor, source: KeyCache
) -> None:
    source("https://genuine")
    for number in range(1000):
        vendor.now += 0.6
        with suppress(KeysUnavailable):
            source(f"https://unknown/{number}")
        assert source("https://genuine") == b"key 1"
    assert len(vendor.asked) <= UNKNOWN_TO_ONE.burst + 10 + 1


@pytest.mark.parametrize(
    "strangers",
    [
        ["198.51.100.1"],
        [f"198.51.100.{number}" for number in range(4)],
        [f"2001:db8::{n:x}" for n in range(1, 999)],
    ],
    ids=["one", "four", "one with a /64"],
)
def test_strangers_who_name_keys_leave_fetches_to_other_addresses(
    strangers: list[str], vendor: Vendor, source: KeyCache
) -> None:
    vendor.error = OSError("none")
    for number in range(18000):  # an hour
        vendor.now += 0.2
        with suppress(KeysUnavailable):
            source(f"https://unknown/{number}", remote=strangers[number % len(strangers)])
    vendor.error = None
    assert source("https://rotated", remote="203.0.113.1") == b"key %d" % len(vendor.asked)


def test_addresses_together_cost_five_fetches_a_minute(vendor: Vendor, source: KeyCache) -> None:
    vendor.error = OSError("none")
    for number in range(3000):  # ten minutes
        vendor.now += 0.2
        with suppress(KeysUnavailable):
            source(f"https://unknown/{number}", remote=f"10.0.{number // 256}.{number % 256}")
    assert len(vendor.asked) <= UNKNOWN.burst + 50 + 1
    assert len(source._full_at_of) <= 64


def test_webhooks_have_keys_of_their_own(vendor: Vendor) -> None:
    source = KeyCaches(vendor, vendor)
    attacked, other = source.of("attacked"), source.of("other")
    for number in range(100):
        with suppress(KeysUnavailable):
            attacked(f"https://unknown/{number}")
    assert other("https://genuine")
    assert source.of("other") is other  # after a change of the definitions
    del attacked
    assert source.of("attacked")("https://genuine")


class Slow:
    """A vendor that answers when it is told to."""

    is_mirror = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.entered, self.release = threading.Event(), threading.Event()
        self.is_slow = True

    def get(self, url: str, send: bytes | None = None) -> bytes:
        self.asked.append(url)
        if self.is_slow:
            self.entered.set()
            assert self.release.wait(PATIENCE)
        return b"key"


def test_a_key_that_is_being_fetched_again_is_used_meanwhile(vendor: Vendor) -> None:
    slow = Slow()
    slow.is_slow = False
    keys = KeyCache(slow, vendor)
    keys("https://genuine")
    vendor.now += CACHED_FOR
    slow.is_slow = True
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(keys, "https://genuine")
        assert slow.entered.wait(PATIENCE)
        assert [keys("https://genuine") for _ in range(100)] == [b"key"] * 100
        slow.release.set()
        assert first.result() == b"key"
    assert len(slow.asked) == 2


def test_slow_strange_keys_hold_up_neither_a_known_one_nor_its_fetch(vendor: Vendor) -> None:
    slow = Slow()
    slow.is_slow = False
    keys = KeyCache(slow, vendor)
    keys("https://genuine")
    slow.is_slow = True
    with ThreadPoolExecutor(10) as pool:
        strange = [pool.submit(keys, "https://strange/1") for _ in range(5)]
        assert slow.entered.wait(PATIENCE)
        assert keys("https://genuine") == b"key"
        vendor.now += CACHED_FOR
        slow.is_slow = False
        assert keys("https://genuine") == b"key"
        assert slow.asked == ["https://genuine", "https://strange/1", "https://genuine"]
        slow.release.set()
        assert [one.result() for one in strange] == [b"key"] * 5


def test_a_slow_first_fetch_holds_up_seventeen_deliveries_of_its_webhook_and_none_of_another(
    vendor: Vendor,
) -> None:
    slow = Slow()
    source = KeyCaches(slow, vendor)
    held, other = source.of("held"), source.of("other")
    with ThreadPoolExecutor(17) as pool:
        waiting = [pool.submit(held, "https://issuer", remote=OF_DEFINITION) for _ in range(17)]
        assert slow.entered.wait(PATIENCE)
        while held._fetching["https://issuer"].waiting < 16:
            threading.Event().wait(0.01)
        with pytest.raises(KeysUnavailable, match="waiting"):
            held("https://issuer", remote=OF_DEFINITION)
        slow.is_slow = False
        assert other("https://issuer", remote=OF_DEFINITION) == b"key"
        slow.release.set()
        assert [one.result() for one in waiting] == [b"key"] * 17
    assert slow.asked == ["https://issuer"] * 2


def test_a_server_that_says_a_byte_of_its_head_now_and_then_is_given_up() -> None:
    """Each byte is in time for the time-out of a step, and a head may have six million. In a
    process of its own, where gevent is all of it."""
    program = """
from gevent import monkey
monkey.patch_all()
import gevent
from gevent.server import StreamServer
from relay import concurrency
from relay.verify import vendor_keys
def trickle(connection, _):
    connection.recv(8192)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nX: ")
    while True:
        connection.sendall(b"x")
        gevent.sleep(0.01)
server = StreamServer(("127.0.0.1", 0), trickle)
server.start()
concurrency.start_threads()
vendor_keys.TIMEOUT = 0.5
try:
    vendor_keys.HttpsDownload().get(f"http://127.0.0.1:{server.server_port}/keys")
except OSError as error:
    print(repr(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert "too slow" in done.stdout, done.stderr


class _Pages(Handler):
    def do_GET(self) -> None:
        if self.path.endswith("/redirect"):
            self.say(302, headers={"Location": "/sns.example/key.pem"})
            return
        size = MAX_BYTES + 1 if self.path.endswith("/large") else 3
        self.say(404 if self.path.endswith("/missing") else 200, b"k" * size)

    def do_POST(self) -> None:
        self.say(200, self.path.encode() + b" " + self.read_body())


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    """A mirror on this machine."""
    with HttpServer(_Pages) as server:
        yield f"{server.url}/"


def test_a_mirror_stands_in_for_the_vendors(mirror: str) -> None:
    assert HttpsDownload(mirror).get("https://sns.example/key.pem") == b"kkk"


def test_what_is_sent_is_posted_and_never_to_a_mirror(
    mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HttpsDownload().get(f"{mirror}posted#name", b'{"secret": 1}') == b'/posted {"secret": 1}'
    asked: list[Any] = []

    def refuse(request: Any, **_: Any) -> None:
        asked.append(request)
        raise OSError

    download = HttpsDownload(mirror)
    monkeypatch.setattr(_opener(False), "open", refuse)
    with pytest.raises(OSError):
        download.get("https://production.plaid.com/get#name", b"{}")
    assert (asked[0].full_url, asked[0].get_method()) == (
        "https://production.plaid.com/get#name",
        "POST",
    )
    assert asked[0].selector == "/get"


@pytest.mark.parametrize("path", ["redirect", "large", "missing"])
def test_redirects_errors_and_large_answers_are_no_keys(path: str, mirror: str) -> None:
    source = KeyCache(HttpsDownload(mirror))
    with pytest.raises(KeysUnavailable):
        source(f"https://sns.example/{path}")


@pytest.mark.parametrize(
    "url", ["http://sns.example/key.pem", "file:///etc/hosts", "ftp://sns.example/x"]
)
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        HttpsDownload().get(url)
