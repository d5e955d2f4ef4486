"""Events for a list: what the store finds, looked at once more where SQL can't say, or must not be
asked.

A value at a JSONPath is compared here, with the criteria's own equality. So is text in an event of
which something is hidden: neither whether it is found nor how long that takes may say anything
about what nobody may see. So the store isn't asked to look into such an event.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice

from admin.errors import BadRequest
from admin.wording.statuses import failure_reasons
from criteria.equality import Key, comparison_key
from criteria.jsonpath import BadPath, compile_path
from store.hiding import Hidden, masked, masked_in_list
from store.records import Event
from store.sql.event_search import EventFilter, EventPage
from store.sql.queries import Queries

_STEP = 200
"""Events that are looked at together."""
_SMALL = 100_000
"""Characters of a payload that is read together with others."""
PATIENCE = 3.0
"""Seconds for which payloads and failures are looked at for one list: a person waits for it."""
_PLACES = 50
"""Places at which a condition may have its ``=``: a JSONPath may have some of its own."""
_LONGEST_NUMBER = 400
"""Characters of a value that may be a number."""
_UNESCAPED = re.compile(r"[A-Za-z0-9 _.:@-]+")
"""What every JSON encoder writes as it is."""
_ANY = ""
"""Found in every payload, but only within the bounds of a search."""


class BadFilter(BadRequest):
    """The filter can't be used; the text says why."""


def split_condition(text: str) -> tuple[str, str]:
    """Path and value of ``$.path=value``; a JSONPath may itself have ``=`` in a filter. Raises
    BadFilter."""
    problem = f"{text} is not a condition: write $.path=value"
    for place in islice((match.start() for match in re.finditer("=", text)), _PLACES):
        path = text[:place].strip()
        if not path.startswith("$"):
            break
        try:
            compile_path(path)
        except BadPath as error:
            problem = f"{text} is not a condition: {error}"
        else:
            return path, text[place + 1 :].strip()
    raise BadFilter(problem)


@dataclass(frozen=True, slots=True)
class Where:
    """``$.path=value``: an event whose payload has this value at this JSONPath."""

    path: str
    value: str

    def holds(self, document: object) -> bool:
        """Whether one of the values that the path selects is this one: as text, as a number or as
        true or false."""
        return any(
            comparison_key(found) in _keys(self.value)
            for found in compile_path(self.path)(document)
        )

    @property
    def contains(self) -> tuple[str, ...]:
        """Text that the payload of such an event must have."""
        is_plain = re.fullmatch(r"\$(?:\.[A-Za-z_]\w*)+", self.path, re.ASCII)
        if not is_plain or self.path.startswith("$._webhook"):
            return ()
        name = f'"{self.path.rpartition(".")[2]}"'
        # As a number it may be written 4711, 4711.0 or 4.711e3.
        if self.value.isascii() and self.value.isdecimal():
            return tuple(filter(None, (name, self.value[1:].rstrip("0"))))
        is_text = _keys(self.value) == {self.value}
        return (name, *_longest(self.value)) if is_text else (name,)


@lru_cache(maxsize=64)
def _keys(value: str) -> frozenset[Key]:
    """What is equal to the value as it is written: the text, and the number if it is one."""
    try:
        number = json.loads(value) if len(value) <= _LONGEST_NUMBER else None
    except (ValueError, RecursionError):
        number = None
    if isinstance(number, (int, float)):
        return frozenset({value, comparison_key(number)})
    return frozenset({value})


@dataclass(frozen=True, slots=True)
class Search(EventFilter):
    """Which events people ask for."""

    where: tuple[Where, ...] = ()
    """All of these must hold."""
    failure: str | None = None
    """Only failed events with this reason (`admin.wording.statuses.reason_of`)."""


def search(
    queries: Queries,
    hide: Callable[[str], Hidden],
    hiding_nothing: Callable[[], Sequence[str]],
    query: EventFilter,
) -> EventPage:
    """The newest matching events, as people may see them in a list, and how far they were searched
    for.

    `hide`: webhook → what must not be shown of its events. `hiding_nothing`: the webhooks of which
    that is nothing.
    """
    asked = query if isinstance(query, Search) else Search(**asdict(query))
    if asked.searches or asked.where:
        asked = replace(asked, searchable=hiding_nothing())
    return _Looking(queries, hide, asked).page()


class _Looking:
    """One search."""

    def __init__(self, queries: Queries, hide: Callable[[str], Hidden], query: Search):
        self._queries = queries
        self._hide = hide
        self._query = query
        self._until = time.monotonic() + PATIENCE
        text = query.text or ""
        self._folds = not text.isascii()  # the databases fold only ASCII
        contains = [piece for where in query.where for piece in where.contains]
        if self._folds:
            contains += _longest(text)
        if not contains and (query.where or self._folds):
            contains = [_ANY]
        self._asked = replace(
            query,
            text=None if self._folds else query.text,
            contains=(*query.contains, *contains),
            listing=True,
        )

    @property
    def _is_exact(self) -> bool:
        """Whether all that the store finds matches."""
        query = self._query
        if query.where or query.failure or self._folds:
            return False
        # Otherwise the store may find events that it hasn't looked into.
        return query.searchable is None or query.webhook in query.searchable

    def page(self) -> EventPage:
        limit, asked, found = self._query.limit, self._asked, list[Event]()
        searched_to = None
        step = limit if self._is_exact else _STEP
        while True:
            page = self._queries.page(replace(asked, limit=step))
            if searched_to is None and page.searched_to is not None:
                searched_to = page.searched_to
                asked = replace(asked, after_seq=searched_to.seq - 1)
            matching, last = self._matching(page.events)
            found += matching
            if last is not None and len(found) < limit:
                return EventPage(found, last)
            if len(found) >= limit or len(page.events) < step:
                return EventPage(found[:limit], searched_to)
            asked = replace(asked, before_seq=page.events[-1].seq)

    def _matching(self, events: Sequence[Event]) -> tuple[list[Event], Event | None]:
        """The events that match, as they are shown; and the last one that was examined, if time ran
        out."""
        shown = self._without_payloads(events)
        to_read = [id_ for id_, event in shown.items() if self._must_be_read(event)]
        small = self._queries.events_up_to(to_read, _SMALL) if to_read else {}
        matching: list[Event] = []
        for id_, event in shown.items():
            if id_ not in to_read or self._matches(small.get(id_) or self._queries.event(id_)):
                matching.append(event)
            if to_read and self._is_late():
                return matching, event
        ran_out = self._query.failure is not None and events and self._is_late()
        return matching, events[-1] if ran_out else None

    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def _without_payloads(self, events: Sequence[Event]) -> dict[str, Event]:
        """The events that match as far as rows and targets tell, as they are shown."""
        shown = {event.id: masked_in_list(event, self._hide(event.webhook)) for event in events}
        shown = {id_: event for id_, event in shown.items() if self._is_of_type(event)}
        if self._query.failure is None:
            return shown
        reasons = failure_reasons(self._queries, list(shown))
        wanted = self._query.failure
        return {id_: event for id_, event in shown.items() if wanted in reasons.get(id_, ())}

    def _is_of_type(self, event: Event) -> bool:
        wanted = self._query.type
        if wanted is None or event.type is None:
            return wanted is None
        if wanted.endswith("*"):
            return event.type.startswith(wanted[:-1])
        return event.type == wanted

    def _must_be_read(self, event: Event) -> bool:
        if self._query.where or self._folds:
            return True
        return bool(self._query.text) and self._hide(event.webhook) != ()

    def _matches(self, event: Event | None) -> bool:
        if event is None:  # it was pruned meanwhile
            return False
        try:
            shown = masked(event, self._hide(event.webhook))
            document = shown.document()
        except ValueError:  # it can't be read
            return False
        return all(where.holds(document) for where in self._query.where) and self._has_text(shown)

    def _has_text(self, event: Event) -> bool:
        text = (self._query.text or "").casefold()
        payload = event.payload
        readable = json.dumps(json.loads(payload), ensure_ascii=False) if self._folds else ""
        return any(
            text in found.casefold()
            for found in (event.id, event.delivery_id or "", payload, readable)
        )


def _longest(text: str) -> list[str]:
    """The longest piece of the text that stands in JSON as it is, if there is one."""
    return sorted(_UNESCAPED.findall(text), key=len)[-1:]
