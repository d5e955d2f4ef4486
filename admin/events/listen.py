"""Fetches deliveries from a public bridge, and posts them to a bridge on this machine.

Nothing that the public bridge answers can have any effect here but posts to the one URL that was
given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from admin.errors import CantDo
from admin.events.send import LARGEST_ANSWER, Answer, NotReachable, call, post, signed
from config.target_keys import LONGEST_WAIT
from config.urls import is_loopback
from config.value_types import HeaderName
from config.webhooks import Webhook
from platforms.verifiers import CannotSign, Draft

KEPT_THERE = "the newest 200, of 32 MB, for an hour"
"""What a public bridge keeps of each webhook."""
EVERY = 1.0
"""Seconds between two questions for new deliveries."""
_LONGEST_PAUSE = 10.0
_MOST, _MOST_HEADERS = 1000, 1000
"""Deliveries of an answer, and headers of one: more than any bridge gives, so that small ones can't
fill the memory."""
_AGAIN = frozenset({404, 408, 425, 429})
"""Answers of the local bridge, besides 5xx, after which a delivery is posted again: it may be about
to be defined."""
_HOP_BY_HOP = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ]
)
"""Headers that belong to a connection, to its answers, or to the proxies before the public bridge.
"""

_Result = TypeVar("_Result")
_Header = Annotated[str, Field(max_length=70_000, pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]
_Name = Annotated[HeaderName, Field(max_length=256)]


class CantListen(CantDo):
    """The public bridge refuses, or what it says isn't what a bridge says; the text says why."""


class Away(Exception):
    """The public bridge can't be reached now, or can't answer."""


class Delivery(BaseModel):
    """A delivery as the public bridge describes it. What it may contain is bounded here."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, val_json_bytes="base64")

    id: int = Field(ge=1)
    event_id: str = Field(max_length=100, pattern=r"^[0-9A-Za-z-]+$")
    """Nothing that a shell would run: it is printed in a command to go on with."""
    received_at: str = Field(max_length=40)
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    query: str = Field(max_length=70_000, pattern=r"^[!\"$-~\x80-\xff]*$")
    headers: dict[_Name, _Header] = Field(max_length=_MOST_HEADERS)
    body: bytes


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True)

    next: int = Field(ge=0)
    missed: bool = False
    """Whether deliveries before these are no longer kept. Older bridges don't say."""
    deliveries: tuple[Delivery, ...] = Field(max_length=_MOST)


_RELAYS = "there is nothing at this URL"
"""What a relay says where an admin page has deliveries."""


class PublicBridge:
    """One webhook of a public bridge."""

    def __init__(self, url: str, webhook: str, token: str | None):
        """`url`: of its admin page."""
        self._url = f"{url.rstrip('/')}/api/webhooks/{quote(webhook, safe='')}/deliveries"
        self._headers = {"Accept": "application/json", "User-Agent": "webhook-bridge"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self.last = -1
        """The number after which the next deliveries come; -1 before the first answer."""
        self.has_missed = False
        """Whether deliveries before those of the last answer were no longer kept."""

    def begin(self, start: str | None) -> tuple[Delivery, ...]:
        """The first deliveries, from `start` on; None for those that come from now on. Raises
        CantListen or Away."""
        return self._take(self._ask({"from": start} if start is not None else {}))

    def next(self) -> tuple[Delivery, ...]:
        """What has come since, in order of arrival. Raises CantListen or Away."""
        return self._take(self._ask({"after": str(self.last)}))

    def _take(self, page: _Page) -> tuple[Delivery, ...]:
        ids = [delivery.id for delivery in page.deliveries]
        if ids != sorted(set(ids)) or (ids and (ids[0] <= self.last or ids[-1] != page.next)):
            raise CantListen("the public bridge's answer has deliveries out of order")
        self.last, self.has_missed = page.next, page.missed
        return page.deliveries

    def _ask(self, query: dict[str, str]) -> _Page:
        url = f"{self._url}?{urlencode(query)}" if query else self._url
        try:
            status, body, _ = call("GET", url, self._headers, most=LARGEST_ANSWER + 1)
        except NotReachable as error:
            raise Away(str(error)) from None
        if len(body) > LARGEST_ANSWER:
            raise CantListen("the public bridge's answer is larger than any delivery")
        if status == 429 or status >= 500:
            raise Away(f"the public bridge answers {status}")
        if status != 200:
            said = Answer(status, body).message
            if not said or _RELAYS in said:
                said = "is this the address of an admin page? A relay has a different one"
            raise CantListen(f"the public bridge answers {Answer(status, b'').phrase}: {said}")
        try:
            return _Page.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise CantListen(
                f"the public bridge's answer isn't a bridge's: {first['loc']}: {first['msg']}"
            ) from None


@dataclass(frozen=True)
class LocalBridge:
    """Where deliveries are posted."""

    url: str
    resign: Webhook | None = None
    """A definition by which they are signed again."""
    signed_url: str | None = None
    """The URL that the platform would call, which some signatures cover."""

    def post(self, delivery: Delivery) -> Answer:
        """Raises NotReachable or CannotSign."""
        return post(_with_query(self.url, delivery), self._draft(delivery), LONGEST_WAIT)

    def _draft(self, delivery: Delivery) -> Draft:
        headers = {
            name.lower(): value
            for name, value in delivery.headers.items()
            if name.lower() not in _HOP_BY_HOP
            and not name.lower().startswith(("x-forwarded-", "x-real-", "proxy-"))
        }
        url = _with_query(self.signed_url or self.url, delivery)
        draft = Draft(delivery.method, url, headers, delivery.body, time.time())
        if self.resign is None:
            return draft
        made = signed(self.resign, draft)
        # The last of each name is the new one.
        return replace(made, headers={name.lower(): v for name, v in made.headers.items()})


def _with_query(url: str, delivery: Delivery) -> str:
    if not delivery.query:
        return url
    printable = "".join(map(chr, range(0x21, 0x7F)))
    return f"{url}?{quote(delivery.query, safe=printable, encoding='latin-1')}"


@dataclass(frozen=True)
class Posted:
    """A delivery that the local bridge has answered."""

    delivery: Delivery
    answer: Answer


def listen(
    public: PublicBridge,
    local: LocalBridge,
    start: str | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Posted]:
    """Posts deliveries in the order of their arrival, each until the local bridge has taken or
    refused it.

    Goes on for ever. `say` is told, once each time, that one of the two is away or back, and that
    some deliveries were no longer kept. Raises CantListen, CannotSign.
    """
    there, here = ("The public bridge", say, sleep), ("The local bridge", say, sleep)
    found = _until_done(*there, lambda: public.begin(start))
    while True:
        if public.has_missed:
            say(
                "Deliveries are missing here: the public bridge no longer keeps them"
                f" ({KEPT_THERE})."
            )
        for delivery in found:
            yield Posted(delivery, _until_done(*here, partial(_taken, local, delivery)))
        if not found:
            sleep(EVERY)
        found = _until_done(*there, public.next)


def listen_to_each(
    webhooks: Mapping[str, Iterator[Posted]],
) -> Iterator[tuple[str, Posted | CantDo | CannotSign]]:
    """What is posted of several webhooks, each with its name, as it comes: none of them waits for
    another.

    An error ends only its own webhook. Ends with the last of them.
    """
    found: SimpleQueue[tuple[str, Posted | Exception]] = SimpleQueue()

    def go_on(name: str, deliveries: Iterator[Posted]) -> None:
        try:
            for posted in deliveries:
                found.put((name, posted))
        except Exception as error:
            found.put((name, error))

    for name, deliveries in webhooks.items():
        Thread(target=go_on, args=(name, deliveries), name=f"listen-{name}", daemon=True).start()
    left = len(webhooks)
    while left:
        name, what = found.get()
        if isinstance(what, Exception):
            left -= 1
            if not isinstance(what, (CantDo, CannotSign)):
                raise what
        yield name, what


def _taken(local: LocalBridge, delivery: Delivery) -> Answer:
    """Raises Away if it is to be posted again."""
    try:
        answer = local.post(delivery)
    except NotReachable as error:
        raise Away(str(error)) from None
    if answer.status in _AGAIN or answer.status >= 500:
        raise Away(f"it answers {answer.phrase} to event {delivery.event_id}")
    return answer


def _until_done(
    name: str,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    action: Callable[[], _Result],
) -> _Result:
    """Tries again, with growing pauses, while the other side is away."""
    pause, said = 0.5, ""
    while True:
        try:
            result = action()
        except Away as error:
            if str(error) != said:
                say(f"{name} is down, trying again: {error}")
            said = str(error)
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            if said:
                say(f"{name} is back.")
            return result


def is_safe_for_a_token(url: str) -> bool:
    """Whether a token may be sent there: by https, or not off this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname)
