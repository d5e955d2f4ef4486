"""Warnings about JSONPaths that can be parsed, but hardly mean what was meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.problems import ProblemAt
from config.value_types import why_unrooted
from config.yaml_lines import Where
from criteria.inputs import is_path
from criteria.metadata import leads_into_metadata, why_nothing

_NOT_IN_BODY = (
    "`_webhook` isn't in the body, where the id is looked for",
    "write header: NAME for an id in a header, or the id's place in the body, as in path: $.id",
)


def find_path_risks(webhook: Mapping[str, Any]) -> Iterator[ProblemAt]:
    """The warnings about a webhook's paths, as written."""
    yield from _unrooted(webhook)
    for place, path in (*_paths(webhook), *_rooted_paths(webhook)):
        if not isinstance(path, str):
            continue
        if place == ("dedup", "path"):
            nothing = _NOT_IN_BODY if leads_into_metadata(path) else None
        else:
            nothing = why_nothing(path)
        if nothing is not None:
            yield ProblemAt(place, *nothing, warning=True)


def _unrooted(webhook: Mapping[str, Any]) -> Iterator[ProblemAt]:
    """Paths without ``$``. They work, but whoever wrote one may have meant a constant."""
    for place, path in _paths(webhook):
        if isinstance(path, str) and path.strip() and (unrooted := why_unrooted(path)) is not None:
            what, remedy = unrooted
            yield ProblemAt(place, f"{what}; it is read from the top of the payload", remedy, warning=True)


def _paths(webhook: Mapping[str, Any]) -> Iterator[tuple[Where, object]]:
    """The JSONPaths that may be written without ``$``, with their places."""
    hide, dedup = webhook.get("hide"), webhook.get("dedup")
    for number, path in enumerate(hide if isinstance(hide, list) else ()):
        yield ("hide", number), path
    if isinstance(dedup, dict):
        yield ("dedup", "path"), dedup.get("path")
    yield from _keys_of(webhook.get("only"), ("only",))
    for place, entry in _entries(webhook, "starts", "messages"):
        yield from _keys_of(entry.get("when"), (*place, "when"))
        once = entry.get("once")
        yield (*place, "once", "key"), once.get("key") if isinstance(once, dict) else None


def _rooted_paths(webhook: Mapping[str, Any]) -> Iterator[tuple[Where, object]]:
    """Those into an event's document that are paths only with ``$``."""
    for place, entry in _entries(webhook, "messages"):
        yield (*place, "key"), entry.get("key")
    for place, entry in _entries(webhook, "starts"):
        yield from _in_input(entry.get("input"), (*place, "input"))


def _entries(webhook: Mapping[str, Any], *keys: str) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    for key in keys:
        entries = webhook.get(key)
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                yield (key, number), entry


def _keys_of(conditions: object, place: Where) -> Iterator[tuple[Where, object]]:
    yield from (((*place, path), path) for path in (conditions if isinstance(conditions, dict) else ()))


def _in_input(value: object, place: Where) -> Iterator[tuple[Where, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _in_input(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _in_input(item, (*place, number))
    elif isinstance(value, str) and is_path(value):
        yield place, value
