"""MCP Events: a server of the Model Context Protocol posts the events that a client has subscribed to."""

from typing import Any

from platforms.base import at
from platforms.http import Response, json_response
from platforms.standard_webhooks import StandardWebhooksPlatform
from platforms.verifiers import Credentials, StandardWebhooks


# https://github.com/modelcontextprotocol/modelcontextprotocol/pull/3415
class McpEvents(StandardWebhooksPlatform):
    name = "mcp-events"
    title = "MCP Events"
    purpose = "events of MCP servers, by webhook"
    types = ("$.name", "$.type")
    summary = ("$.eventId",)
    made_by = "us"
    made_as_whsec = True
    verifier = StandardWebhooks(prefixes=("webhook",))
    # The header's id is the message's: each message of an event may have its own.
    id_at = ("eventId",)

    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The server sends it before the first event to a URL; an event has no `type`, but may have a challenge."""
        challenge = at(value, "challenge") if at(value, "type") == "verification" else None
        return json_response({"challenge": challenge}) if challenge is not None else None


PLATFORM = McpEvents()
