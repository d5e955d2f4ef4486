"""How long a relay with two thousand webhooks takes until it is ready."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS
from tools.bench.figures import Figure, median, spread
from tools.bench.processor import LONGEST_WAIT, wait_until_idle
from tools.servers.processes import bridge_environment, free_port, start_relay

MANY = 2000
ROUNDS = 3
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
    longest_wait: float = LONGEST_WAIT,
) -> list[Figure]:
    """Before each round the machine may take `longest_wait` seconds to become idle."""
    say("Measuring: many webhooks\n")
    (folder / "schema.json").write_text(
        '{"properties": {"id": {"type": "integer"}}}', encoding="utf-8"
    )
    (folder / "webhooks.yaml").write_text(text_of(list(kinds_of(folder)), MANY), encoding="utf-8")
    environment = bridge_environment(
        bridge_webhooks=str(folder / "webhooks.yaml"),
        bridge_database=f"sqlite:///{folder / 'webhooks.db'}",
        bridge_relay_metrics="off",
        port=str(free_port()),
    )
    ready = []
    for _ in range(rounds):
        wait_until_idle(longest_wait)
        began = time.monotonic()
        relay = start_relay(environment, folder / "relay.log")
        ready.append(time.monotonic() - began)
        relay.stop()
    return [
        Figure(
            "webhooks", f"{MANY:,}: seconds until ready", median(ready), "<= 3", spread(ready, " s")
        )
    ]


def kinds_of(folder: Path) -> Iterator[dict[str, Any]]:
    """A webhook of every platform that takes any text as its secret, or one of the usual form."""
    file = folder / "one.yaml"
    for platform in PLATFORMS:
        for secret in _SECRETS:
            webhook = {
                "name": platform,
                "platform": platform,
                "secret": secret,
                "receivers": {"flow": "any"},
            }
            file.write_text(json.dumps({"webhooks": [webhook]}), encoding="utf-8")
            try:
                load_definitions(file, PLATFORMS, {})
            except DefinitionsError:
                continue
            yield webhook
            break


def text_of(kinds: list[dict[str, Any]], number: int) -> str:
    """Definitions with this many webhooks, as people write them: in block style."""
    lines = ["webhooks:"]
    webhooks = [{**kinds[at % len(kinds)], **_MORE[at % len(_MORE)]} for at in range(number)]
    for at, webhook in enumerate(webhooks):
        named = {**webhook, "name": f"{webhook['name']}-{at}"}
        lines += [
            f"{'  ' if key != 'name' else '- '}{key}: {json.dumps(value)}"
            for key, value in named.items()
        ]
    return "\n".join(lines) + "\n"
