"""The records' own small rules."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace

import pytest

from criteria.missing import MEMBERS
from store.records import Event, new_event_id


def event(payload: str = "{}") -> Event:
    at = 1_700_000_000_123
    return Event(
        seq=1,
        id="id",
        webhook="w",
        received_at=at,
        delivery_id=None,
        payload=payload,
        headers={"h": "v"},
        query={"q": "1"},
        status="pending",
        hold_until=at,
        decided_at=None,
        hold=0,
        settled_at=None,
        replay_of=None,
    )


def test_event_ids_are_uuid_7_and_sort_by_the_time_of_their_making() -> None:
    began = int(time.time() * 1000)
    ids = [new_event_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    first = uuid.UUID(ids[0])
    assert first.version == 7
    assert began <= first.int >> 80 <= time.time() * 1000


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


def test_all_that_the_metadata_may_have_is_known_where_paths_are_checked() -> None:
    complete = replace(event(), claims={"sub": "s"}, enclosing={"batch": 1})
    assert tuple(complete.document()["_webhook"]) == MEMBERS


def test_a_sender_cannot_pretend_to_be_the_metadata() -> None:
    assert event('{"_webhook": {"name": "forged"}}').document()["_webhook"]["name"] == "w"
    assert event('{"_webhook": {"name": "forged"}, "a": 1}').document(metadata=False) == {"a": 1}


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize(
    "payload",
    [
        "{}",
        " { } ",
        '{"a": 1.50, "b": [1e5, "\u00e9\\u00e9"]}',
        '{"_webhook": {"name": "forged"}, "a": 1}',
        '{"\\u005FWebhook": 1, "\\u005fwebhook": {"name": "forged"}}',
        '{"_web\\u0068ook": {"name": "forged"}}',
    ],
)
def test_the_text_for_conductor_says_what_tasks_match_on(payload: str, metadata: bool) -> None:
    text = event(payload).text(metadata)
    assert json.loads(text) == event(payload).document(metadata)
    keys: list[str] = []
    json.loads(text, object_pairs_hook=lambda pairs: keys.extend(key for key, _ in pairs))
    assert keys.count("_webhook") == metadata, "a server may take either of two"


def test_numbers_reach_conductor_as_they_were_written() -> None:
    assert '"a": 1.50' in event('{"a": 1.50}').text()


def test_a_stored_payload_that_is_no_object_is_no_text_for_conductor() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        event("garbage").text()
