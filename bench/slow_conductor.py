"""``python -m bench.slow_conductor PORT``: a fake Conductor whose answers take five milliseconds."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

DELAY = 0.005
_numbers = itertools.count(1)
_started: list[int] = [0]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            asked = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *headers = asked.split("\r\n")
            length = next((int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:")), 0)
            if length:
                await reader.readexactly(length)
            method, path, _ = line.split(" ", 2)
            body = await _answer(method, path)
            kind = b"text/plain" if method == "POST" else b"application/json"
            size = str(len(body)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: " + size + b"\r\n\r\n" + body
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _answer(method: str, path: str) -> bytes:
    if path == "/started":
        return str(_started[0]).encode()
    if (method == "POST" and path.startswith("/api/workflow?")) or path == "/api/workflow":
        await asyncio.sleep(DELAY)
        _started[0] += 1
        return f"workflow-{next(_numbers)}".encode()
    if "correlated" in path:
        return b"{}"  # nothing was started before
    if "search" in path:
        return json.dumps({"totalHits": 0, "results": []}).encode()
    return b"[]"


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
