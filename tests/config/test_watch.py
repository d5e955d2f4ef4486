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

from config.watch import DefinitionsWatcher
from config.webhooks import Definitions, DefinitionsError, load_definitions
from testkit import PATIENCE
from tests.deploy.volumes import write_volume

GOOD = "webhooks:\n  - {{name: {name}, headers: {{X-Key: 0123456789abcdef}}, receivers: {{a: any}}}}\n"


class Seen:
    """What a watcher announced."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.errors: list[str] = []
        self.happened = threading.Event()

    def change(self, definitions: Definitions) -> None:
        self.changes.append([webhook.name for webhook in definitions.webhooks])
        self.happened.set()

    def error(self, error: DefinitionsError) -> None:
        self.errors.append(str(error))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watch(seen: Seen) -> Callable[[Path], DefinitionsWatcher]:
    def make(path: Path) -> DefinitionsWatcher:
        return DefinitionsWatcher(path, load_definitions, seen.change, seen.error, load_definitions(path))

    return make


def write(path: Path, text: str) -> None:
    """As editors do: a new file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_change_is_read_once(tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]) -> None:
    file = tmp_path / "w.yaml"
    write(file, GOOD.format(name="one"))
    watcher = watch(file)
    assert not watcher.check()
    write(file, GOOD.format(name="two"))
    assert watcher.check()
    assert not watcher.check()
    assert seen.changes == [["two"]]
    assert list(watcher.current.by_name) == ["two"]


@pytest.mark.parametrize("broken", ["webhooks: [", "webhooks: {}", GOOD.format(name="two") + "more: 1\n", None])
def test_a_broken_edit_keeps_the_last_good_ones(
    broken: str | None, tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    file = tmp_path / "w.yaml"
    write(file, GOOD.format(name="one"))
    watcher = watch(file)
    if broken is None:
        file.unlink()
    else:
        write(file, broken)
    assert [watcher.check(), watcher.check(), watcher.check()] == [False, False, False]
    assert len(seen.errors) == 1
    assert watcher.error == seen.errors[0]
    assert list(watcher.current.by_name) == ["one"]
    write(file, GOOD.format(name="one"))
    assert watcher.check()
    assert watcher.error is None
    assert seen.changes == [["one"]]


def test_files_of_a_folder_come_and_go(tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.format(name="a"))
    watcher = watch(tmp_path)
    (tmp_path / "b.yaml").write_text(GOOD.format(name="b"))
    assert watcher.check()
    (tmp_path / "a.yaml").unlink()
    assert watcher.check()
    assert seen.changes == [["a", "b"], ["b"]]


def test_a_changed_config_map_is_noticed_as_the_kubelet_writes_it(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="a")})
    watcher = watch(tmp_path)
    assert not watcher.check()
    # The link ..data changes, and nothing else.
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="b")})
    assert watcher.check()
    assert not watcher.check()
    write_volume(tmp_path, {"a.yaml": GOOD.format(name="b"), "c.yaml": GOOD.format(name="c")})
    assert watcher.check()
    write_volume(tmp_path, {"c.yaml": GOOD.format(name="c")})
    assert watcher.check()
    assert seen.changes == [["b"], ["b", "c"], ["c"]]
    assert seen.errors == []


def test_a_secrets_file_counts_also_while_it_is_missing(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one").replace("0123456789abcdef", '"${file:secret}"'))
    watcher = watch(file)
    write(secret, "fedcba9876543210")
    assert watcher.check()
    secret.unlink()
    assert not watcher.check()
    write(secret, "0123456789abcdef")
    assert watcher.check()
    assert (len(seen.changes), len(seen.errors)) == (2, 1)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))

    def slow(path: Path) -> Definitions:
        definitions = load_definitions(path)
        if list(definitions.by_name) == ["two"]:
            write(file, GOOD.format(name="three"))
        return definitions

    watcher = DefinitionsWatcher(file, slow, seen.change, seen.error, load_definitions(file))
    write(file, GOOD.format(name="two"))
    assert watcher.check()
    assert watcher.check()
    assert seen.changes == [["two"], ["three"]]


def test_force_reads_what_looks_unchanged(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    watcher = watch(file)
    watcher.force()
    assert watcher.check()
    assert not watcher.check()


def test_the_thread_checks_at_once_when_forced_and_ends_when_stopped(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    watcher = watch(file)
    watcher.start(interval=3600)
    watcher.start(interval=3600)
    write(file, GOOD.format(name="two"))
    watcher.force()
    assert seen.happened.wait(PATIENCE)
    watcher.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "definitions"]


def test_a_callback_that_fails_does_not_end_the_watch(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    calls: list[int] = []

    def fails_first(definitions: Definitions) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("disk full")
        seen.change(definitions)

    watcher = DefinitionsWatcher(file, load_definitions, fails_first, seen.error, load_definitions(file))
    watcher.start(interval=3600)
    watcher.force()
    while not calls:
        pass
    write(file, GOOD.format(name="two"))
    watcher.force()
    assert seen.happened.wait(PATIENCE)
    watcher.stop()
    assert seen.changes[-1] == ["two"]


def test_a_secret_in_a_volume_is_noticed_as_the_kubelet_writes_it(
    tmp_path: Path, seen: Seen, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    write_volume(tmp_path / "secrets", {"key": "0123456789abcdef"})
    text = GOOD.format(name="one").replace("0123456789abcdef", '"${file:../secrets/key}"')
    write_volume(tmp_path / "maps", {"w.yaml": text})
    watcher = watch(tmp_path / "maps")
    write_volume(tmp_path / "secrets", {"key": "fedcba9876543210"})
    assert watcher.check()
    assert watcher.current.webhooks[0].headers["X-Key"].get_secret_value() == "fedcba9876543210"


def test_what_could_not_be_noted_is_noted_at_the_next_check(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    noted: list[str | None] = []
    store_is_down = [True, True]

    def note(error: str | None) -> None:
        if store_is_down:
            store_is_down.pop()
            raise OSError("disk full")
        noted.append(error)

    watcher = DefinitionsWatcher(file, load_definitions, seen.change, seen.error, load_definitions(file), note)
    write(file, "webhooks: [")
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            watcher.check()
    assert not watcher.check()
    assert not watcher.check()
    assert noted == seen.errors
    assert len(noted) == 1
    store_is_down.append(True)
    write(file, GOOD.format(name="two"))
    with pytest.raises(OSError, match="disk full"):
        watcher.check()
    assert seen.changes == [["two"]]
    watcher.check()
    assert noted[1:] == [None]
    assert seen.changes == [["two"]], "it was in force all the time"


def test_at_the_start_the_state_is_noted_whatever_it_is(tmp_path: Path, seen: Seen) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    noted: list[str | None] = []
    watcher = DefinitionsWatcher(file, load_definitions, seen.change, seen.error, load_definitions(file), noted.append)
    watcher.check()
    assert noted == []
    watcher.announce()
    assert noted == [None]


def test_a_signal_handler_may_force_a_check_while_another_one_is_being_forced(
    tmp_path: Path, watch: Callable[[Path], DefinitionsWatcher]
) -> None:
    """A second SIGHUP interrupts the handler of the first, wherever that is."""
    file = tmp_path / "w.yaml"
    file.write_text(GOOD.format(name="one"))
    watcher = watch(file)
    watcher.start(interval=3600)
    depth = 0

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal depth
        if depth == 1 and event == "line":
            depth += 1
            watcher.force()
            depth -= 1
        return interrupt

    depth = 1
    sys.settrace(interrupt)
    try:
        watcher.force()
    finally:
        sys.settrace(None)
    watcher.stop()
