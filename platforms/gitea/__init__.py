"""Gitea."""

from typing import Any

from platforms.base import Platform, digest
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Hmac

_TIMELESS = frozenset({"commits", "ref_type"})
"""Keys of pushes, and of branches and tags created and deleted: these may come again with the same bytes."""


# https://docs.gitea.com/usage/webhooks
class Gitea(Platform):
    name = "gitea"
    title = "Gitea"
    purpose = "pushes, pull requests, issues and releases"
    types = (
        Value("$.pusher", word="push"),
        Value("$.review", word="review"),
        Value("$.comment", word="comment"),
        Value("$.pull_request", word="pull_request"),
        Value("$.issue", word="issue"),
        Value("$.release", word="release"),
        Value("$.ref_type", word="branch or tag"),
    )
    summary = (
        "$.action",
        "$.repository.full_name",
        Value("$.ref", without="refs/heads/"),
        Value("$.pull_request.number", before="#"),
        "$.pull_request.title",
        Value("$.issue.number", before="#"),
        "$.issue.title",
        "$.release.tag_name",
    )
    made_by = "us"
    verifier = Hmac(header="X-Gitea-Signature")
    id_headers = ("x-gitea-delivery",)

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """As at GitHub: only the unsigned header tells events apart that have no time of their own."""
        identifier = self.header_id(request, value)
        is_timeless = isinstance(value, dict) and not _TIMELESS.isdisjoint(value)
        return digest(identifier, request.body) if identifier and is_timeless else None


PLATFORM = Gitea()
