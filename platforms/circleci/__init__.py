"""CircleCI: outbound webhooks."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://circleci.com/docs/outbound-webhooks/#validate-webhooks
class CircleCI(Platform):
    name = "circleci"
    title = "CircleCI"
    purpose = "workflows and jobs completed"
    types = ("$.type",)
    summary = (
        "$.project.slug",
        Value("$.pipeline.number", before="#"),
        "$.workflow.name",
        "$.workflow.status",
        "$.job.name",
        "$.job.status",
    )
    made_by = "us"
    secret_label = "Secret token"
    answer_within = 10
    verifier = Hmac(header="circleci-signature", prefix="v1=", separator=",")
    id_at = ("id",)


PLATFORM = CircleCI()
