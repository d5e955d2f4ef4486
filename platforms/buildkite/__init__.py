"""Buildkite."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import TimedHmac


# https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature
class Buildkite(Platform):
    name = "buildkite"
    title = "Buildkite"
    purpose = "builds and jobs started or finished"
    types = ("$.event",)
    summary = ("$.pipeline.slug", Value("$.build.number", before="#"), "$.build.state", "$.build.branch", "$.job.name")
    secret_label = "Token"
    verifier = TimedHmac(header="X-Buildkite-Signature", scheme="signature", time="timestamp")
    tolerance = 300
    time_at = ("build", "created_at")


PLATFORM = Buildkite()
