"""Erases what one event says, such as a person's data."""

from __future__ import annotations

import time

from admin.bridge import Bridge
from admin.errors import CantDo

_AGAIN = 0.5
"""Seconds between two looks whether the event is over."""


class CantErase(CantDo):
    """The event isn't over; the text says what to do."""


def erase(bridge: Bridge, event_id: str, patience: float = 0.0) -> None:
    """Erases payload, headers and answers of an event; ids, times and targets stay.

    While a call for it is in flight, waits for its end, `patience` seconds at most. Raises NotFound, CantErase,
    StoreUnavailable.
    """
    event, until = bridge.event(event_id), time.monotonic() + patience
    while not bridge.store.erasures.erase(event.id):
        if time.monotonic() >= until:
            raise CantErase(
                f"event {event.id} is still pending: its workflows need its payload. Try again once it is over, or "
                "remove what it waits for: its hold, or its webhook"
            )
        time.sleep(_AGAIN)
