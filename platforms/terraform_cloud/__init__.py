"""HCP Terraform, formerly Terraform Cloud, and Terraform Enterprise: notifications of a workspace."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Response, json_response
from platforms.verifiers import Credentials, Hmac


# https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations#notification-authenticity
class TerraformCloud(Platform):
    name = "terraform-cloud"
    title = "HCP Terraform (Terraform Cloud)"
    purpose = "runs of a workspace, and drift"
    types = ("$.notifications[0].trigger",)
    summary = ("$.workspace_name", "$.run_message", "$.notifications[0].run_status")
    made_by = "us"
    secret_label = "Token"
    verifier = Hmac(header="X-TFE-Notification-Signature", algorithm="sha512")

    # https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations#notification-verification-and-delivery-responses
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """When a notification is enabled, its URL must answer a delivery that is no event."""
        found = value.get("notifications") if isinstance(value, dict) else None
        notifications = found if isinstance(found, list) else []
        triggers = [at(notification, "trigger") for notification in notifications]
        return json_response({}) if triggers == ["verification"] else None


PLATFORM = TerraformCloud()
