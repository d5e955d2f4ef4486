"""Explains what the entries of `messages` made of an event: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from admin.explain.context import Context
from admin.explain.entries import what_prevents
from admin.explain.results import MessageExplanation
from config.webhooks import Message, Webhook
from store.hiding import Hidden, shown_of
from store.one_target import OneTarget
from store.records import Event
from store.rules.keys import NoKey, message_key

_OTHERWISE = {
    "start": "if none runs, it is started",
    "hold": "if none runs, the message is held for one",
    "ignore": "if none runs, the message is ignored",
}


def explain_messages(
    event: Event, webhook: Webhook, document: Mapping[str, Any], context: Context
) -> Iterator[MessageExplanation]:
    """In the order of the entries: an event gives each workflow at most one message."""
    hide = context.hide(event.webhook)
    given: set[str] = set()
    for message in webhook.messages:
        found = _explain(message, document, hide, context)
        reason = None
        if found.holds and message.workflow in given:
            reason = f"an earlier entry gives {message.workflow} the message"
        elif found.holds and event.only not in (None, OneTarget("message", message.workflow)):
            reason = f"the event is a replay to one target only: the {event.only}"
        if reason is not None:
            found = MessageExplanation(message, False, reason)
        elif found.holds:
            given.add(message.workflow)
        yield found


def _explain(message: Message, document: Mapping[str, Any], hide: Hidden, context: Context) -> MessageExplanation:
    prevented, criteria = what_prevents(message, document, hide, context)
    if prevented is not None:
        return MessageExplanation(message, False, prevented, criteria)
    try:
        message_key(message.key, document)
    except NoKey as error:
        return MessageExplanation(message, False, f"it has no key: {error}")
    try:
        key = message_key(message.key, shown_of(document, hide))
    except NoKey:  # a part of the path is hidden
        key = "hidden"
    to = f"to the running {message.workflow} whose correlation id is the value at {message.key} ({key})"
    return MessageExplanation(message, True, f"{to}; {_OTHERWISE[message.else_]}")
