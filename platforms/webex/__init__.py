"""Webex."""

from typing import Any

from platforms.base import Platform, at
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://developer.webex.com/docs/receive-and-verify-webhooks
class Webex(Platform):
    name = "webex"
    title = "Webex"
    purpose = "messages, rooms and meetings"
    types = ("$.resource",)
    summary = ("$.event", Value("$.data.personEmail", before="by "))
    made_by = "us"
    verifier = Hmac(header="X-Spark-Signature", algorithm="sha1")

    def may_come_again(self, value: Any) -> bool:
        """What is updated may be updated back, and once more; nothing says when."""
        return at(value, "event") == "updated"


PLATFORM = Webex()
