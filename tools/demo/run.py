"""`make run`: Conductor, relay, worker and admin page, kept running until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import load_dotenv

from config.urls import without_password
from tools.demo import one_address, preparations, sample
from tools.servers.client import Conductor, RequestFailed
from tools.servers.conductor import ConductorServer, say
from tools.servers.processes import (
    ROOT,
    Child,
    Failed,
    check_port,
    free_port,
    status_of,
    stop_all,
    stop_all_on_exit,
)

DATA = ROOT / "data"
ENV_FILE = ROOT / ".env"


def line(text: str = "") -> None:
    """Prints a line at once."""
    print(text, flush=True)


def check_definitions(environment: dict[str, str]) -> None:
    """Raises Failed with every problem that `webhook-bridge check` finds."""
    command = [str(Path(sys.executable).parent / "webhook-bridge"), "check", "--offline"]
    answer = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise Failed(f"the definitions have problems\n{answer.stdout}{answer.stderr}")
    say(answer.stdout)


def find_conductor() -> Conductor:
    """The server of CONDUCTOR_SERVER_URL if that is set, else our own."""
    given = os.environ.get("CONDUCTOR_SERVER_URL")
    if given:
        line(f"Conductor at {given} (CONDUCTOR_SERVER_URL)")
        try:
            return Conductor(
                given, os.environ.get("CONDUCTOR_AUTH_KEY"), os.environ.get("CONDUCTOR_AUTH_SECRET")
            )
        except RequestFailed as error:
            raise Failed(f"Conductor doesn't answer at CONDUCTOR_SERVER_URL: {error}") from None
    chosen = os.environ.get("CONDUCTOR_PORT")
    port = int(chosen or 8080)
    try:
        check_port(port, "CONDUCTOR_PORT", "Conductor")
    except Failed:
        if chosen:
            raise
        port = free_port()
        line("Port 8080 is taken; Conductor gets another one")
    server = ConductorServer(DATA / "conductor", port)
    server.start()
    return Conductor(server.url)


def run() -> None:
    """Starts everything, says what to try, and runs until a process ends or we are stopped."""
    load_dotenv(ENV_FILE)
    port = int(os.environ.get("PORT", "8000"))
    admin_port = int(os.environ.get("ADMIN_PORT", "8090"))
    check_port(port, "PORT", "the relay")
    check_port(admin_port, "ADMIN_PORT", "the admin page")
    preparations.prepare()
    check_definitions(dict(os.environ))
    conductor = find_conductor()
    sample.register(conductor)
    environment = dict(os.environ) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PORT": str(port),
        "ADMIN_PORT": str(admin_port),
        "CONDUCTOR_SERVER_URL": conductor.url,
        "BRIDGE_LOG_FORMAT": os.environ.get("BRIDGE_LOG_FORMAT", "text"),
        "PYTHONUNBUFFERED": "1",
    }
    preparations.for_a_terminal(environment)
    command = [sys.executable, "-m", "tools.demo.procfile"]
    honcho = Child("the Procfile's processes", command, DATA / "run.log", environment, show=True)
    try:
        honcho.wait_until(lambda: status_of(f"http://127.0.0.1:{port}/readyz") == 200, timeout=60)
    except Failed as error:
        raise Failed(str(error).partition(";")[0] + "; the reason is above") from None
    address = one_address_of(port, admin_port, conductor.url)
    time.sleep(1)  # lets their first lines appear before ours
    tell(port, admin_port, conductor.url, address)
    honcho.process.wait()
    raise Failed(f"the Procfile's processes ended with exit code {honcho.process.returncode}")


def one_address_of(port: int, admin_port: int, conductor_url: str) -> str:
    """Where Conductor's API has the webhook routes that its documentation describes, or how to have
    that."""
    server = urlsplit(conductor_url)
    if server.hostname not in ("localhost", "127.0.0.1") or server.path != "/api":
        return "see docs/incoming-webhooks.md"
    own = free_port()
    ports = {"relay": port, "admin": admin_port, "conductor": server.port or 80}
    if one_address.start(DATA / "one-address", own, ports) is None:
        return "needs nginx: see docs/incoming-webhooks.md"
    return f"http://localhost:{own}/api"


def tell(port: int, admin_port: int, conductor_url: str, address: str) -> None:
    """Prints the addresses and what to try next."""
    page = os.environ.get(
        "CONDUCTOR_UI_SERVER_URL", "this server has no web page; links to workflows lead to its API"
    )
    line(f"""
------------------------------------------------------------------------
 admin page  http://localhost:{admin_port}
 relay       http://localhost:{port}/webhook/…
 Conductor   {conductor_url}   ({page})
 both        {address}   (Conductor's API, with the webhook routes of its documentation)
 webhooks    {os.path.relpath(preparations.definitions())}
 store       {without_password(os.environ.get("BRIDGE_DATABASE", "sqlite:///data/bridge.db"))}

 Try, in another terminal (a workflow waits, the webhook is verified, a message resumes the workflow):
   . {preparations.TERMINAL}
   curl -X POST $CONDUCTOR_SERVER_URL/workflow/{sample.WORKFLOW} -H 'Content-Type: application/json' -d '{{}}'
   webhook-bridge send {sample.WEBHOOK} --data '{{"type": "url_verification", "challenge": "abc"}}'
   webhook-bridge send {sample.WEBHOOK} --data '{{"event": {{"type": "message", "text": "hi"}}}}'
   webhook-bridge events

 Edit the definitions while it runs, in the folder or on the admin page: they take effect within five seconds.
 Ctrl-C stops everything.
------------------------------------------------------------------------
""")


def main() -> int:
    """Runs until interrupted. Exit code 0 then, or 1 with the reason if something fails."""
    stop_all_on_exit()
    code = 0
    try:
        run()
    except (Failed, RequestFailed, subprocess.SubprocessError) as error:
        line(f"\nmake run failed: {error}")
        code = 1
    except KeyboardInterrupt:
        line()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("Stopping everything\n")
        stop_all()
    line("Stopped.")
    return code


if __name__ == "__main__":
    sys.exit(main())
