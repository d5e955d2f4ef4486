"""The events that people chose on the page: by a filter, or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from werkzeug.datastructures import MultiDict

from admin.bridge import Bridge
from admin.events.filters import PARTS, parts_of, search_of
from admin.events.replay_plan import Chosen, choose, chosen
from admin.events.search import BadFilter

AT_ONCE = 1000
"""Events of a filter that the page, or one call of the API, handles; for more there is the command line."""
_SINGLE = 200
"""Events that can be chosen one by one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    filters: Mapping[str, str]
    event_ids: Sequence[str] = ()
    to: int | None = None
    """The last event that was seen; those that arrived later aren't chosen."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.filters.items()) or "hand"


def asked_for(given: MultiDict[str, str]) -> Asked:
    """What the parameters ask for: events one by one, or all that match a filter. Raises BadFilter."""
    to = given.get("to", type=int)
    event_ids, filters = given.getlist("event"), parts_of(given)
    if event_ids and filters:
        raise BadFilter("select events by a filter, or by their ids")
    return Asked(filters, event_ids, to if to is not None and 0 <= to < 2**62 else None)


def chosen_of(here: Bridge, asked: Asked) -> list[Chosen]:
    """The events, oldest first. Raises BadFilter, NotFound."""
    if not asked.filters and not asked.event_ids:
        raise BadFilter(f"select events: tick some, or filter them by {', '.join(PARTS[:-1])} or {PARTS[-1]}")
    if len(asked.event_ids) > _SINGLE:
        raise BadFilter(f"at most {_SINGLE} events can be named")
    if asked.event_ids:
        found = here.store.queries.listed(asked.event_ids).values()
        return sorted(map(chosen, found), key=lambda event: event.seq)
    query = search_of(here, asked.filters)
    return choose(here, replace(query, before_seq=asked.to + 1 if asked.to else None), most=AT_ONCE)
