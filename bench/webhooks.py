"""A relay with two thousand webhooks beside one with ten: how much later it is ready, and the rate of one webhook."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import load
from bench.figures import Figure, median, spread
from bench.processor import LONGEST_WAIT, wait_until_idle
from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS
from testkit.processes import bridge_environment, free_port, start_relay

FEW, MANY = 10, 2000
ROUNDS = 3
SECONDS = 4.0
_SECRETS = ("0123456789abcdef-secret", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
_MORE: tuple[dict[str, Any], ...] = (
    {"only": {"$.type": {"$in": ["a", "b"]}, "$.data[*].x": {"$gt": 3}}},
    {"starts": [{"workflow": "w", "when": {"$.ref": {"$regex": "^refs/"}}, "input": {"a": "$.x"}}]},
    {"hide": ["$.customer.email", "$..token"]},
    {"schema": "schema.json"},
    {"decode": {"$.p": "json"}, "split": "$.items"},
    {"accept": {"rate": "200/s"}, "allow_ips": ["192.0.2.0/24"]},
    {},
)
"""What every so many webhooks have besides."""


def measure(
    folder: Path,
    say: Callable[[str], None],
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    warm_up: float = load.WARM_UP,
    longest_wait: float = LONGEST_WAIT,
) -> list[Figure]:
    """Rounds of a relay with few and one with many webhooks, in turn."""
    say("Measuring: many webhooks\n")
    kinds = list(kinds_of(folder))
    ready: dict[int, list[float]] = {FEW: [], MANY: []}
    processor: dict[int, list[float]] = {FEW: [], MANY: []}
    rates: dict[int, list[float]] = {FEW: [], MANY: []}
    for _ in range(rounds):
        for number in (FEW, MANY):
            definitions = folder / str(number)
            definitions.mkdir(exist_ok=True)
            (definitions / "schema.json").write_text('{"properties": {"id": {"type": "integer"}}}', encoding="utf-8")
            (definitions / "webhooks.yaml").write_text(text_of(kinds, number), encoding="utf-8")
            environment = bridge_environment(
                bridge_webhooks=str(definitions),
                bridge_database=f"sqlite:///{folder / f'{number}.db'}",
                bridge_relay_metrics="off",
                port=str(free_port()),
            )
            wait_until_idle(longest_wait)
            before, began = _of_children(), time.monotonic()
            relay = start_relay(environment, folder / "relay.log")
            ready[number].append(time.monotonic() - began)
            relay.stop()
            processor[number].append(_of_children() - before)
            relay = start_relay(environment, folder / "relay.log")
            try:
                wait_until_idle(longest_wait)
                found = load.run(int(environment["PORT"]), "/webhook/bench", seconds, warm_up=warm_up)
                rates[number].append(found.rate)
            finally:
                relay.stop()
    later = [many - few for few, many in zip(ready[FEW], ready[MANY], strict=True)]
    more = [many - few for few, many in zip(processor[FEW], processor[MANY], strict=True)]
    ratios = [many / few for few, many in zip(rates[FEW], rates[MANY], strict=True)]
    area = "webhooks"
    return [
        Figure(area, f"{MANY:,}: seconds later ready than {FEW}", median(later), "<= 1", spread(ready[MANY], " s")),
        Figure(area, "processor seconds more until it stops", median(more), "", spread(processor[MANY], " s")),
        Figure(area, "rate of a signed delivery, beside ten", median(ratios), ">= 0.95", spread(rates[MANY], "/s")),
    ]


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kinds_of(folder: Path) -> Iterator[dict[str, Any]]:
    """A webhook of every platform that takes any text as its secret, or one of the usual form."""
    file = folder / "one.yaml"
    for platform in PLATFORMS:
        for secret in _SECRETS:
            webhook = {"name": platform, "platform": platform, "secret": secret, "receivers": {"flow": "any"}}
            file.write_text(json.dumps({"webhooks": [webhook]}), encoding="utf-8")
            try:
                load_definitions(file, PLATFORMS, {})
            except DefinitionsError:
                continue
            yield webhook
            break


def text_of(kinds: list[dict[str, Any]], number: int) -> str:
    """Definitions with this many webhooks besides the one that is measured, as people write them: in block style."""
    lines = ["webhooks:"]
    webhooks = [{**kinds[at % len(kinds)], **_MORE[at % len(_MORE)]} for at in range(number)]
    for at, webhook in enumerate(webhooks):
        named = {**webhook, "name": f"{webhook['name']}-{at}"}
        lines += [f"{'  ' if key != 'name' else '- '}{key}: {json.dumps(value)}" for key, value in named.items()]
    lines += ["- name: bench", "  platform: github", f"  secret: {load.SECRET}", "  receivers: {nothing: any}"]
    return "\n".join(lines) + "\n"
