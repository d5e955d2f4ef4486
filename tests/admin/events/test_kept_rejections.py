"""Rejected deliveries that were kept: what people see of them, and how they become events."""

from __future__ import annotations

import json

import pytest

from admin.bridge import Bridge
from admin.errors import NotFound
from admin.events.kept_rejections import ALL, KeptRejections
from config.webhooks import load_definitions
from platforms import PLATFORMS
from relay.retry import StillRejected
from store.records import NewEvent, new_event_id
from store.sql.event_search import EventFilter
from tests.support.sample import KEEPING, Sample, keep_refused


def refused(sample: Sample) -> KeptRejections:
    return KeptRejections(sample.bridge())


def having(sample: Sample, setting: str) -> KeptRejections:
    """With this setting in the definition."""
    file = sample.settings.bridge_webhooks
    file.write_text(
        KEEPING.replace("    keep_rejected: 100\n", f"    keep_rejected: 100\n    {setting}\n")
    )
    return KeptRejections(
        Bridge(sample.settings, sample.store, load_definitions(file, PLATFORMS, {}))
    )


def test_a_delivery_becomes_one_event_however_often_it_is_retried(sample: Sample) -> None:
    kept_id = keep_refused(sample)
    first = refused(sample).delivery(kept_id)
    accepted = refused(sample).accept(first)
    event = sample.bridge().event(accepted.event_id)
    assert json.loads(event.payload) == {"ref": "kept"}
    assert not accepted.duplicate
    # Somebody else had read it before, and retries it too.
    again = refused(sample).accept(first)
    assert (again.event_id, again.duplicate) == (accepted.event_id, True)
    with pytest.raises(StillRejected, match=accepted.event_id):
        refused(sample).accept(refused(sample).delivery(kept_id))


def test_what_makes_no_event_is_not_said_to_be_acceptable(sample: Sample) -> None:
    kept_id = keep_refused(sample)
    assert refused(sample).acceptable() == {"github-deploys": (1, 1)}
    choosing = having(sample, "only: {$.ref: another}")
    assert choosing.acceptable() == {}
    assert "another" in (choosing.shown(kept_id).still_rejected or "")


def test_what_the_sender_has_sent_again_meanwhile_is_not_delivered_twice(sample: Sample) -> None:
    one, other = keep_refused(sample), keep_refused(sample)
    first = refused(sample).accept(refused(sample).delivery(one))
    done = refused(sample).retry([other], ALL)
    assert dict(done.left_out) == {"its event was there already": 1}
    assert refused(sample).delivery(other).event_id == first.event_id


def test_those_that_somebody_else_accepted_meanwhile_are_counted_together(sample: Sample) -> None:
    ids = [keep_refused(sample), keep_refused(sample)]
    for _ in range(2):
        done = refused(sample).retry(ids, ALL)
    assert dict(done.left_out) == {"it was accepted meanwhile": 2}


def test_it_arrives_now_behind_what_came_meanwhile(sample: Sample) -> None:
    kept_id = keep_refused(sample)
    later = new_event_id()
    sample.store.deliveries.append(
        [NewEvent(later, "github-deploys", sample.store.now(), "{}", {}, {}, 0)]
    )
    accepted = refused(sample).accept(refused(sample).delivery(kept_id))
    newest = sample.store.queries.events(EventFilter(limit=2))
    assert [event.id for event in newest] == [accepted.event_id, later]


def test_a_retry_verifies_the_webhook(sample: Sample) -> None:
    sample.store.verifications.set_verified("github-deploys", "keyed:another", 1)
    assert sample.bridge().verified_at()["github-deploys"] is None
    kept_id = keep_refused(sample)
    refused(sample).accept(refused(sample).delivery(kept_id))
    assert sample.bridge().verified_at()["github-deploys"] is not None


def test_a_webhook_that_is_gone_accepts_nothing(sample: Sample) -> None:
    keep_refused(sample, webhook="gone")
    kept = refused(sample)
    assert dict(kept.plan(kept.of("gone")).refused) == {
        "the webhook gone isn't defined, or its definition has errors": 1
    }


def test_an_unknown_one_is_not_found(sample: Sample) -> None:
    with pytest.raises(NotFound, match="keep_rejected"):
        refused(sample).delivery("unknown")


def test_people_see_no_signature(sample: Sample) -> None:
    kept_id = keep_refused(sample)
    shown = refused(sample).shown(kept_id)
    assert shown.headers["x-hub-signature-256"] == "***"
    assert shown.headers["x-github-event"] == "push"
    assert (shown.payload, shown.query) == ({"ref": "kept"}, {"page": "2"})


def test_nothing_is_shown_where_something_is_hidden(sample: Sample) -> None:
    shown = having(sample, "hide: [$.card]").shown(
        keep_refused(sample, b'{"card": "4111", "ref": "a"}')
    )
    assert (shown.headers, shown.query, shown.payload) == ({}, {}, None)


@pytest.mark.parametrize("body", [b"\xff\x00", b"{", b"[" * 1000, b'{"card": "4111"'])
def test_nothing_is_shown_of_a_body_that_cannot_be_read(body: bytes, sample: Sample) -> None:
    shown = refused(sample).shown(keep_refused(sample, body))
    assert shown.payload is None
    assert shown.still_rejected


def test_a_query_that_cannot_be_read_is_left_out(sample: Sample) -> None:
    kept_id = keep_refused(sample, query="a=%00")
    shown = refused(sample).shown(kept_id)
    assert (shown.query, shown.payload) == ({}, {"ref": "kept"})
    assert "NUL" in (shown.still_rejected or "")


def test_nothing_is_shown_once_nobody_knows_what_to_hide(sample: Sample) -> None:
    shown = refused(sample).shown(keep_refused(sample, webhook="never-defined"))
    assert shown.payload is None
    assert set(shown.headers.values()) <= {"***"}
    assert shown.query == {}
