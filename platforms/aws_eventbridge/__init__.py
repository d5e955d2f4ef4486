"""Amazon EventBridge: API destinations whose connection has an API key."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import HeaderEquals


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-target-connection-auth.html
class AmazonEventBridge(Platform):
    name = "aws-eventbridge"
    title = "Amazon EventBridge"
    purpose = "events of an event bus, by API destination"
    types = ("$['detail-type']",)
    summary = (Value("$.source", before="from "),)
    made_by = "us"
    secret_label = "API key"
    verifier = HeaderEquals("X-Api-Key")
    id_at = ("id",)


PLATFORM = AmazonEventBridge()
