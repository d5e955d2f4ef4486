"""How long events are kept, and what a platform repeats."""

from __future__ import annotations

from typing import Any

import pytest

from admin.check.advice import on_retention
from config.webhooks import Webhook

HOUR = 3600.0


def webhook(**keys: Any) -> Webhook:
    return Webhook.model_validate({"name": "a", "receivers": {"flow": "any"}} | keys)


def test_a_retention_within_which_platforms_repeat_deliveries_is_a_warning() -> None:
    [found] = on_retention(2 * HOUR, [])
    assert found.level == "warning"
    assert str(found) == (
        "what a platform delivers again more than 2h later is an event again; "
        "write 1d or more: platforms repeat deliveries for hours or days"
    )
    assert on_retention(24 * HOUR, []) == []


def test_a_retention_below_the_window_of_a_webhook_is_an_error() -> None:
    """What it accepts again would be an event again."""
    paypal = webhook(name="sales", platform="paypal", secret="9XL90610J3647323C")
    [found] = on_retention(
        48 * HOUR, [webhook(platform="slack", secret="0123456789abcdef"), paypal]
    )
    assert found.level == "error"
    assert str(found) == (
        "webhook sales accepts what was signed 4d ago, and after 2d forgets it; "
        "write 4d or more, or give the webhook a shorter tolerance"
    )
    assert on_retention(96 * HOUR, [paypal]) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"platform": "paypal", "secret": "9XL90610J3647323C", "tolerance": "1d"},
        {"platform": "sendgrid", "secret": "x"},
        {"signature": {"secret": "0123456789abcdef", "header": "X-Sig"}},
    ],
)
def test_a_shorter_window_or_none_is_no_error(keys: dict[str, Any]) -> None:
    assert on_retention(24 * HOUR, [webhook(**keys)]) == []
