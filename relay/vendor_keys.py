"""Vendors' public keys over HTTPS: cached, bounded in size and time, and never from where a redirect leads."""

from __future__ import annotations

import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

import structlog

from relay.verifiers.terms import KeysUnavailable

TIMEOUT = 5.0
"""Seconds for one fetch: senders wait no longer than 10 to 15 s for their answer."""
MAX_BYTES = 64 * 1024
CACHED_FOR = 3600.0
"""Seconds that a key is used before it is fetched again."""
FRESH_FOR = 60.0
"""Seconds that a key counts as fresh: so often at most strangers can make the relay fetch it again."""
FAILED_FOR = 5.0
"""Seconds after a failure before the next try."""
_MAX_ENTRIES = 64
_MAX_WAITING = 3
"""Threads that fetch or wait for it: strangers who name keys that are slow to come must not stop the relay."""

Value = TypeVar("Value")
Get = Callable[[str], bytes]
"""Gets what is at a URL; raises OSError or ValueError when it can't."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Answers None: a pinned host that sends us elsewhere is an error."""


def http_get(mirror: str | None = None) -> Get:
    """A `Get` over HTTPS, or through the mirror: ``https://HOST/PATH`` is then fetched from ``MIRROR/HOST/PATH``."""
    opener: OpenerDirector = build_opener(_NoRedirects, HTTPSHandler(context=ssl.create_default_context()))

    def get(url: str) -> bytes:
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise ValueError("not an https URL")
        address = f"{mirror.rstrip('/')}/{url.removeprefix('https://')}" if mirror else url
        deadline = time.monotonic() + TIMEOUT
        request = Request(address, headers={"User-Agent": "conductor-webhook-bridge"})  # noqa: S310 (https, above)
        with opener.open(request, timeout=TIMEOUT) as response:
            content = b""
            while chunk := response.read1(MAX_BYTES):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError("too large for a key")
                if time.monotonic() > deadline:
                    raise TimeoutError("too slow")
        return content

    return get


class KeySource:
    """A `relay.verifiers.Fetch` with a cache; one thread fetches, the others wait for it."""

    def __init__(self, get: Get, clock: Callable[[], float] = time.monotonic):
        self._get = get
        self._clock = clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MAX_WAITING)
        self._cache: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._failed: OrderedDict[str, float] = OrderedDict()

    def __call__(self, url: str, fresh: bool = False) -> bytes:
        """What is at the URL, at most an hour old, or a minute if it must be fresh. Raises KeysUnavailable."""
        max_age = FRESH_FOR if fresh else CACHED_FOR
        cached = self._cache.get(url)
        if cached is not None and self._clock() - cached[0] < max_age:
            return cached[1]
        if not self._places.acquire(blocking=False):
            raise KeysUnavailable("other keys are being fetched")
        try:
            with self._lock:
                return self._fetch(url, max_age, fresh)
        finally:
            self._places.release()

    def _fetch(self, url: str, max_age: float, fresh: bool) -> bytes:
        now = self._clock()
        cached = self._cache.get(url)
        if cached is not None and now - cached[0] < max_age:
            return cached[1]
        if now - self._failed.get(url, -FAILED_FOR) < FAILED_FOR:
            return self._stale(cached, fresh)
        try:
            content = self._get(url)
        except (URLError, OSError, ValueError) as error:
            log = structlog.get_logger()
            log.warning("a vendor's key can't be fetched", host=urlsplit(url).hostname, error=type(error).__name__)
            _remember(self._failed, url, now)
            return self._stale(cached, fresh)
        _remember(self._cache, url, (now, content))
        self._failed.pop(url, None)
        return content

    @staticmethod
    def _stale(cached: tuple[float, bytes] | None, fresh: bool) -> bytes:
        # A key that was right an hour ago is better than none; a confirmation must really take place.
        if cached is None or fresh:
            raise KeysUnavailable("the vendor's key can't be fetched")
        return cached[1]


def _remember(entries: OrderedDict[str, Value], url: str, value: Value) -> None:
    entries[url] = value
    entries.move_to_end(url)
    if len(entries) > _MAX_ENTRIES:
        entries.popitem(last=False)
