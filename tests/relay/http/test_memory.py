"""What requests that are on their way may hold of the memory, and who gives way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from relay.http.memory import Memory, Overloaded, limit_for
from testkit import PATIENCE
from tests.worker.clock import Clock

MB = 1024 * 1024


class Peer:
    """A request that is on its way."""

    def __init__(self) -> None:
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def test_all_that_is_held_is_bounded_and_the_oldest_gives_way() -> None:
    clock = Clock()
    memory = Memory(32 * MB, clock)
    slow = [Peer() for _ in range(1000)]
    for peer in slow:
        memory.hold(peer, 100 * 1024)
        clock.seconds += 0.01
        for other in slow:
            if other.gave_way:
                memory.free(other)  # as its connection does
        assert memory.held <= 32 * MB
    assert [peer.gave_way for peer in slow] == sorted([peer.gave_way for peer in slow], reverse=True)
    assert slow[0].gave_way
    assert not slow[-1].gave_way


def test_a_small_request_has_its_place_whatever_others_hold() -> None:
    memory = Memory(32 * MB, Clock())
    for _ in range(320):
        memory.hold(Peer(), 100 * 1024)
    memory.hold(Peer(), 10 * 1024)
    with pytest.raises(Overloaded):
        memory.hold(Peer(), 1 * MB)


def test_whoever_is_oldest_gives_way_itself() -> None:
    clock = Clock()
    memory = Memory(32 * MB, clock)
    oldest, other = Peer(), Peer()
    memory.hold(oldest, 20 * 1024)
    clock.seconds += 5
    memory.hold(other, 32 * MB)
    with pytest.raises(Overloaded):
        memory.hold(oldest, 20 * 1024)
    assert not other.gave_way


def test_a_body_larger_than_all_that_may_be_held_comes_when_there_is_little_else() -> None:
    memory = Memory(8 * MB, Clock())
    memory.hold(Peer(), 100 * 1024)
    large = Peer()
    for _ in range(25):
        memory.hold(large, MB)
    with pytest.raises(Overloaded):
        memory.hold(Peer(), MB)
    memory.free(large)
    memory.hold(Peer(), MB)


def test_what_is_over_is_free_again() -> None:
    clock = Clock()
    memory = Memory(8 * MB, clock)
    for _ in range(100):
        peers = [Peer() for _ in range(4)]
        for peer in peers:
            memory.hold(peer, 2 * MB)
            clock.seconds += 2
        for peer in peers:
            memory.free(peer)
            memory.free(peer)
        assert memory.held == 0


def test_large_bodies_become_objects_one_after_the_other() -> None:
    memory = Memory(32 * MB)
    first, second = memory.turn(2 * MB), memory.turn(2 * MB)
    now = time.monotonic()
    with first:
        first.take(now)
        first.take(now)
        with second, pytest.raises(Overloaded):
            second.take(now)
        with memory.turn(10_000) as small:
            small.take(now)
    with second:
        second.take(now)


def test_whoever_waits_for_a_turn_goes_on_when_it_comes() -> None:
    memory = Memory(32 * MB)
    done = threading.Event()

    def wait() -> None:
        with memory.turn(2 * MB) as turn:
            turn.take(time.monotonic() + 20)
            done.set()

    with memory.turn(2 * MB) as first:
        first.take()
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not done.is_set()
    waiting.join(PATIENCE)
    assert done.is_set()


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/", {"sys/fs/cgroup/memory.max": "536870912\n"}, 32 * MB),  # a container of 512 MB, two processes
        ("0::/kubepods/pod1/c1", {"sys/fs/cgroup/memory.max": "536870912\n"}, 32 * MB),
        (
            "0::/system.slice/bridge.service",
            {
                "sys/fs/cgroup/system.slice/bridge.service/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
            },
            64 * MB,
        ),
        ("4:cpu,memory:/docker/x", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n"}, 32 * MB),
        ("4:memory:/y", {"sys/fs/cgroup/memory/y/memory.limit_in_bytes": "268435456\n"}, 16 * MB),
        ("0::/", {"sys/fs/cgroup/memory.max": "16777216\n"}, 8 * MB),  # never less
    ],
)
def test_the_limit_is_the_containers(cgroup: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, text in ({"proc/self/cgroup": f"{cgroup}\n"} | files).items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert limit_for(2, tmp_path) == expected


def test_without_control_groups_the_limit_is_the_machines(tmp_path: Path) -> None:
    assert 8 * MB <= limit_for(2, tmp_path) <= 256 * MB
    assert limit_for(10_000, tmp_path) == 8 * MB
