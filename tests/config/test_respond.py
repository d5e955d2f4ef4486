"""The key `respond` with `wait`."""

from __future__ import annotations

from config.webhooks import Webhook


def test_a_delivery_may_wait_up_to_a_minute_for_a_place_in_the_output() -> None:
    written = {"wait": "1m", "output": "$.reply.text", "status": 201, "content_type": "text/html"}
    webhook = Webhook.model_validate({"name": "a", "starts": [{"workflow": "w"}], "respond": written})
    assert webhook.respond is not None
    assert (webhook.respond.wait, webhook.respond.output) == (60.0, "$.reply.text")


def test_nobody_waits_unless_it_is_asked_for() -> None:
    webhook = Webhook.model_validate({"name": "a", "receivers": {"w": 1}, "respond": {"body": "thanks"}})
    assert webhook.respond is not None
    assert (webhook.respond.wait, webhook.respond.output) == (None, None)
