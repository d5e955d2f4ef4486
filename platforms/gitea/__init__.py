"""Gitea."""

from typing import Any

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac

_TIMELESS = frozenset({"commits", "page", "ref_type"})
"""Keys of pushes, of wiki pages, and of branches and tags created and deleted, which have no time of their own."""


# https://docs.gitea.com/usage/webhooks
class Gitea(Platform):
    name = "gitea"
    title = "Gitea"
    purpose = "pushes, pull requests, issues and releases"
    types = (
        Value("$.pusher", word="push"),
        Value("$.page", word="wiki"),
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
        "$.page",
    )
    made_by = "us"
    verifier = Hmac(header="X-Gitea-Signature")
    id_headers = ("x-gitea-delivery",)

    def may_come_again(self, value: Any) -> bool:
        return isinstance(value, dict) and not _TIMELESS.isdisjoint(value)


PLATFORM = Gitea()
