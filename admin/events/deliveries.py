"""Deliveries that people write: made of an event, a sample or a rejected delivery, saved, and sent
again.

What is written is a `RawDelivery` with the verdict `saved`, whether or not it has been saved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from admin.bridge import Bridge
from admin.errors import CantDo, NotFound
from admin.events.send import content_type_of
from admin.events.tree import Step, path_of
from config.value_types import TOKEN
from config.webhooks import Webhook
from criteria.jsonpath import compile_path
from platforms import PLATFORMS
from platforms.bodies import BadBody, read_json
from platforms.guide import SampleEvent, of_the_same_form, samples
from relay.verify.secrets import without_secrets
from relay.verify.verification import Verification
from store.delivery_records import RawDelivery
from store.hiding import BLANK, Hidden
from store.records import Event

LARGEST = 48_000
"""Characters of a body that is edited on the page, and of one that is saved."""
_LAID_OUT = 10 * LARGEST
"""Characters of a payload that may be short enough to be edited, once it is written as it is
elsewhere."""
MOST = 50
"""Saved deliveries of one webhook."""
LONGEST_NAME = 60
_IDENTIFIES = re.compile(
    r"(delivery|event|message|request|webhook|ce)[-_]?u?u?id$|[-_]delivery$", re.IGNORECASE
)
"""Headers by which senders tell one delivery from another."""
_SHORTEST, _RENEWED = 6, 12
"""Characters of a text that is renewed, so that it stands for nothing else; and how many at its end
are."""


UNSENT = frozenset({"content-length", "host", "connection", "accept-encoding", "transfer-encoding"})
"""Headers that belong to the connection by which a delivery came."""


class CantKeep(CantDo):
    """The delivery can't be shown or saved without revealing something; the text says why."""


# --- what deliveries are made of


def of_event(shown: Event) -> RawDelivery:
    """The event, as people may see it, as a delivery: its payload is the body, whatever it arrived
    as."""
    left_out = UNSENT | {"content-type"}  # the payload is JSON now, whatever it arrived as
    headers = {"Content-Type": "application/json"} | {
        name: value
        for name, value in shown.headers.items()
        if name not in left_out and not name.startswith(("x-forwarded", "x-real"))
    }
    body = shown.payload
    if len(body) <= _LAID_OUT:
        laid_out = as_seen(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
        body = laid_out if len(laid_out) <= LARGEST else body
    return written(shown.webhook, "POST", urlencode(shown.query, doseq=True), headers, body)


def of_sample(webhook: Webhook, sample: SampleEvent) -> RawDelivery:
    """The sample, with ids of its own."""
    sample = sample.made_anew()
    body = sample.body.decode()
    if sample.content_type == "application/json":
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return written(
        webhook.name, "POST", "", {"Content-Type": sample.content_type, **sample.headers}, body
    )


def of_refused(webhook: Webhook, kept: RawDelivery, hide: Hidden) -> RawDelivery:
    """A rejected delivery that was kept, as people may see it. Raises CantKeep."""
    headers = {name: value for name, value in kept.headers.items() if name not in UNSENT}
    body = kept.text
    try:
        read_json(body)
    except BadBody:
        pass
    else:
        body = as_seen(body)
    return presentable(written(webhook.name, kept.method, kept.query, headers, body), webhook, hide)


def as_seen(text: str) -> str:
    """JSON in which invisible characters, and those that reverse the direction of text, are
    escaped: people see what they sign."""
    if text.isprintable():
        return text
    # Long texts have few different characters.
    hidden = (one for one in set(text) if not one.isprintable() and one not in "\n\r\t")
    return text.translate(
        {
            ord(one): f"\\u{ord(one):04x}" if one.isascii() else json.dumps(one)[1:-1]
            for one in hidden
        }
    )


def written(
    webhook: str, method: str, query: str, headers: Mapping[str, str], body: str, name: str = ""
) -> RawDelivery:
    """What somebody wrote, perhaps to save it by that name."""
    content = body.encode("utf-8", "replace")
    return RawDelivery(
        "",
        webhook,
        "saved",
        0,
        name=name,
        method=method,
        query=query,
        headers=headers,
        body=content,
    )


# --- what must not be shown or saved


def unsigned(delivery: RawDelivery, webhook: Webhook) -> RawDelivery:
    """The delivery without the headers that signing adds."""
    added = Verification(webhook, PLATFORMS[webhook.platform]).secret_headers | UNSENT
    headers = {name: value for name, value in delivery.headers.items() if name.lower() not in added}
    return replace(delivery, headers=headers)


def saved(bridge: Bridge, webhook: Webhook, name: str) -> RawDelivery:
    """The webhook's saved delivery. Raises NotFound, and CantKeep if the webhook has `hide` by
    now."""
    found = bridge.store.raw_deliveries.find_saved(webhook.name, name)
    if found is None:
        raise NotFound(f"{webhook.name} has no saved delivery {name}")
    return presentable(found, webhook, bridge.hide(webhook.name))


def presentable(delivery: RawDelivery, webhook: Webhook, hide: Hidden) -> RawDelivery:
    """The delivery without headers that prove it or are secrets.

    Raises CantKeep if a secret of the webhook is elsewhere in it, or the webhook hides something:
    `hide` names what is in a payload, and nobody knows what the relay would make of these bytes.
    """
    if hide != ():
        raise CantKeep("the webhook has `hide`: begin with an event or a sample")
    platform = PLATFORMS[webhook.platform]
    proof = platform.secret_headers | Verification(webhook, platform).secret_headers
    bare = without_secrets(delivery, webhook, proof)
    if bare is None:
        raise CantKeep("one of the webhook's secrets is in it")
    return bare


# --- sent again


def identifying(delivery: RawDelivery, webhook: Webhook) -> dict[str, str]:
    """Where the delivery has ids → the text there: what makes it another delivery if it is another
    one."""
    found = {**_ids_in_headers(delivery, webhook), **_ids_in_body(delivery, webhook)}
    return {
        place: text for place, text in found.items() if len(text) >= _SHORTEST and text != BLANK
    }


def _ids_in_headers(delivery: RawDelivery, webhook: Webhook) -> dict[str, str]:
    named = webhook.dedup.header if webhook.dedup is not None else None
    own = (named or "").lower()
    return {
        name: value
        for name, value in delivery.headers.items()
        if name.lower() == own or _IDENTIFIES.search(name)
    }


def _ids_in_body(delivery: RawDelivery, webhook: Webhook) -> dict[str, str]:
    paths = set(_places(webhook.platform))
    if webhook.dedup is not None and webhook.dedup.path:
        paths.add(webhook.dedup.path)
    try:
        document = read_json(delivery.text)
    except BadBody:
        return {}
    found = {}
    for path in sorted(paths):
        for value in compile_path(path)(document):
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                found[path] = str(value)
    return found


def renewed(delivery: RawDelivery, webhook: Webhook) -> RawDelivery:
    """Another delivery: each identifying text is a new one of the same form, wherever it occurs."""
    body, headers = delivery.text, dict(delivery.headers)
    for text in set(identifying(delivery, webhook).values()):
        other = text[:-_RENEWED] + of_the_same_form(text[-_RENEWED:])
        body = body.replace(text, other)
        headers = {name: value.replace(text, other) for name, value in headers.items()}
    return replace(delivery, body=body.encode(), headers=headers)


def _places(platform: str) -> Iterable[str]:
    """JSONPaths of the ids in the platform's samples."""
    for sample in samples(platform).values():
        if sample.content_type != "application/json":
            continue
        for steps, value in _leaves(json.loads(sample.body), ()):
            path = path_of(steps) if any(text in str(value) for text in sample.fresh) else None
            if path is not None:
                yield path


def _leaves(value: Any, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    if not isinstance(value, (dict, list)):
        yield steps, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, (*steps, name))


# --- headers as text


def headers_of(text: str) -> dict[str, str]:
    """The headers of lines such as ``X-Name: value``. Raises ValueError with the line that can't be
    sent as one."""
    found = {}
    for line in filter(str.strip, text.split("\n")):  # other line breaks are a value's own
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(TOKEN, name.strip()) or not in_latin_1(value):
            raise ValueError(line.strip()[:100])
        found[name.strip()] = value.strip()
    return found


def in_latin_1(text: str) -> bool:
    """Whether it can be a header's value: there are no other characters on the wire."""
    return all(ord(character) < 256 for character in text)


def lines_of(headers: Mapping[str, str]) -> str:
    """The headers, one per line."""
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def with_content_type(delivery: RawDelivery) -> RawDelivery:
    """The delivery with the content type that its body seems to have, unless one is written."""
    if not delivery.body or any(name.lower() == "content-type" for name in delivery.headers):
        return delivery
    return replace(
        delivery, headers={"Content-Type": content_type_of(delivery.body), **delivery.headers}
    )
