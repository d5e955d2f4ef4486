"""A plain TCP proxy in front of one server or several, which can simulate outages."""

from __future__ import annotations

import contextlib
import socket
import threading

from tools.servers.processes import free_port


class Proxy:
    """Forwards connections on `port` to other ports in turn while it is `open`; refuses them
    otherwise.

    It knows nothing of what it forwards: a port that refuses a connection is passed over, and that
    is all.
    """

    def __init__(self, *to: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._to = to
        self._turn = 0
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()

    @property
    def is_open(self) -> bool:
        """Whether it lets connections through."""
        return self._listener is not None

    def open(self) -> None:
        """Lets connections through from now on."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Cuts every connection, and refuses new ones, as a server that went down does."""
        listener, self._listener = self._listener, None
        if listener:
            # Wakes the thread in accept(), which closing alone doesn't.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Forwards nothing from now on, but cuts no connection: clients that wait for an answer
        keep waiting."""
        self._flows.clear()

    def thaw(self) -> None:
        """Forwards what was held back, and continues."""
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = self._connect()
            if far is None:
                near.close()
                continue
            with self._lock:
                self._sockets |= {near, far}
            pumps = [
                threading.Thread(target=self._pump, args=ends, daemon=True)
                for ends in ((near, far), (far, near))
            ]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self._finish, args=(pumps, near, far), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        self._turn += 1
        for number in range(len(self._to)):
            with contextlib.suppress(OSError):
                return socket.create_connection(
                    ("127.0.0.1", self._to[(self._turn + number) % len(self._to)])
                )
        return None

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _finish(
        self, pumps: list[threading.Thread], near: socket.socket, far: socket.socket
    ) -> None:
        for pump in pumps:
            pump.join()
        with self._lock:
            self._sockets -= {near, far}
        near.close()
        far.close()
