"""The one error of every verifier."""

from __future__ import annotations


class Refused(Exception):
    """The request is not proven to come from the webhook's sender.

    The reason is for the people who run the bridge; the sender never sees it. It contains nothing
    secret, and nothing of unbounded length from the request.
    """

    def __init__(self, reason: str, status: int = 401):
        super().__init__(reason)
        self.reason = reason
        self.status = status


class CannotSign(Exception):
    """The bridge can't sign like this platform; the text says why."""
