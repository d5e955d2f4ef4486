"""What one sender or stranger makes large holds up no other: their deliveries are answered
meanwhile."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median_low as median
from typing import Any

import pytest

from tests.support.chance import in_time
from tests.support.relay_process import KEY, Process, connect, serving

pytestmark = pytest.mark.long

SPLIT = {
    "headers": {"X-Api-Key": KEY},
    "split": True,
    "max_body": "25MB",
    "receivers": {"a": "any"},
}
WEBHOOKS: dict[str, dict[str, Any]] = {
    "one": {"headers": {"X-Api-Key": KEY}, "receivers": {"a": "any"}},
    "only": SPLIT | {"only": {"$.kind": "b", "$..deep": {"$in": ["c", "d"]}}},
    "schema": SPLIT | {"schema": {"file": "schema.json", "else": "keep"}},
    "repeated": SPLIT | {"only": {"$.kind": "b"}, "dedup": {"path": "$.id"}},
}
BATCH = json.dumps(
    [{"id": str(number), "kind": "b", "text": "x" * 100} for number in range(5_000)]
).encode()
LARGE = json.dumps({"text": "x" * 300_000}).encode()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("senders")
    (folder / "schema.json").write_text('{"required": ["n"]}')
    definitions = {"webhooks": [{"name": name} | keys for name, keys in WEBHOOKS.items()]}
    with serving(folder, json.dumps(definitions)) as process:
        yield process


@contextmanager
def meanwhile(*acts: Callable[[], object]) -> Iterator[None]:
    """Each of these is done again and again, without a pause, until the block ends."""
    over = threading.Event()

    def run(act: Callable[[], object]) -> None:
        while not over.is_set():
            act()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def answers(relay: Process, seconds: float, body: bytes = b"{}") -> list[tuple[float, int]]:
    """How long each of an honest sender's deliveries took within this time, and its status."""
    end, found = time.monotonic() + seconds, []
    while (began := time.monotonic()) < end:
        status = relay.status("POST", "/webhook/one", body)
        found.append((time.monotonic() - began, status))
    return found


@pytest.mark.measured
@pytest.mark.parametrize(
    ("name", "body"), [("only", b"{}"), ("schema", LARGE), ("repeated", b"{}")]
)
def test_batches_of_one_webhook_hold_up_no_other(name: str, body: bytes, relay: Process) -> None:
    began = time.monotonic()
    assert relay.status("POST", f"/webhook/{name}", BATCH) == 200
    alone = time.monotonic() - began
    with meanwhile(*4 * [lambda: relay.status("POST", f"/webhook/{name}", BATCH)]):
        found = answers(relay, 10 * alone, body)
    # If batches held up others, nearly all of this time would be spent waiting for one.
    held_up = sum(wait for wait, status in found if wait > alone / 2 or status != 200)
    said = f"a batch takes {alone:.2f} s alone; others waited {sorted(found)[-5:]}"
    in_time(held_up < sum(wait for wait, _ in found) / 2, said)


@pytest.mark.measured
def test_endless_chunks_of_one_byte_hold_up_nobody_for_long(tmp_path: Path) -> None:
    webhook = {"name": "one", "headers": {"X-Api-Key": KEY}, "receivers": {"a": "any"}}
    head = b"POST /webhook/one HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(
        tmp_path, json.dumps({"webhooks": [webhook]}), GUNICORN_CMD_ARGS="--workers 1"
    ) as relay:
        answers(relay, 0.5)
        calm = answers(relay, 1)
        with connect(relay) as one, connect(relay) as other:

            def flood(stranger: socket.socket) -> None:
                with suppress(OSError):
                    stranger.sendall(1000 * b"1\r\nx\r\n")

            one.sendall(head)
            other.sendall(head)
            with meanwhile(partial(flood, one), partial(flood, other)):
                found = answers(relay, 3)
        assert {status for _, status in found} == {200}
        in_time(median(found)[0] < 40 * median(calm)[0])
