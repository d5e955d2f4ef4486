"""Salesforce: outbound messages, in SOAP. Nothing is signed: Salesforce proves itself by a client
certificate."""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from platforms.base import Platform, at
from platforms.bodies import MAX_DEPTH, Body, MalformedBody, refuse_unstorable
from platforms.http import Request, Response

_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_ROOT = (f"{_SOAP} Envelope", f"{_SOAP} Body", f"{_OUTBOUND} notifications")
_OF_ALL = ("OrganizationId", "ActionId", "EnterpriseUrl", "PartnerUrl")
"""What a message says of all its notifications. `SessionId` is left out: it acts for the user."""
_MOST_ELEMENTS = 50_000
"""A message has at most a hundred notifications."""
_ACKNOWLEDGED = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope'
    f' xmlns:soapenv="{_SOAP}"><soapenv:Body>'
    f'<notificationsResponse xmlns="{_OUTBOUND}"><Ack>true</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
).encode()


class _Element:
    """An element that is being read."""

    def __init__(self, name: str, attributes: dict[str, str]):
        self.name = name
        self.type = attributes.get(f"{_XSI} type", "").rpartition(":")[2]
        self.is_nil = attributes.get(f"{_XSI} nil") in ("true", "1")
        self.text: list[str] = []
        self.children: dict[str, Any] = {}
        self._repeated: set[str] = set()

    def add(self, name: str, value: Any) -> None:
        if name not in self.children:
            self.children[name] = value
        elif name in self._repeated:
            self.children[name].append(value)
        else:
            self.children[name] = [self.children[name], value]
            self._repeated.add(name)

    @property
    def value(self) -> Any:
        """Its elements, or its text; None for `xsi:nil`."""
        if self.is_nil:
            return None
        typed = {"type": self.type} if self.type and self.children else {}
        return typed | self.children if self.children else "".join(self.text)


class _Reader:
    """Builds the value of a message from what the parser meets, without namespaces."""

    def __init__(self) -> None:
        self._open: list[_Element] = []
        self._left = _MOST_ELEMENTS
        self.message: Any = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self._open)
        if depth < len(_ROOT) and (name != _ROOT[depth] or self.message is not None):
            raise MalformedBody("not an outbound message of Salesforce")
        if depth >= MAX_DEPTH:
            raise MalformedBody(f"the body is nested deeper than {MAX_DEPTH}")
        if self._left == 0:
            raise MalformedBody(f"the body has more than {_MOST_ELEMENTS} elements")
        self._left -= 1
        self._open.append(_Element(name.rpartition(" ")[2], attributes))

    def end(self, _name: str) -> None:
        element = self._open.pop()
        if len(self._open) == len(_ROOT) - 1:
            self.message = element.value
        elif self._open:
            self._open[-1].add(element.name, element.value)

    def text(self, text: str) -> None:
        self._open[-1].text.append(text)

    def declare(self, _version: str, charset: str | None, _standalone: int) -> None:
        """Salesforce sends UTF-8."""
        if (charset or "utf-8").lower() != "utf-8":
            raise MalformedBody("the body is in another charset than UTF-8")

    def refuse(self, *_: object) -> None:
        """No document type, so no entities: SOAP forbids them, and they could grow or fetch
        anything."""
        raise MalformedBody("the body has a document type")


def _message(body: bytes) -> Any:
    """The element `notifications`. Raises MalformedBody."""
    # A charset that the message named would be looked up in `codecs`, which forgets no name.
    reader, parser = _Reader(), ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.text, reader.refuse
    parser.XmlDeclHandler = reader.declare
    try:
        parser.Parse(body, True)
    except ExpatError as error:
        raise MalformedBody(f"the body is not XML: line {error.lineno}") from None
    return reader.message


# https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_security.htm
class Salesforce(Platform):
    name = "salesforce"
    title = "Salesforce"
    purpose = "records created or changed, by outbound message"
    types = ("$.sObject.type",)
    summary = ("$.sObject.Name", "$.sObject.Id")
    made_by = "nobody"
    confirmed = False
    required = frozenset()
    proofs = ("mtls", "none")
    secret_in_body = True
    # https://developer.salesforce.com/docs/platform/api/guide/sforce-api-om-outboundmessaging-wsdl.html
    # Salesforce sends anything again that isn't acknowledged so, for 24 hours.
    answer = Response(200, _ACKNOWLEDGED, "text/xml; charset=utf-8")

    # https://developer.salesforce.com/docs/platform/api/guide/sforce-api-om-outboundmessaging-wsdl.html
    def read(self, request: Request, signed: bool) -> Body:
        """The notifications, each of which becomes an event with what the message says of all."""
        message = _message(request.body)
        if not isinstance(message, dict):
            raise MalformedBody("an outbound message without notifications")
        found = message.get("Notification")
        notifications = [
            one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)
        ]
        if not notifications or (isinstance(found, list) and len(notifications) < len(found)):
            raise MalformedBody("an outbound message without notifications")
        value = [
            {name: message[name] for name in _OF_ALL if name in message} | one
            for one in notifications
        ]
        refuse_unstorable(value)
        return Body(value, batch=True)

    # https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_notifications.htm
    def element_id(self, element: Any) -> str | None:
        """The notification's id, which is the same when it is sent again."""
        organization, identifier = at(element, "OrganizationId"), at(element, "Id")
        return f"{organization} {identifier}" if organization and identifier else None


PLATFORM = Salesforce()
