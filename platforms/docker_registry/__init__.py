"""Notifications of a container registry: the registry of the image `registry`, and others built on Distribution."""

from typing import Any

from platforms.base import Platform, at, together
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Bearer


# https://distribution.github.io/distribution/about/notifications/
class DockerRegistry(Platform):
    name = "docker-registry"
    title = "Docker registry"
    purpose = "images pushed, pulled or deleted"
    types = ("$.events[0].action",)
    summary = ("$.events[0].target.repository", Value("$.events[0].target.tag", before=":"))
    made_by = "us"
    secret_label = "Bearer token"
    verifier = Bearer()

    def delivery_id(self, request: Request, value: Any) -> str | None:
        events = value.get("events") if isinstance(value, dict) else None
        return together([at(event, "id") for event in events]) if isinstance(events, list) else None


PLATFORM = DockerRegistry()
