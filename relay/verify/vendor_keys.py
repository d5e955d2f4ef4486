"""Public keys of vendors and issuers over HTTPS: cached, bounded in size and time, and never
through a redirect."""

from __future__ import annotations

import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from typing import Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)
from weakref import WeakValueDictionary

import structlog

from config.urls import is_loopback
from platforms.verifiers.protocol import OF_DEFINITION, Fetch, KeysUnavailable
from relay.concurrency import at_most
from relay.limits.addresses import read_address
from relay.limits.admission import Allowance
from store.clock import MonotonicClock
from store.rules.senders import Address, subscriber_of

TIMEOUT = 5.0
"""Seconds for one fetch: senders wait only 10 to 15 s for their answer."""
MAX_BYTES = 64 * 1024
CACHED_FOR = 3600.0
"""Seconds for which a key is used before it is fetched again."""
FRESH_FOR = 60.0
"""Seconds for which a key counts as fresh: strangers can't make the relay fetch it more often."""
FAILED_FOR = 5.0
"""Seconds after a failure before a missing key is fetched again."""
UNKNOWN_TO_ONE = Allowance(rate=1 / 60, burst=4)
"""Fetches of unknown keys, per address and webhook: strangers may name what they like."""
UNKNOWN = Allowance(rate=5 / 60, burst=20)
"""The same for all addresses together: five times as many, so that strangers at up to four
addresses leave some."""
_MAX_ENTRIES = 64
"""Enough for addresses too: by the time `UNKNOWN` grants this many fetches, the first address's
allowance is full again."""
_MOST_UNKNOWN_AT_ONCE = 2
_MOST_WAITING = 16
"""Deliveries that wait for one fetch."""

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


class Download(Protocol):
    """Downloads keys."""

    is_mirror: bool
    """Whether keys come from a mirror, not from the vendors."""

    def get(self, url: str, send: bytes | None = None) -> bytes:
        """The content at the URL, or the answer there to this JSON. Raises OSError, HTTPException
        or ValueError."""


KeySource = Callable[[str], Fetch]
"""Gives each webhook a function that fetches its vendor's keys."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Returns None: a redirect from a pinned host is an error."""


@cache
def _opener(to_this_machine: bool) -> OpenerDirector:
    """Made when a key is first fetched: to read the certificates of all authorities takes long."""
    handler = (
        ProxyHandler({}) if to_this_machine else HTTPSHandler(context=ssl.create_default_context())
    )
    return build_opener(_NoRedirects, handler)


class HttpsDownload:
    """A `Download` over HTTPS, or through a mirror: ``https://HOST/PATH`` is then fetched from
    ``MIRROR/HOST/PATH``.

    Plain HTTP is spoken only with this machine.
    """

    def __init__(self, mirror: str | None = None):
        self._mirror = mirror
        self.is_mirror = mirror is not None

    def get(self, url: str, send: bytes | None = None) -> bytes:
        """What is sent has credentials, so it never goes to the mirror. Raises OSError,
        HTTPException or ValueError."""
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and is_loopback(parts.hostname)
        if parts.scheme != "https" and not is_local:
            raise ValueError("not an https URL")
        address = url
        if self._mirror and not is_local and send is None:
            address = f"{self._mirror.rstrip('/')}/{url.removeprefix('https://')}"
        headers = {"User-Agent": "conductor-webhook-bridge"} | (
            {"Content-Type": "application/json"} if send else {}
        )
        request = Request(address, send, headers)  # noqa: S310 (https, above)
        # The opener's own time-out is for each of its steps, such as a byte of the head.
        with at_most(TIMEOUT), _opener(is_local).open(request, timeout=TIMEOUT) as response:
            content: bytes = response.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError("too large for a key")
        return content


class KeyCaches:
    """Gives each webhook its own cache, so that what strangers name on one doesn't affect the
    others."""

    def __init__(self, download: Download, clock: MonotonicClock = time):
        self._download = download
        self._clock = clock
        self._caches: WeakValueDictionary[str, KeyCache] = WeakValueDictionary()

    def of(self, webhook: str) -> KeyCache:
        """The webhook's fetch function; it stays the same when the definitions change."""
        return self._caches.setdefault(webhook, KeyCache(self._download, self._clock))


@dataclass(frozen=True, slots=True)
class _Known:
    at: float
    content: bytes


class _Fetching:
    """One fetch in flight."""

    def __init__(self, is_known: bool) -> None:
        self.is_known = is_known
        self.is_over = threading.Event()
        self.waiting = 0
        self.content: bytes | None = None


class KeyCache:
    """A `platforms.verifiers.Fetch` with a cache: a cached key is used while it is fetched again.
    Thread-safe."""

    def __init__(self, download: Download, clock: MonotonicClock = time):
        self._download = download
        self._clock = clock
        self.is_mirror = download.is_mirror
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()  # most recently used last
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._fetching: dict[str, _Fetching] = {}
        self._full_at = 0.0
        self._full_at_of: OrderedDict[Address | None, float] = OrderedDict()

    def __call__(
        self,
        url: str,
        fresh: bool = False,
        remote: str | None = None,
        read: Callable[[bytes], object] = len,
        send: bytes | None = None,
    ) -> bytes:
        """The content at the URL, at most an hour old, or a minute if it must be fresh. Raises
        KeysUnavailable."""
        with self._lock:
            now = self._clock.monotonic()
            known = self._known.get(url)
            if known is not None:
                self._known.move_to_end(url)
                if now - known.at < (FRESH_FOR if fresh else CACHED_FOR):
                    return known.content
            fetching = self._fetching.get(url)
            is_ours = fetching is None
            if fetching is None:
                if not self._may_fetch(url, known is not None, remote, now):
                    return _instead(known, fresh)
                fetching = self._fetching[url] = _Fetching(known is not None)
            elif known is not None and not fresh:
                return known.content
            elif fetching.waiting >= _MOST_WAITING:
                raise KeysUnavailable("too many deliveries are waiting for the vendor's key")
            else:
                fetching.waiting += 1
        if is_ours:
            self._fetch(url, fetching, read, send)
        else:
            fetching.is_over.wait(2 * TIMEOUT)
        return _instead(known, fresh) if fetching.content is None else fetching.content

    def _may_fetch(self, url: str, is_known: bool, remote: str | None, now: float) -> bool:
        failed_at = self._failed.get(url)
        if failed_at is not None and now - failed_at < (FRESH_FOR if is_known else FAILED_FOR):
            return False
        if is_known or remote == OF_DEFINITION:
            return True
        under_way = sum(not fetching.is_known for fetching in self._fetching.values())
        if under_way >= _MOST_UNKNOWN_AT_ONCE or UNKNOWN.wait(self._full_at, now):
            return False
        address = read_address(remote)
        one = None if address is None else subscriber_of(address)
        full_at = self._full_at_of.get(one, 0.0)
        if UNKNOWN_TO_ONE.wait(full_at, now):
            return False
        _remember(self._full_at_of, one, UNKNOWN_TO_ONE.less(full_at, now))
        self._full_at = UNKNOWN.less(self._full_at, now)
        return True

    def _fetch(
        self, url: str, fetching: _Fetching, read: Callable[[bytes], object], send: bytes | None
    ) -> None:
        content: bytes | None = None
        try:
            found = self._download.get(url, send)
            read(found)
            content = found
        except (OSError, HTTPException, ValueError) as error:
            log = structlog.get_logger()
            log.warning(
                "a vendor's key can't be fetched",
                host=urlsplit(url).hostname,
                error=type(error).__name__,
            )
        finally:
            with self._lock:
                now = self._clock.monotonic()
                if content is None:
                    _remember(self._failed, url, now)
                else:
                    _remember(self._known, url, _Known(now, content))
                    self._failed.pop(url, None)
                fetching.content = content
                del self._fetching[url]
            fetching.is_over.set()


def _instead(known: _Known | None, fresh: bool) -> bytes:
    # A key that was right an hour ago is better than none; a confirmation must really be made.
    if known is None or fresh:
        raise KeysUnavailable("the vendor's key can't be fetched")
    return known.content


def _remember(entries: OrderedDict[Name, Value], name: Name, value: Value) -> None:
    entries[name] = value
    entries.move_to_end(name)
    if len(entries) > _MAX_ENTRIES:
        entries.popitem(last=False)
