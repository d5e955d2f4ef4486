"""Azure DevOps: the service hook *Web Hooks*. The secret is the basic authentication's password, or user:password."""

from typing import Any

from platforms.base import Platform, at, within
from platforms.http import Request
from platforms.verifiers import Basic


# https://learn.microsoft.com/en-us/azure/devops/service-hooks/services/webhooks
class AzureDevOps(Platform):
    name = "azure-devops"
    title = "Azure DevOps"
    purpose = "pushes, pull requests, builds and work items"
    types = ("$.eventType",)
    summary = ("$.message.text",)
    made_by = "us"
    secret_label = "Password"
    verifier = Basic()

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """One event may be sent for several subscriptions."""
        return within(at(value, "subscriptionId"), at(value, "id"))


PLATFORM = AzureDevOps()
