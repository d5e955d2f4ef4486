"""CloudEvents over HTTP: structured, binary and batched, with the webhook handshake (as in Azure
Event Grid).

Whatever an event's mode, its payload is the event as an object: `$.type`, `$.source`, `$.data…`.
The secret is the token of the Authorization header.
"""

import base64
import re
from typing import Any
from urllib.parse import unquote

from platforms.base import Accepted, Platform, at, together
from platforms.bodies import Body, MalformedBody, UnreadableMediaType, read_body, refuse_unstorable
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import Bearer, Credentials, Refused
from platforms.verifiers.compare import header_bytes

_STRUCTURED = "application/cloudevents"
_BATCH = "application/cloudevents-batch"
_ATTRIBUTE = re.compile(r"ce-([a-z0-9]+)")
_NEEDED = ("id", "source", "type")


def _checked(body: Body) -> Body:
    event = body.value
    if not isinstance(event, dict):
        raise MalformedBody("a CloudEvent that is not a JSON object")
    if event.get("specversion") != "1.0":
        raise MalformedBody("a CloudEvent whose specversion isn't 1.0")
    for name in _NEEDED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise MalformedBody(f"a CloudEvent without {name}")
    return body


def _decoded(value: str) -> str:
    """Decodes a header's value: percent-encoded UTF-8, possibly quoted."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(header_bytes(value).decode("utf-8", "replace"), "utf-8", "replace")


def _data(body: bytes, content_type: str) -> dict[str, Any]:
    """The event's data as JSON or text or, if it is neither, in base64, as in the JSON event
    format."""
    if not body:
        return {}
    try:
        read = read_body(body, content_type)
    except UnreadableMediaType:
        read = None
    except MalformedBody:
        if content_type:
            raise
        read = None
    if read is None:
        return {"data_base64": base64.b64encode(body).decode("ascii")}
    is_text = read.text is None and list(read.value) == ["request"] and "form" not in content_type
    return {"data": read.value["request"] if is_text else read.value}


# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md
class CloudEvents(Platform):
    name = "cloudevents"
    title = "CloudEvents"
    purpose = (
        "anything that sends CloudEvents: Azure Event Grid, Knative, Eventarc, Argo and others"
    )
    types = ("$.type",)
    summary = ("$.subject", Value("$.source", before="from "))
    made_by = "us"
    secret_label = "Bearer token"
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#31-oauth-20-bearer-token
    verifier = Bearer()
    challenge_only = True
    challenge_methods = frozenset({"OPTIONS"})

    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
    # https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-cloud-events-schema
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The sender asks whether, and at which rate, it may send: it may, at any."""
        origin = request.headers.get("webhook-request-origin", "")
        if request.method != "OPTIONS":
            return None
        if not origin or not origin.isascii() or not origin.isprintable():
            raise Refused("no WebHook-Request-Origin in the OPTIONS request")
        allowed = (
            ("WebHook-Allowed-Origin", origin),
            ("WebHook-Allowed-Rate", "*"),
            ("Allow", "OPTIONS, POST"),
        )
        return Response(200, b"", None, allowed)

    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3-http-message-mapping
    def read(self, request: Request, signed: bool) -> Body:
        """The event as an object, or a batch as a list of events.

        With a `signature:` over the body, a binary event is refused: its attributes are in unsigned
        headers.
        """
        content_type = request.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type.startswith(_STRUCTURED):
            body = read_body(request.body, content_type)  # of the formats, only JSON is supported
            if not media_type.startswith(_BATCH):
                return _checked(body)
            if not isinstance(body.value, list):
                raise MalformedBody("the batch of CloudEvents is not a JSON array")
            for event in body.value:
                _checked(Body(event))
            return Body(body.value, body.text, batch=True)
        attributes = {
            match[1]: _decoded(value)
            for name, value in request.headers.items()
            if (match := _ATTRIBUTE.fullmatch(name)) and match[1] not in ("data", "datacontenttype")
        }
        if not attributes:
            raise MalformedBody(
                "not a CloudEvent: neither ce-… headers nor the content type"
                " application/cloudevents+json"
            )
        if signed:
            raise MalformedBody(
                "the event's attributes are in headers, which are not signed; send structured"
                " events"
            )
        refuse_unstorable(attributes)
        if content_type:
            attributes["datacontenttype"] = content_type
        return _checked(Body(attributes | _data(request.body, content_type)))

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return self.element_id(value)

    def element_id(self, element: Any) -> str | None:
        """`id` is unique among the events of one `source`."""
        source, event_id = at(element, "source"), at(element, "id")
        if source is None or event_id is None:
            return None
        return f"{source} {event_id}" if " " not in source else together([source, event_id])

    def respond(self, accepted: Accepted) -> Response:
        """A batch, even of one event, gets a list of ids."""
        if isinstance(accepted.value, list) and "eventId" in accepted.fields:
            rest = {name: value for name, value in accepted.fields.items() if name != "eventId"}
            return json_response({"eventIds": list(accepted.event_ids), **rest})
        return json_response(accepted.fields)


PLATFORM = CloudEvents()
