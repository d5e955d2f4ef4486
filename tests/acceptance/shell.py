"""A terminal beside a running bridge, as the documentation supposes it: bash in a folder prepared
by `make run`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from click.testing import CliRunner

from admin.cli import main
from tests.support.bridge import Bridge
from tests.support.document import Step
from tools.demo import preparations
from tools.servers import PATIENCE
from tools.servers.processes import Child, free_port, start_admin

_PRELUDE = """
webhook-bridge() {
  env -0 > "$JOB/environment"
  printf '%s\\0' run "$#" "$@" >&"$REQUESTS"
  local code; read -r code <&"$ANSWERS"
  cat "$JOB/stdout"; cat "$JOB/stderr" >&2
  return "$code"
}
. data/run.env
"""
"""Has the command line run in the tests' own process: its start takes more time than all the rest.
"""
_LOOKS = re.compile(
    r"webhook-bridge (webhooks|events( show| explain| -| *$)|tasks|check|rejections)|curl (?!.*(-X|-d))"
)
"""Commands that change nothing, so that one may look again."""


class Workplace(Bridge):
    """Relay, worker and admin page of a folder that `make run` has prepared."""

    def __init__(self, folder: Path, conductor_url: str) -> None:
        super().__init__(folder, conductor_url, "")
        self.admin_port = free_port()
        self.admin: Child | None = None
        del self.environment["BRIDGE_WEBHOOKS"]
        self.environment |= {
            "BRIDGE_DATABASE": f"sqlite:///{folder / 'data' / 'bridge.db'}",
            "CONDUCTOR_UI_SERVER_URL": conductor_url.removesuffix("/api"),
            "ADMIN_PORT": str(self.admin_port),
        }
        with self.inside({}):
            preparations.prepare(folder)
        preparations.for_a_terminal(self.environment, folder)
        self.definitions = folder / preparations.DEFINITIONS

    def define(self, webhooks: str) -> None:
        """Nothing: `make run` has defined what there is."""

    def start(self) -> Workplace:
        """Starts relay, worker and admin page."""
        super().start()
        self.admin = start_admin(
            self.environment, self.folder / "admin.log", self.admin_port, self.folder
        )
        return self

    def stop(self) -> None:
        """Stops what runs."""
        if self.admin:
            self.admin.stop()
        super().stop()


def _never_ends(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError("the command doesn't end: leave it out of what is run")


class Shell:
    """A running bash, until `close`."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._job = place.folder / "job"
        self._job.mkdir(exist_ok=True)
        requests, to_us = os.pipe()
        from_us, answers = os.pipe()
        # As on a terminal, which the output here is none of.
        (self._job / ".curlrc").write_text("silent\n")
        known = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            cwd=place.folder,
            env={
                **known,
                "JOB": str(self._job),
                "CURL_HOME": str(self._job),
                "REQUESTS": str(to_us),
                "ANSWERS": str(from_us),
            },
            pass_fds=(to_us, from_us),
            text=True,
        )
        os.close(to_us)
        os.close(from_us)
        self._requests, self._answers = os.fdopen(requests, "rb"), os.fdopen(answers, "w")
        self.run(_PRELUDE)

    def close(self) -> None:
        """Ends it."""
        self._bash.communicate(timeout=PATIENCE)
        self._requests.close()
        self._answers.close()

    def run(self, command: str) -> tuple[str, int]:
        """What the command prints, and its exit code."""
        output, stdin = self._job / "output", self._bash.stdin
        assert stdin is not None
        stdin.write(
            f'{{ {command}\n}} > "$JOB/output" 2>&1 < /dev/null; printf "%s\\0" end "$?" >&"$REQUESTS"\n'
        )
        stdin.flush()
        patience = threading.Timer(PATIENCE, self._bash.kill)
        patience.start()
        try:
            while self._word() == "run":
                self._answer([self._word() for _ in range(int(self._word()))])
            return output.read_text(encoding="utf-8"), int(self._word())
        finally:
            patience.cancel()

    def _word(self) -> str:
        found = b""
        while (byte := self._requests.read(1)) != b"\0":
            assert byte, "bash has ended"
            found += byte
        return found.decode()

    def _answer(self, arguments: list[str]) -> None:
        """Runs `webhook-bridge` for bash."""
        pairs = (self._job / "environment").read_text(encoding="utf-8").split("\0")
        signal.signal(signal.SIGALRM, _never_ends)
        signal.alarm(int(PATIENCE))
        try:
            with self._place.inside(dict(pair.split("=", 1) for pair in pairs if pair)):
                answer = CliRunner().invoke(main, arguments, catch_exceptions=False)
        finally:
            signal.alarm(0)
        (self._job / "stdout").write_text(answer.stdout, encoding="utf-8")
        (self._job / "stderr").write_text(answer.stderr, encoding="utf-8")
        print(int(answer.exit_code), file=self._answers, flush=True)

    def play(self, step: Step) -> str:
        """What the step prints, once that is what its page shows: people look again, too. Fails if
        it never is."""
        deadline, has_reloaded = time.monotonic() + PATIENCE, False
        while True:
            printed, code = self.run(step.command)
            if step.is_shown(printed) and (step.shown or code == 0):
                return printed
            # The relay hasn't read the definition yet, or is just reading it.
            is_unknown = printed.startswith("404") or "Connection aborted" in printed
            may_change = is_unknown or "can't be stored now" in printed
            assert (may_change or _LOOKS.match(step.command)) and time.monotonic() < deadline, (
                f"$ {step.command}\n{printed}\nexit code {code}; the page shows\n"
                + "\n".join(step.shown)
            )
            if is_unknown and not has_reloaded:
                self._place.reload()
                has_reloaded = True
            time.sleep(0.2)
