"""What every test may use: one Conductor server for a process, and the ends of logs beside a
failure.

With pytest-xdist, tests run in several processes. The tests of a module stay together, as they
share what it has.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import structlog
from flask import Flask
from hypothesis import HealthCheck, settings
from jinja2 import FileSystemBytecodeCache
from werkzeug.routing import Rule

from store.postgres.connections import Connections as PostgresConnections
from store.sqlite.connections import Connection, Connections
from store.sqlite.leadership import ProcessLock
from tests.support.chance import HOW_TO_REPEAT, SEED, TooSlow
from tools.servers.backends import Conductors, new_conductor
from tools.servers.client import Conductor
from tools.servers.conductor import ConductorServer
from tools.servers.postgres import Postgres
from tools.servers.processes import running_children, stop_all_on_exit

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.browser import Kept

# On a machine that is busy a first draw may take seconds, which says nothing about the program.
settings.register_profile(
    "any machine",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("any machine")

# It lives for minutes: compiling it well takes more time than it saves. And by default an idle
# server is never idle: it looks for system tasks 20 times a second for each of their types, several
# threads look for workflows to sweep, and a scheduler, which nothing here uses, for what is due.
#
# Workflows with `workflowStatusListenerEnabled` are archived as they end.
ConductorServer.java_options += [
    "-XX:TieredStopAtLevel=1",
    "-Dconductor.app.system-task-worker-poll-interval=1s",
    "-Dconductor.app.sweeper-thread-count=1",
    "-Dconductor.app.sweeper.queue-pop-timeout=500",
    "-Dconductor.scheduler.enabled=false",
    "-Dconductor.workflow-monitor.enabled=false",
    "-Dspring.jmx.enabled=false",
    "-Dconductor.workflow-status-listener.type=archive",
]


@pytest.fixture(scope="session")
def conductor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conductors]:
    """A real server of the kind that TEST_CONDUCTOR chooses, started when the first test asks for
    it."""
    stop_all_on_exit()
    server = new_conductor(tmp_path_factory.mktemp("conductor"), say=lambda text: None)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def conductor_url(request: pytest.FixtureRequest) -> str:
    """The API of that server, or of the one that TEST_CONDUCTOR_SERVER_URL names."""
    given = os.environ.get("TEST_CONDUCTOR_SERVER_URL")
    if given:
        return given
    server: Conductors = request.getfixturevalue("conductor_server")
    return server.url


@pytest.fixture
def conductor(conductor_url: str) -> Iterator[Conductor]:
    """That server; workflows that the test started and left running are terminated at its end."""
    conductor = Conductor(conductor_url)
    yield conductor
    conductor.terminate_started()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, started when the first test asks for it."""
    stop_all_on_exit()
    server = Postgres().start()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database of the test's own on it."""
    from tests.support.postgres_backend import time_to_connect

    url = postgres.new_database()
    with time_to_connect():
        yield url
    postgres.drop_database(url)


@pytest.fixture
def migrated_url(postgres: Postgres) -> Iterator[str]:
    """A database of the test's own on it, with the bridge's tables."""
    from tests.support.postgres_backend import migrated, time_to_connect

    url = migrated(postgres)
    with time_to_connect():
        yield url
    postgres.drop_database(url)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which may be stopped and killed."""
    server = Postgres()
    if server.given:
        pytest.skip("a PostgreSQL that was given can't be stopped")
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Kept]:
    """Chromium, started when the first test asks for it: its start takes longer than most tests in
    it."""
    from tests.support import browser  # needs selenium, which other tests don't

    yield browser.KEPT
    browser.KEPT.end()


@pytest.fixture(scope="module")
def driver(chromium: Kept) -> Iterator[Chrome]:
    """Chromium for a module's tests, as if it were new. Its modules say what they skip without it."""
    from tests.support import browser

    yield chromium.get()
    browser.forget(chromium.get())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Ends Chromium if the next test doesn't need it: without a page, too, it takes a twentieth of
    a processor."""
    yield
    if "driver" in getattr(item, "fixturenames", ()) and "driver" not in getattr(
        nextitem, "fixturenames", ()
    ):
        from tests.support import browser

        browser.KEPT.end()


@pytest.fixture(scope="session", autouse=True)
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new SQLite database is a copy of one that was migrated: all migrations take longer than
    most tests."""
    made = tmp_path_factory.mktemp("migrated") / "bridge.db"
    migrate = Connections.migrate
    first = Connections(made)
    migrate(first)
    first.close()

    def copy_and_migrate(connections: Connections) -> None:
        with suppress(OSError):  # whatever it is, to create the database fails as well
            _copy_if_new(made, connections.path)
        migrate(connections)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connections, "migrate", copy_and_migrate)
        yield


@pytest.fixture(scope="session", autouse=True)
def open_durably() -> Iterator[Callable[..., Connection]]:
    """How the program opens a database. Tests wait for no disk: SQLite hands what they commit to
    the system alone."""
    open_durably = Connections._open

    def open_for_now(connections: Connections, **options: bool) -> Connection:
        db = open_durably(connections, **options)
        db.execute("PRAGMA synchronous=OFF")
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connections, "_open", open_for_now)
        yield open_durably


def _copy_if_new(made: Path, path: Path) -> None:
    """Copies the file, which appears whole: another process or thread may be opening it as well."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        shutil.copyfile(made, part)
        os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


class _BuiltOnce(Rule):
    """A rule whose function that builds URLs is compiled once in this process.

    Otherwise each page under test would compile two for each of its 77 rules: a quarter of such
    tests' time.
    """

    _kept: ClassVar[dict[Hashable, Any]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        key = (self.rule, *self._trace, *(self.defaults or {}).items(), append_unknown)
        if key not in self._kept:
            self._kept[key] = super()._compile_builder(append_unknown)
        return self._kept[key]


# By default structlog draws tracebacks with all local variables, which takes half a second each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

# Each page under test, in each process and run, would compile its templates anew.
Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache()}
Flask.url_rule_class = _BuiltOnce


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """What a test collects is its own garbage: to look at all that the tests have imported takes a
    second each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes what a test opened of the store: an application has no moment to do so but its
    process's end.

    The threads of a pool that stays would draw numbers from `random` while other tests, or
    hypothesis, use it.
    """
    made: list[Connections] = []
    pools: list[PostgresConnections] = []
    locks: list[ProcessLock] = []
    make, make_pool, make_lock = (
        Connections.__init__,
        PostgresConnections.__init__,
        ProcessLock.__init__,
    )

    def remember(connections: Connections, *arguments: Any) -> None:
        make(connections, *arguments)
        made.append(connections)

    def remember_pool(connections: PostgresConnections, *arguments: Any) -> None:
        make_pool(connections, *arguments)
        pools.append(connections)

    def remember_lock(lock: ProcessLock, *arguments: Any) -> None:
        make_lock(lock, *arguments)
        locks.append(lock)

    monkeypatch.setattr(Connections, "__init__", remember)
    monkeypatch.setattr(PostgresConnections, "__init__", remember_pool)
    monkeypatch.setattr(ProcessLock, "__init__", remember_lock)
    yield
    for connections in (*made, *pools):
        connections.close()
    for lock in locks:
        lock.release()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds what the bridge's processes last said to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for child in running_children():
            if child.name == "Conductor":  # its log is long, and rarely the place to look
                continue
            report.sections.append((f"{child.name} ({child.log})", child.last_lines(40)))


def _needs_server(scope: str) -> bool:
    """Whether the tests of a scope use their process's Conductor server."""
    return scope.startswith("tests/acceptance/") and not scope.endswith("/test_listen.py")


_OF_VENDORS = {
    "tests/attacks/test_kept_refusals.py",
    "tests/attacks/test_known_breaks.py",
    "tests/attacks/test_security_model.py",
    "tests/attacks/test_unsigned.py",
    "tests/platforms/test_judged_by.py",
    "tests/platforms/test_judges.py",
    "tests/relay/reports/test_raw_deliveries.py",
}
"""Modules whose deliveries are signed with the libraries of vendors."""


def _shared_by(module: str) -> str | None:
    """What this module's tests share with those of others, and what is dear: 4 s of processor time
    to import all vendors' libraries, 3 s to fill a PostgreSQL and to have it plan each statement of
    the store, 3 s to start Chromium and as much each minute that it is there."""
    if module in _OF_VENDORS:
        return "vendors' libraries"
    if module.endswith(("browser.py", "/test_accessibility.py")):
        return "Chromium"
    return "plans of statements" if module.startswith("tests/store/contract/") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each process a module at a time, those of the acceptance tests to half of them only,
    and those that share something dear to one.

    A Conductor server takes ten seconds of processor time to start, and each process that needs one
    starts its own. Not with marks (`xdist_group`): xdist 3.8 writes them where pytest 9.2 no longer
    reads them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ModulesTogether(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            if module.startswith("tests/chaos/"):
                return nodeid  # these share nothing, and take long
            return _shared_by(module) or module

        def _assign_work_unit(self, node: Any) -> None:
            has_server = self.nodes.index(node) < max(1, self.numnodes // 2)
            fitting = [scope for scope in self.workqueue if _needs_server(scope) == has_server]
            if fitting or has_server:
                self.workqueue.move_to_end((fitting or list(self.workqueue))[0], last=False)
                super()._assign_work_unit(node)

    config.option.loadscopereorder = False  # the order is ours
    return ModulesTogether(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` means: two a core, as half of them mostly wait for a Conductor
    server."""
    return min(2 * (os.cpu_count() or 1), 8)


# Pytest then brings those together that share a parameter of a module's fixture.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts first the acceptance tests, then modules with slow tests and those that stay together,
    the slowest of them first: so all processes end at about the same time. Otherwise the order is
    random."""
    slow: dict[Path, int] = {}
    for item in items:
        if item.get_closest_marker("measured") and not item.config.option.usepdb:
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=[TooSlow]))
        if _shared_by(item.nodeid.partition("::")[0]):
            slow[item.path] = 20
        for mark in item.iter_markers("slow"):
            slow[item.path] = max(slow.get(item.path, 0), *mark.args, 10)
    chance = random.Random(SEED)
    modules = list(dict.fromkeys(item.path for item in items))
    chance.shuffle(modules)
    places = {path: place for place, path in enumerate(modules)}
    chance.shuffle(items)
    items.sort(
        key=lambda item: (
            "acceptance" not in item.path.parts,
            -slow.get(item.path, 0),
            places[item.path],
        )
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    random.seed(SEED)


def pytest_report_header() -> str:
    return HOW_TO_REPEAT


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end what was skipped, why, and what adds it; and how to repeat a run that
    failed."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        listed = ", ".join(f"{count} ({reason})" for reason, count in reasons.most_common())
        terminalreporter.write_line(
            f"Skipped: {listed}; `sudo .ci/run install` adds what Debian has of that."
        )
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(HOW_TO_REPEAT)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Has what the last tests left collected once, by pytest's own hook, not three times at a
    second each."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its seed
def pytest_configure(config: pytest.Config) -> None:
    """Makes the tests' own marks known, and sets Hypothesis' seed."""
    config.option.hypothesis_seed = SEED
    config.addinivalue_line(
        "markers",
        "server: depends on what is behind Conductor; `.ci/run` runs these on PostgreSQL too",
    )
    config.addinivalue_line(
        "markers", "slow(seconds=10): takes at least so many; its module begins before others"
    )
    config.addinivalue_line(
        "markers",
        "cluster: installs the chart on the Kubernetes of KUBECONFIG; `make cluster` runs these",
    )
    config.addinivalue_line(
        "markers", "examples: makes examples; `make examples` runs it with many more"
    )
    config.addinivalue_line(
        "markers", "storm: lasts as long as `TEST_STORM_SECONDS` says; `make storms` runs these"
    )
    config.addinivalue_line(
        "markers",
        "measured: compares times; as the machine may stall, it is run again, twice at most, if it was TooSlow",
    )
    config.addinivalue_line(
        "markers",
        "long: with real processes, shows what others show too, or a storm; `make test-long` runs these",
    )
