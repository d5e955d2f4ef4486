"""Vendors' keys: cached, bounded, and only over HTTPS without redirects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from relay.vendor_keys import CACHED_FOR, FAILED_FOR, FRESH_FOR, MAX_BYTES, KeySource, http_get
from relay.verifiers import KeysUnavailable


class Vendor:
    """A vendor that counts, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.error: Exception | None = None

    def get(self, url: str) -> bytes:
        self.asked.append(url)
        if self.error:
            raise self.error
        return f"key {len(self.asked)}".encode()


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def source(vendor: Vendor) -> KeySource:
    return KeySource(vendor.get, clock=lambda: vendor.now)


def test_a_key_is_fetched_once_an_hour(vendor: Vendor, source: KeySource) -> None:
    assert source("https://a") == source("https://a") == b"key 1"
    vendor.now += CACHED_FOR - 1
    assert source("https://a") == b"key 1"
    vendor.now += 1
    assert source("https://a") == b"key 2"
    assert source("https://b") == b"key 3"


def test_a_fresh_one_is_a_minute_old_at_most(vendor: Vendor, source: KeySource) -> None:
    source("https://a")
    vendor.now += FRESH_FOR - 1
    assert source("https://a", fresh=True) == b"key 1"
    vendor.now += 1
    assert source("https://a", fresh=True) == b"key 2"


def test_an_old_key_is_better_than_none_but_no_confirmation(vendor: Vendor, source: KeySource) -> None:
    source("https://a")
    vendor.error = OSError("down")
    vendor.now += CACHED_FOR
    assert source("https://a") == b"key 1"
    with pytest.raises(KeysUnavailable):
        source("https://a", fresh=True)


@pytest.mark.parametrize("error", [OSError("down"), TimeoutError(), ValueError("too large")])
def test_after_a_failure_there_is_a_pause(error: Exception, vendor: Vendor, source: KeySource) -> None:
    vendor.error = error
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            source("https://a")
    assert len(vendor.asked) == 1
    vendor.error = None
    vendor.now += FAILED_FOR
    assert source("https://a") == b"key 2"


def test_the_cache_is_bounded(source: KeySource) -> None:
    for number in range(1000):
        source(f"https://{number}")
    assert len(source._cache) <= 64


def test_slow_keys_hold_only_a_few_threads(vendor: Vendor) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(url: str) -> bytes:
        entered.set()
        release.wait(10)
        return b"key"

    source = KeySource(slow)
    threads = [threading.Thread(target=source, args=(f"https://{number}",)) for number in range(1)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    waiting = [threading.Thread(target=source, args=("https://0",)) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while source._places._value > 0:  # the other two take their places
        pass
    with pytest.raises(KeysUnavailable, match="other keys"):
        source("https://9")
    release.set()
    for thread in (*threads, *waiting):
        thread.join(10)


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", "/sns.example/key.pem")
            self.end_headers()
            return
        size = MAX_BYTES + 1 if self.path.endswith("/large") else 3
        self.send_response(200 if not self.path.endswith("/missing") else 404)
        self.end_headers()
        self.wfile.write(b"k" * size)

    def log_message(self, *_: object) -> None:
        """Not now."""


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    """A mirror on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mirror_stands_in_for_the_vendors(mirror: str) -> None:
    assert http_get(mirror)("https://sns.example/key.pem") == b"kkk"


@pytest.mark.parametrize("path", ["redirect", "large", "missing"])
def test_redirects_errors_and_large_answers_are_no_keys(path: str, mirror: str) -> None:
    source = KeySource(http_get(mirror))
    with pytest.raises(KeysUnavailable):
        source(f"https://sns.example/{path}")


@pytest.mark.parametrize("url", ["http://sns.example/key.pem", "file:///etc/hosts", "ftp://sns.example/x"])
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        http_get()(url)
