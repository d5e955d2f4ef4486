"""ClickUp."""

from typing import Any

from platforms.base import Platform, member
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://developer.clickup.com/docs/webhooksignature
class ClickUp(Platform):
    name = "clickup"
    title = "ClickUp"
    purpose = "tasks, lists and goals changed"
    types = ("$.event",)
    summary = (
        Value("$.task_id", before="task "),
        Value("$.list_id", before="list "),
        "$.history_items[0].field",
        Value("$.history_items[0].user.username", before="by "),
    )
    verifier = Hmac(header="X-Signature")

    def may_come_again(self, value: Any) -> bool:
        """What has no history says only what has changed, such as a goal, and not when."""
        return member(value, "event") is not None and not member(value, "history_items")


PLATFORM = ClickUp()
