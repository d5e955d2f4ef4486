"""Webhooks that Conductor's server has of its own, and what both they and the bridge's answer for. Pure.

No release of Conductor OSS has any. Its development branch and Orkes' server list them at ``GET /metadata/webhook``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from config.webhooks import Webhook

FACT = "conductor_webhooks"
"""The fact in the store: what `as_text` returns; no such fact while it isn't known."""
BRIDGE_HEADER = "X-Webhook-Bridge"
"""In answers of the bridge's own API, which a proxy may have put at Conductor's address."""
_NO_WORKFLOWS = ("idempotencyKey", "idempotencyStrategy")
"""What else stands in `workflowsToStart`."""


@dataclass(frozen=True, slots=True)
class ServerWebhook:
    """What the bridge needs to know of one; nothing of its secret or its headers, which a server may show in clear."""

    name: str
    id: str
    receivers: Mapping[str, int | None] = field(default_factory=dict)
    """workflow → its version; None if it is no certain one."""
    starts: Sequence[str] = field(default_factory=list)
    has_expression: bool = False
    """Whether an expression says which workflows it reaches: they can't be known then."""


def read(answer: Sequence[Any]) -> list[ServerWebhook]:
    """The webhooks of the server's list; what isn't one is left out."""
    return [_read(item) for item in answer if isinstance(item, dict)]


def _read(item: Mapping[str, Any]) -> ServerWebhook:
    receivers, starts = (item.get(key) for key in ("receiverWorkflowNamesToVersions", "workflowsToStart"))
    versions = receivers.items() if isinstance(receivers, dict) else ()
    return ServerWebhook(
        name=str(item.get("name") or ""),
        id=str(item.get("id") or ""),
        receivers={name: version if type(version) is int and version > 0 else None for name, version in versions},
        starts=[name for name in starts if name not in _NO_WORKFLOWS] if isinstance(starts, dict) else [],
        has_expression=bool(item.get("expression")),
    )


# --- as a fact in the store ---


_FACT: TypeAdapter[list[ServerWebhook] | None] = TypeAdapter(list[ServerWebhook] | None)


def as_text(webhooks: list[ServerWebhook] | None) -> str:
    """What `from_text` reads; None stands for a server that can have no webhooks of its own."""
    return _FACT.dump_json(webhooks).decode()


def from_text(text: str | None) -> list[ServerWebhook] | Literal["unknown"] | None:
    """The server's webhooks; None if it can have none; ``unknown`` without a fact, or with another version's."""
    try:
        return "unknown" if text is None else _FACT.validate_json(text)
    except ValidationError:
        return "unknown"


# --- what to say about them ---


@dataclass(frozen=True)
class Remark:
    """Something to say about the server's webhooks."""

    level: Literal["warning", "note"]
    text: str
    details: tuple[str, ...] = ()
    remedy: str = ""


def remarks(
    own: Iterable[Webhook], theirs: Sequence[ServerWebhook] | None, left: Collection[str] = ()
) -> Iterator[Remark]:
    """What there is to say about the bridge's webhooks and the server's; nothing of a server that can have none.

    `left` are the workflows that BRIDGE_LEAVE_TO_CONDUCTOR names.
    """
    if theirs is None:
        if left:
            text = "BRIDGE_LEAVE_TO_CONDUCTOR names workflows, but this Conductor server has no webhooks of its own"
            yield Remark("warning", text, tuple(sorted(left)), "nobody completes their tasks: remove the setting")
        return
    has = f"This Conductor server has webhooks of its own ({len(theirs)})"
    if shared := tuple(_shared(own, theirs, left)):
        text = (
            f"{has}, and some serve the same workflows as the bridge's: one event may take two tasks, or start two "
            "workflows"
        )
        remedy = "define each on one side only, or name the workflows in BRIDGE_LEAVE_TO_CONDUCTOR; see docs/orkes.md"
        yield Remark("warning", text, shared, remedy)
    else:
        yield Remark("note", f"{has}; none is known to serve the same workflows as the bridge's")
    if scripted := tuple(sorted(one.name or one.id for one in theirs if one.has_expression)):
        text = "An expression says which workflows these webhooks of the server's reach: the bridge can't compare them"
        yield Remark("note", text, scripted)
    elif unserved := sorted({*left}.difference(*(one.receivers for one in theirs), *(one.starts for one in theirs))):
        text = "BRIDGE_LEAVE_TO_CONDUCTOR names workflows that none of the server's webhooks reaches"
        yield Remark("warning", text, tuple(unserved), "define a webhook for them there, or leave them out")


def _shared(own: Iterable[Webhook], theirs: Sequence[ServerWebhook], left: Collection[str]) -> Iterator[str]:
    """What both sides answer for, by pairs of webhooks."""
    in_order = sorted(theirs, key=lambda other: (other.name, other.id))
    for webhook in own:
        receivers = {workflow: versions for workflow, versions in webhook.receivers.items() if workflow not in left}
        starts = {start.workflow for start in webhook.starts}.difference(left)
        for other in in_order:
            why = [
                f"both complete tasks of {workflow}"
                for workflow, versions in receivers.items()
                if workflow in other.receivers and (versions is None or other.receivers[workflow] in (None, *versions))
            ]
            why += [f"both start {workflow}" for workflow in sorted(starts.intersection(other.starts))]
            if not why and other.name == webhook.name and (receivers or starts):
                why = ["both have this name"]
            if why:
                yield f"{webhook.name}, and the server's {other.name or other.id} (id {other.id}): {', '.join(why)}"
