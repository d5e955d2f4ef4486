"""A private Conductor server: its jar (from Maven), a Java to run it, and the running process.

`python -m tools.servers.conductor` fetches the jar if it is missing, and prepares it to start
quickly.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from tools.servers import PATIENCE
from tools.servers.java import QuickStart, find_java
from tools.servers.processes import Child, Failed, free_port, status_of

RELEASE = "3.32.3"
"""The release of Conductor OSS that tests and demo run on; a test keeps the documentation in step.
"""
VERSION = os.environ.get("CONDUCTOR_VERSION") or RELEASE
"""The release that runs here."""
JAR_MEGABYTES = 458
"""About the size of that release's jar, for the progress shown."""

_PATIENT_WITH_SCRIPTS = {"CONDUCTOR_SCRIPT_MAX_EXECUTION_SECONDS": "60"}
"""By default it fails a loop whose condition took four seconds, as the first script does on a busy
machine."""

Say = Callable[[str], None]
"""Receives text for the person who watches; text without a line break is progress."""


def say(text: str) -> None:
    """Prints a piece of text at once."""
    print(text, end="", flush=True)


# --- the jar ---


def maven_repository() -> Path:
    """Maven's local repository: as MAVEN_ARGS, MAVEN_OPTS or settings.xml say, else
    `~/.m2/repository`."""
    for variable in ("MAVEN_ARGS", "MAVEN_OPTS"):
        for option in shlex.split(os.environ.get(variable, "")):
            name, _, value = option.partition("=")
            if name == "-Dmaven.repo.local" and value:
                return Path(value).expanduser()
    settings = Path.home() / ".m2" / "settings.xml"
    try:
        local = ElementTree.parse(settings).getroot().find("{*}localRepository")
    except (OSError, ElementTree.ParseError):
        local = None
    if local is not None and local.text and local.text.strip():
        text = local.text.strip().replace("${user.home}", str(Path.home()))
        return Path(os.path.expandvars(text.replace("${env.", "${")))
    return Path.home() / ".m2" / "repository"


def jar_path() -> Path:
    """Where the server's jar is, or would be. `CONDUCTOR_JAR` overrides Maven's place."""
    given = os.environ.get("CONDUCTOR_JAR")
    if given:
        return Path(given).expanduser()
    folder = maven_repository() / "org" / "conductoross" / "conductor-server" / VERSION
    return folder / f"conductor-server-{VERSION}-boot.jar"


def find_jar(say: Say = say) -> Path:
    """The server's jar, fetched through Maven if it isn't there yet.

    Raises Failed without Maven, or with the end of Maven's output when it can't fetch the jar.
    """
    jar = jar_path()
    if jar.is_file():
        return jar
    if "CONDUCTOR_JAR" in os.environ:
        raise Failed(f"CONDUCTOR_JAR names {jar}, which is not there")
    maven = shutil.which("mvn")
    if maven is None:
        raise Failed(
            f"Conductor {VERSION} is not in {maven_repository()}, and there is no Maven (`mvn`) to fetch it: "
            "install Maven, or set CONDUCTOR_JAR to the jar's path, or CONDUCTOR_SERVER_URL to a server"
        )
    say(f"Fetching Conductor {VERSION} through Maven, once ({JAR_MEGABYTES} MB)\n")
    artifact = f"org.conductoross:conductor-server:{VERSION}:jar:boot"
    command = [maven, "-B", "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        shown = -1
        try:
            while process.poll() is None:
                got = _megabytes(jar.parent)
                if got != shown:
                    say(f"  {got} MB of {JAR_MEGABYTES} MB\n")
                    shown = got
                _wait(process, 2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0 or not jar.is_file():
            output.seek(0)
            lines = output.read().decode("utf-8", "replace").splitlines()
            tail = "\n".join(f"    {line}" for line in lines[-15:])
            raise Failed(
                f"Maven couldn't fetch {artifact} into {jar.parent}; its output ends with\n{tail}"
            )
    return jar


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _megabytes(folder: Path) -> int:
    """What Maven has written there so far; its unfinished file lies in the same folder."""
    total = 0
    for file in folder.glob("*") if folder.is_dir() else ():
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            continue
    return total // 1024**2


# --- the server ---


class ConductorServer:
    """A Conductor server on a port of the loopback interface, its data by default in SQLite files
    in one folder."""

    java_options: ClassVar = [
        "-Xmx1g",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "--enable-native-access=ALL-UNNAMED",
        "-Dconductor.workflow-message-queue.enabled=true",  # for `messages`; off by default
    ]

    def __init__(
        self, folder: Path, port: int | None = None, say: Say = say, properties: Sequence[str] = ()
    ) -> None:
        """Finds or fetches what it needs. Nothing runs before `start`. `properties`: further
        options.

        Raises Failed if the jar or Java is unavailable.
        """
        self._properties = properties
        self.folder = folder
        self.port = port or free_port()
        self._say = say
        self.jar = find_jar(say)
        self.java, self.java_origin = find_java()
        self.command = QuickStart(self.jar, self.java).command
        self.child: Child | None = None

    @property
    def ui_url(self) -> str:
        """Its address."""
        return f"http://localhost:{self.port}"

    @property
    def url(self) -> str:
        """The base of its API."""
        return f"{self.ui_url}/api"

    def start(self, timeout: float = 300.0) -> None:
        """Starts it and returns once it is healthy. Raises Failed with the reason if it isn't."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._say(f"Conductor {VERSION} ({self.java_origin}) is starting at {self.ui_url} ")
        began = time.monotonic()
        java, *jar = self.command
        command = [java, *self.java_options, *jar, f"--server.port={self.port}", *self._properties]
        environment = {**_PATIENT_WITH_SCRIPTS, **os.environ}
        self.child = Child(
            "Conductor", command, self.folder / "conductor.log", environment, self.folder
        )
        try:
            self.child.wait_until(self.healthy, timeout, tick=lambda: self._say("."), every=0.2)
        except BaseException:
            self._say("\n")
            self.kill()
            raise
        self._say(f" up after {time.monotonic() - began:.0f} s\n")

    def healthy(self) -> bool:
        """Whether it reports that it is healthy."""
        return status_of(f"http://127.0.0.1:{self.port}/health") == 200

    def stop(self) -> None:
        """Stops it, by force if necessary."""
        if self.child:
            self.child.stop(timeout=20)
            self.child = None

    def kill(self) -> None:
        """Kills it at once, like `kill -9`."""
        if self.child:
            self.child.kill()
            self.child = None


def prepare() -> None:
    """Has every later server start quickly, if this Java can do that: takes half a minute, once."""
    jar, (java, _) = find_jar(), find_java()
    quick = QuickStart(jar, java)
    if not quick.can_be_prepared or not quick.unpack():
        return
    with tempfile.TemporaryDirectory(prefix="conductor-rehearsal-") as folder:
        server = ConductorServer(Path(folder))
        server.command = quick.rehearsal
        server.start()
        assert server.child is not None
        server.child.stop(PATIENCE)
    if quick.keep():
        say("From now on it starts in a third of the time\n")


def main() -> int:
    """Fetches the jar, prepares its start, and says what the server would run with."""
    try:
        jar = find_jar()
        _, origin = find_java()
        prepare()
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Conductor {VERSION} is at {jar}; it runs with {origin}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
