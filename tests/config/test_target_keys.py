"""The key `respond` with `wait`."""

from __future__ import annotations

import pytest

from config.risks import find_risks
from config.webhooks import Webhook
from platforms import PLATFORMS


def test_a_delivery_may_wait_up_to_a_minute_for_a_place_in_the_output() -> None:
    written = {"wait": "1m", "output": "$.reply.text", "status": 201, "content_type": "text/html"}
    webhook = Webhook.model_validate(
        {"name": "a", "starts": [{"workflow": "w"}], "respond": written}
    )
    assert webhook.respond is not None
    assert (webhook.respond.wait, webhook.respond.output) == (60.0, "$.reply.text")


def test_nobody_waits_unless_it_is_asked_for() -> None:
    webhook = Webhook.model_validate(
        {"name": "a", "receivers": {"w": 1}, "respond": {"body": "thanks"}}
    )
    assert webhook.respond is not None
    assert (webhook.respond.wait, webhook.respond.output) == (None, None)


def warned(wait: str, platform: str = "slack", **more: object) -> list[str]:
    written = {
        "platform": platform,
        "starts": [{"workflow": "w"}],
        "respond": {"wait": wait, "output": "$.a"},
        **more,
    }
    return [f"{problem.what}; {problem.remedy}" for problem in find_risks(written, PLATFORMS)]


def test_a_wait_longer_than_the_platform_has_patience_is_warned_of() -> None:
    (found,) = warned("3s")
    assert found.startswith(
        "slack considers a delivery failed if it isn't answered within 3 seconds; write a shorter"
    )
    assert warned("2s") == []
    assert warned("60s", "custom") == []
    assert warned("nonsense") == []


@pytest.mark.parametrize(
    "platform", sorted(name for name, one in PLATFORMS.items() if one.answer_within)
)
def test_a_platforms_patience_is_a_number_of_seconds(platform: str) -> None:
    assert warned("60s", platform)
