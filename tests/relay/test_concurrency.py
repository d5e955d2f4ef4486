"""How the work of one process shares its hub. In processes of their own: gevent has this one's hub
only once."""

from __future__ import annotations

import subprocess
import sys

from tools.servers import PATIENCE


def run(program: str) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_whoever_gathers_goes_on_in_a_hub_that_is_never_idle() -> None:
    program = """
import gevent
from relay.concurrency import let_others_run
def busy():
    while True:
        gevent.sleep(0)
gevent.spawn(busy)
let_others_run()
print("went on")
"""
    assert run(program) == "went on"


def test_deliveries_and_a_thread_that_reads_definitions_compile_paths_without_waiting_for_each_other() -> (
    None
):
    program = """
from gevent import monkey
monkey.patch_all()
import gevent, gevent.threadpool
from criteria.jsonpath import compile_path
def parse(name, count):
    for number in range(count):
        compile_path(f"$.{name}{number}[?(@.x > 1)]")
        if name == "delivery":
            gevent.sleep(0.001)
thread = gevent.threadpool.ThreadPool(1).spawn(parse, "definition", 1000)
deliveries = [gevent.spawn(parse, "delivery", 100) for _ in range(2)]
gevent.joinall([*deliveries, thread], raise_error=True)
print("went on")
"""
    assert run(program) == "went on"
