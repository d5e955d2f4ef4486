"""Azure Event Grid with its own schema; for the CloudEvents schema there is `cloudevents`."""

from platforms.base import Platform, at
from platforms.bodies import BadBody, read_body
from platforms.http import Request, Response, json_response
from platforms.verifiers import Bearer, Credentials

_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_LARGEST_VALIDATION = 16 * 1024
"""Bytes of a body that is read before anything is proven."""


# https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-event-grid-events-schema
class AzureEventGrid(Platform):
    name = "azure-event-grid"
    title = "Azure Event Grid"
    purpose = "events of Azure services and topics, in Event Grid's schema"
    types = ("$.eventType",)
    summary = ("$.subject",)
    made_by = "us"
    secret_label = "Bearer token"
    verifier = Bearer()
    challenge_only = True
    batches = True
    """The events, each of which becomes one."""
    element_id_at = ("id",)
    element_scope_at = ("topic",)

    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """A validation event carries a code, which is returned."""
        if request.headers.get("aeg-event-type", "").lower() != "subscriptionvalidation":
            return None
        if request.method != "POST" or len(request.body) > _LARGEST_VALIDATION:
            return None
        try:
            value = read_body(request.body, None, always_json=True).value
        except BadBody:
            return None
        event = value[0] if isinstance(value, list) and len(value) == 1 else None
        code = (
            at(event, "data", "validationCode") if at(event, "eventType") == _VALIDATION else None
        )
        return json_response({"validationResponse": code}) if code is not None else None


PLATFORM = AzureEventGrid()
