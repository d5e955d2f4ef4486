"""Notifications of a container registry: the registry of the image `registry`, and others built on Distribution."""

from platforms.base import Platform
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
    events_at = ("events",)
    element_id_at = ("id",)


PLATFORM = DockerRegistry()
