"""PgBouncer in transaction mode in front of a private PostgreSQL server; it can be killed and
started again."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from tools.servers import PATIENCE
from tools.servers.postgres import unprivileged
from tools.servers.processes import Child, Failed, free_port


class PgBouncer:
    """A pooler for one database. Nothing runs before `start`."""

    def __init__(self, database: str, log: Path, sessions: int = 3) -> None:
        """`database` is its URL, without a password; `sessions` is how many the clients share.

        Raises Failed if PgBouncer isn't installed.
        """
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise Failed("PgBouncer isn't installed (Debian: apt-get install pgbouncer)")
        parts = urlsplit(database)
        self.port = free_port()
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.port}").geturl()
        self.child: Child | None = None
        self._log = log
        self._folder = Path(tempfile.mkdtemp(prefix="bridge-pgbouncer-"))
        self._folder.chmod(0o755)  # it doesn't run as root
        users, settings = self._folder / "users", self._folder / "settings.ini"
        users.write_text(f'"{parts.username}" ""\n')
        settings.write_text(
            f"[databases]\n{parts.path[1:]} = host=127.0.0.1 port={parts.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = trust\n"
            f"auth_file = {users}\npool_mode = transaction\ndefault_pool_size = {sessions}\n"
        )
        self._command = [*unprivileged(), program, str(settings)]

    def start(self) -> PgBouncer:
        """Starts it, for the first time or again; returns once it listens."""
        self.child = Child("PgBouncer", self._command, self._log)
        self.child.wait_until(self._listens, PATIENCE)
        return self

    def kill(self) -> None:
        """Kills it, and with it all of its connections."""
        if self.child is not None:
            child, self.child = self.child, None
            child.kill()

    def stop(self) -> None:
        """Kills it, and removes its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False
