"""A platform's samples as events."""

from __future__ import annotations

import pytest

from admin.events.event_or_sample import sample_events
from config.webhooks import Webhook


def events(platform: str, split: bool = False) -> list[dict[str, object]]:
    webhook = Webhook.model_validate(
        {"name": "hook", "platform": platform, "split": split, "receivers": {"a": "any"}}
    )
    return list(map(dict, sample_events(webhook)))


def test_the_events_of_a_platform_are_its_samples() -> None:
    assert {"ref", "repository"} <= {key for event in events("github") for key in event}
    assert all("MessageSid" in event or "SmsSid" in event for event in events("twilio"))  # a form


def test_an_array_is_one_event_or_several_as_the_webhook_says() -> None:
    assert [list(event) for event in events("hubspot")] == [["request"]]
    assert "subscriptionType" in events("hubspot", split=True)[0]


@pytest.mark.parametrize("platform", ["custom", "cloudevents", "standard-webhooks"])
def test_of_senders_that_send_what_they_like_nothing_is_known(platform: str) -> None:
    assert events(platform) == []
