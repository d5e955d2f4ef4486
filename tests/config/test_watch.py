"""Definitions are reloaded when their files change, and the last good ones stay when that fails."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from config.references import stamp_of
from config.watch import DefinitionsSource, Listener
from config.webhooks import Definitions, DefinitionsError, load_definitions
from tests.config.volumes import write_volume
from tools.servers import PATIENCE, eventually

GOOD = (
    "webhooks:\n  - {{name: {name}, headers: {{X-Key: 0123456789abcdef}}, receivers: {{a: any}}}}\n"
)


class Seen(Listener):
    """What was announced."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.errors: list[str] = []
        self.recorded: list[str | None] = []
        self.happened = threading.Event()

    def changed(self, definitions: Definitions) -> None:
        self.changes.append([webhook.name for webhook in definitions.webhooks])
        self.happened.set()

    def broken(self, error: DefinitionsError) -> None:
        self.errors.append(str(error))

    def record(self, error: str | None) -> None:
        self.recorded.append(error)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watch(seen: Seen) -> Callable[[Path], DefinitionsSource]:
    def make(path: Path) -> DefinitionsSource:
        return DefinitionsSource(path, load_definitions, load_definitions(path), seen)

    return make


def write(path: Path, text: str) -> None:
    """As editors do: a new file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_changed_config_map_is_noticed_as_the_kubelet_writes_it(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsSource]
) -> None:
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="a")})
    source = watch(tmp_path)
    assert not source.check()
    # The link ..data changes, and nothing else.
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="b")})
    assert source.check()
    assert not source.check()
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="b"), "c.yaml": GOOD.format(name="c")})
    assert source.check()
    write_volume(tmp_path, {"c.yaml": GOOD.format(name="c")})
    assert source.check()
    assert seen.changes == [["b"], ["b", "c"], ["c"]]
    assert seen.errors == []


def test_a_secrets_file_counts_also_while_it_is_missing(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsSource]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one").replace("0123456789abcdef", '"${file:secret}"'))
    source = watch(file)
    write(secret, "fedcba9876543210")
    assert source.check()
    secret.unlink()
    assert not source.check()
    write(secret, "0123456789abcdef")
    assert source.check()
    assert (len(seen.changes), len(seen.errors)) == (2, 1)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))

    def load(path: Path) -> Definitions:
        definitions = load_definitions(path)
        if list(definitions.by_name) == ["two"]:
            write(file, GOOD.format(name="three"))
        return definitions

    source = DefinitionsSource(file, load, load_definitions(file), seen)
    write(file, GOOD.format(name="two"))
    assert source.check()
    assert source.check()
    assert seen.changes == [["two"], ["three"]]


def test_a_new_file_that_is_still_written_while_it_is_read_is_read_again(
    tmp_path: Path, seen: Seen
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.format(name="a"))
    new = tmp_path / "b.yaml"

    def load(path: Path) -> Definitions:
        found = load_definitions(path)
        if "name: c" not in new.read_text():
            new.write_text(
                GOOD.format(name="b") + GOOD.format(name="c").removeprefix("webhooks:\n")
            )
        return found

    source = DefinitionsSource(tmp_path, load, load_definitions(tmp_path), seen)
    new.write_text(GOOD.format(name="b"))
    source.check()
    source.check()
    source.check()
    assert seen.changes == [["a", "b"], ["a", "b", "c"]]


def test_an_edit_after_the_first_reading_is_noticed_however_late_watching_begins(
    tmp_path: Path, seen: Seen
) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    (tmp_path / "w.yaml").write_text(
        GOOD.format(name="one").replace("0123456789abcdef", '"${file:key}"')
    )
    first = load_definitions(tmp_path)
    write(key, "fedcba9876543210")
    source = DefinitionsSource(tmp_path, load_definitions, first, seen)
    assert source.check()
    assert source.current.webhooks[0].headers["X-Key"][0].get_secret_value() == "fedcba9876543210"
    assert not source.check()


def test_a_file_that_becomes_readable_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("webhooks: []")
    file.chmod(0)
    before = stamp_of(file)

    def is_another() -> bool:
        file.chmod(0o644)
        return stamp_of(file) != before

    assert eventually(is_another), "as soon as the file system's clock ticks"


def test_definitions_that_could_not_be_put_in_force_are_at_the_next_check(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))

    class FailsFirst(Seen):
        fails = True

        def changed(self, definitions: Definitions) -> None:
            if self.fails:
                self.fails = False
                raise MemoryError
            super().changed(definitions)

    seen = FailsFirst()
    source = DefinitionsSource(file, load_definitions, load_definitions(file), seen)
    write(file, GOOD.format(name="two"))
    with pytest.raises(MemoryError):
        source.check()
    assert source.check()
    assert not source.check()
    assert seen.changes == [["two"]]


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "definitions"]


def test_the_thread_checks_at_once_when_forced_and_ends_when_stopped(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsSource]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    source, others = watch(file), set(watching())
    source.start(interval=3600)
    source.start(interval=3600)
    [thread] = set(watching()) - others
    write(file, GOOD.format(name="two"))
    source.force()
    assert seen.happened.wait(PATIENCE)
    source.stop()
    assert not thread.is_alive()


def test_a_listener_that_fails_does_not_end_the_watch(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    calls: list[int] = []

    class FailsFirst(Seen):
        def changed(self, definitions: Definitions) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise OSError("disk full")
            super().changed(definitions)

    seen = FailsFirst()
    source = DefinitionsSource(file, load_definitions, load_definitions(file), seen)
    source.start(interval=3600)
    source.force()
    eventually(lambda: calls)
    write(file, GOOD.format(name="two"))
    source.force()
    assert seen.happened.wait(PATIENCE)
    source.stop()
    assert seen.changes[-1] == ["two"]


def test_a_secret_in_a_volume_is_noticed_as_the_kubelet_writes_it(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsSource]
) -> None:
    write_volume(tmp_path / "secrets", {"key": "0123456789abcdef"})
    text = GOOD.format(name="one").replace("0123456789abcdef", '"${file:../secrets/key}"')
    write_volume(tmp_path / "maps", {"w.yaml": text})
    source = watch(tmp_path / "maps")
    write_volume(tmp_path / "secrets", {"key": "fedcba9876543210"})
    assert source.check()
    assert source.current.webhooks[0].headers["X-Key"][0].get_secret_value() == "fedcba9876543210"


def test_what_could_not_be_recorded_is_recorded_at_the_next_check(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    store_is_down = [True, True]

    class NoStore(Seen):
        def record(self, error: str | None) -> None:
            if store_is_down:
                store_is_down.pop()
                raise OSError("disk full")
            super().record(error)

    seen = NoStore()
    source = DefinitionsSource(file, load_definitions, load_definitions(file), seen)
    write(file, "webhooks: [")
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            source.check()
    assert not source.check()
    assert not source.check()
    assert seen.recorded == seen.errors
    assert len(seen.recorded) == 1
    store_is_down.append(True)
    write(file, GOOD.format(name="two"))
    with pytest.raises(OSError, match="disk full"):
        source.check()
    assert seen.changes == [["two"]]
    source.check()
    assert seen.recorded[1:] == [None]
    assert seen.changes == [["two"]], "it was in force all the time"


def test_at_the_start_the_state_is_recorded_whatever_it_is(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    source = DefinitionsSource(file, load_definitions, load_definitions(file), seen)
    source.check()
    assert seen.recorded == []
    source.announce()
    assert seen.recorded == [None]


def test_a_signal_handler_may_force_a_check_while_another_one_is_being_forced(
    tmp_path: Path, watch: Callable[[Path], DefinitionsSource]
) -> None:
    """A second SIGHUP interrupts the handler of the first, wherever that is."""
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    source = watch(file)
    source.start(interval=3600)
    depth = 0

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal depth
        if depth == 1 and event == "line":
            depth += 1
            source.force()
            depth -= 1
        return interrupt

    depth = 1
    sys.settrace(interrupt)
    try:
        source.force()
    finally:
        sys.settrace(None)
    source.stop()
