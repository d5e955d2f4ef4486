"""The signed examples and challenges of `vectors.json`, and the webhooks that receive them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platforms.verifiers import KeysUnavailable
from tests.support.certificates import reissued

VECTORS: dict[str, Any] = json.loads(
    Path(__file__).with_name("vectors.json").read_text(encoding="utf-8")
)
NO_TIME = "zendesk/published-zendesk-go-test"
"""A library's own test, whose time is `1234`. Zendesk sends RFC 3339, and a time that can't be read
has no age."""
NAMES = {
    "msteams": "microsoft-teams",
    "standardwebhooks": "standard-webhooks",
    "msgraph": "microsoft-graph",
    "gitlab-signing-token": "gitlab",
}
"""The examples' spelling → ours."""


def platform_of(example: dict[str, Any]) -> str:
    """Our name of the example's platform."""
    return NAMES.get(example["platform"], example["platform"])


def definition(vector: dict[str, Any], with_tolerance: bool) -> dict[str, Any]:
    """The webhook that receives this example."""
    platform = platform_of(vector)
    webhook: dict[str, Any] = {"name": "hook", "platform": platform, "public_url": vector["url"]}
    if platform == "custom":
        scheme = vector["scheme"]
        if scheme["algorithm"].startswith("none"):
            webhook["headers"] = {scheme["header"]: vector["secret"]}
        else:
            webhook["signature"] = {"secret": vector["secret"], **scheme}
    elif platform == "google-pubsub":
        webhook |= {
            "audience": vector["audience"],
            "service_account": vector["service_account_email"],
        }
    elif platform == "aws-sns":
        webhook["topic"] = "arn:aws:sns:us-west-2:123456789012:MyTopic"
    else:
        webhook["secret"] = vector["secret"]
    if with_tolerance and vector["tolerance_s"] is not None:
        webhook["tolerance"] = f"{vector['tolerance_s']}s"
    return webhook


def fetch_for(vector: dict[str, Any]) -> Any:
    """Serves the example's certificate where the vendor would."""

    def fetch(url: str, **_: Any) -> bytes:
        if url == "https://www.googleapis.com/oauth2/v1/certs":
            return json.dumps({"kid1": vector["secret"]}).encode()
        if url.startswith("https://sns.us-west-2.amazonaws.com/"):
            return reissued(vector["secret"])
        raise KeysUnavailable(url)

    return fetch
