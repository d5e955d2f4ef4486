"""What people ask a list of events for: the same words on the page, the command line and in the
API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, get_args

from pydantic import Field, field_validator

from admin.api_object import ApiObject
from admin.bridge import Bridge
from admin.search import BadFilter, Search, Where, split_condition
from config.quantities import parse_duration
from criteria.suggestions import did_you_mean
from store.records import EventStatus, Waiting
from store.sql.event_search import EventFilter

STATUSES: tuple[str, ...] = (*get_args(EventStatus), *get_args(Waiting), "unresolved", "resolved")
"""What a list can be asked for: the statuses, what pending events wait for, failed events that
still need somebody, and those that a replay resolved."""
_MOST_CONDITIONS = 10


class OfWebhook(ApiObject):
    webhook: str | None = Field(None, description="only those of this webhook")


class Parts(OfWebhook):
    """The parts of a filter, for page, API and command line alike."""

    status: str | None = Field(
        None,
        description=(
            "only those with this status; held, paused, retrying, quarantined: what pending ones"
            " wait for; unresolved: failed, neither acknowledged nor resolved; resolved: by a"
            " replay"
        ),
        json_schema_extra={"enum": list(STATUSES)},
    )
    type: str | None = Field(
        None, description="only those of this type, or of types that begin like 'invoice.*'"
    )
    text: str | None = Field(
        None, description="only those with this text in their id, delivery id or payload"
    )
    where: list[str] = Field(
        [], description="only those with this value there: $.path=value; may be repeated"
    )
    failure: str | None = Field(None, description="only those that failed for this reason")
    since: str | None = Field(
        None, description="only those since then: 2h means two hours ago, or 2026-01-31T12:00 (UTC)"
    )
    until: str | None = Field(None, description="only those before then")

    @field_validator("where", mode="before")
    @classmethod
    def _where(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


PARTS = tuple(Parts.model_fields)
"""Their names."""


def parts_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a filter among these values, as they are repeated in links; conditions are one
    per line."""
    found = {}
    for name in PARTS:
        value = given.getlist(name) if hasattr(given, "getlist") else given.get(name)
        values = value if isinstance(value, (list, tuple)) else [value]
        if text := "\n".join(value.strip() for value in values if value and value.strip()):
            found[name] = text if name == "where" else text.splitlines()[0]
    return found


def search_of(bridge: Bridge, parts: Mapping[str, str]) -> Search:
    """What the parts ask for. Raises BadFilter, and NotFound for a webhook that was never there."""
    status, failure = parts.get("status"), parts.get("failure")
    if status is not None and status not in STATUSES:
        raise BadFilter(f"there is no status {status}: {did_you_mean(status, STATUSES)}")
    check_webhook(bridge, parts.get("webhook"))
    since, until = (_time_of(parts.get(name)) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        raise BadFilter("since must be before until")
    waiting: Any = status if status in get_args(Waiting) else None
    stored: Any = status if status in get_args(EventStatus) else None
    if failure is not None:
        stored, waiting = "failed", None
    return Search(
        webhook=parts.get("webhook"),
        status=stored,
        unresolved=status == "unresolved",
        resolved=status == "resolved",
        waiting=waiting,
        type=parts.get("type"),
        text=parts.get("text"),
        where=_conditions(parts.get("where", "")),
        failure=failure,
        since=since,
        until=until,
    )


def _conditions(text: str) -> tuple[Where, ...]:
    lines = text.splitlines()
    if len(lines) > _MOST_CONDITIONS:
        raise BadFilter(f"at most {_MOST_CONDITIONS} conditions can be given")
    return tuple(Where(*split_condition(line)) for line in lines)


def check_webhook(bridge: Bridge, name: str | None) -> None:
    """Raises NotFound, with the names there are, for a webhook that isn't defined and has never
    received anything.

    While definitions can't be read, any webhook may be in them.
    """
    if name is None or name in bridge.definitions.by_name or bridge.definitions.errors:
        return
    store = bridge.store
    has_any = store.queries.events(
        EventFilter(name, limit=1, listing=True)
    ) or store.without_events.rejections(name, 1)
    if not has_any:
        bridge.webhook(name)


def _time_of(text: str | None) -> int | None:
    """Unix milliseconds of ``2h`` (ago), ``2026-01-31`` or ``2026-01-31T12:00`` (UTC unless it says
    otherwise)."""
    if text is None:
        return None
    try:
        return int(time.time() * 1000) - int(parse_duration(text) * 1000)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
    except ValueError:
        raise BadFilter(
            f"{text!r} is not a time: write a duration, such as 2h, or 2026-01-31T12:00 in UTC"
        ) from None
    return int(
        (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000
    )


def names_for(bridge: Bridge, chosen: str | None) -> Sequence[str]:
    """The webhooks that a list offers."""
    return sorted({*bridge.definitions.by_name, *filter(None, [chosen])})
