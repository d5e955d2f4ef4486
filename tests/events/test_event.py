"""The records' own small rules."""

from __future__ import annotations

import time
import uuid

from events.records import Event, iso, new_event_id


def event(payload: str = "{}") -> Event:
    at = 1_700_000_000_123
    return Event(1, "id", "w", at, None, payload, {"h": "v"}, {"q": "1"}, "pending", at, None, 0, None, None)


def test_event_ids_are_uuid_7_and_sort_by_the_time_of_their_making() -> None:
    ids = [new_event_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    first = uuid.UUID(ids[0])
    assert first.version == 7
    assert abs((first.int >> 80) / 1000 - time.time()) < 60


def test_times_are_iso_8601_in_utc_with_milliseconds() -> None:
    assert iso(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert iso(1_700_000_000_000) == "2023-11-14T22:13:20.000Z"
    assert iso(None) is None


def test_the_document_is_the_payload_with_what_is_known_of_the_delivery() -> None:
    assert event('{"a": 1}').document() == {
        "a": 1,
        "_webhook": {
            "name": "w",
            "eventId": "id",
            "receivedAt": "2023-11-14T22:13:20.123Z",
            "headers": {"h": "v"},
            "query": {"q": "1"},
        },
    }


def test_a_sender_cannot_pretend_to_be_the_metadata() -> None:
    assert event('{"_webhook": {"name": "forged"}}').document()["_webhook"]["name"] == "w"
    assert event('{"_webhook": {"name": "forged"}, "a": 1}').document(metadata=False) == {"a": 1}
