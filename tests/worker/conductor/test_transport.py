"""One request to Conductor: what it may take, how it ends, and that none leaves too late."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from testkit import PATIENCE
from tests.worker.conductor.stand_in import POLLED, Answer, StandIn
from worker.conductor import transport
from worker.conductor.bounds import Bounds
from worker.conductor.client import Conductor
from worker.conductor.connection import Connection
from worker.conductor.errors import Garbled, NotNow, NotTrusted, OutcomeUnknown, Unreachable


def test_an_answer_that_is_not_utf_8_is_not_read_as_something_else(server: StandIn, conductor: Conductor) -> None:
    task = json.dumps({**POLLED, "inputData": {"matches": {"$.n": "caf?"}}}).encode().replace(b"caf?", b"caf\xe9")
    server.answers = [Answer(task)]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")


def test_an_answer_that_is_too_large_is_not_read_to_its_end(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({**POLLED, "outputData": {"much": "x" * 5000}})]
    with pytest.raises(Garbled):
        Conductor(server.url, Bounds(30, largest_answer=4000)).waiting_task("t1")
    assert conductor.waiting_task("t1") is not None


def test_of_one_answer_less_may_be_read_than_of_others(server: StandIn, conductor: Conductor) -> None:
    much = [{"workflowId": "w1", "status": "COMPLETED", "input": {"much": "x" * 5000}}]
    server.answers = [Answer({"k": much}), Answer({"k": much})]
    with pytest.raises(Garbled):
        conductor.messages.with_key("agent", "k", ended=True, largest=4000)
    assert [one.id for one in conductor.messages.with_key("agent", "k", ended=True)] == ["w1"]


def test_whoever_reads_may_wait_for_less_than_the_time_out(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer(POLLED, wait=60)]
    with pytest.raises(OutcomeUnknown):
        conductor.within(0.1).waiting_task("t1")
    server.answers = [Answer(POLLED)]
    assert conductor.waiting_task("t1") is not None


def test_where_nobody_listens_nothing_has_happened() -> None:
    with pytest.raises(Unreachable):
        Conductor("http://127.0.0.1:1/api", Bounds(1)).poll("me")


def test_certificates_are_read_only_for_tls(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has a connection of its own, and to read those of all authorities takes longer than most calls."""
    monkeypatch.setattr("ssl.SSLContext", mock.Mock(side_effect=AssertionError("certificates are read")))
    server.answers = [Answer([])]
    assert Conductor(server.url, Bounds(30)).poll("me") == []


def test_an_error_of_tls_leaves_open_what_has_happened(conductor: Conductor) -> None:
    error = ssl.SSLError("bad record MAC")
    with mock.patch.object(Connection, "exchange", side_effect=error), pytest.raises(OutcomeUnknown):
        conductor.start("flow", None, "{}", "event")


def test_a_call_that_takes_too_long_is_given_up(server: StandIn, conductor: Conductor) -> None:
    conductor = Conductor(server.url, Bounds(0.2))
    server.answers = [Answer("a long answer that comes byte by byte", wait=0.5)]
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"^Conductor gave no complete answer within 0\.2 s$"):
        conductor.start("flow", None, "{}", "event")
    assert time.monotonic() - began < 10, "byte by byte it would be 20 seconds"


def test_an_answer_whose_head_comes_byte_by_byte_is_given_up_as_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peers: list[socket.socket] = []

        def trickle() -> None:
            peer, _ = listener.accept()
            peers.append(peer)
            with suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"-" * 1000:
                    peer.sendall(bytes([byte]))
                    time.sleep(0.02)

        threading.Thread(target=trickle, daemon=True).start()
        conductor = Conductor(f"http://127.0.0.1:{listener.getsockname()[1]}/api", Bounds(0.5))
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"^Conductor gave no complete answer within 0\.5 s$"):
            conductor.start("flow", None, "{}", "event")
        assert time.monotonic() - began < 10, "byte by byte it would be 20 seconds"
        for peer in peers:
            peer.close()


def test_a_call_without_a_complete_answer_resets_its_connection() -> None:
    """Else the kernel would send what is left of the request when the network is back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        conductor = Conductor(f"http://127.0.0.1:{listener.getsockname()[1]}/api", Bounds(0.2))
        calls = (
            lambda: conductor.start("flow", None, "{}", "event"),
            lambda: conductor.poll("me"),
            lambda: conductor.extend_lease("t1", "w1"),
        )
        for call in calls:
            with pytest.raises(OutcomeUnknown, match="no complete answer"):
                call()
            peer, _ = listener.accept()
            peer.settimeout(PATIENCE)
            with peer, pytest.raises(ConnectionResetError):
                while peer.recv(1000):
                    pass


def test_all_threads_share_one_context_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    monkeypatch.setattr(transport, "Connection", lambda url, tls: used.append(tls) or Connection(url, tls))
    conductor = Conductor("https://127.0.0.1:1/api", Bounds(5))

    def call() -> None:
        with pytest.raises(Unreachable):
            conductor.task("t1")

    for _ in range(3):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert len(used) == 3
    assert isinstance(used[0], ssl.SSLContext)
    assert len(set(used)) == 1
    assert used[0].verify_mode is ssl.CERT_REQUIRED
    assert used[0].check_hostname


def test_an_authority_that_is_new_since_the_process_started_is_trusted(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a secret of Kubernetes, whose files are replaced while the pod runs."""
    for name in ("old", "new"):
        subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
            f" -keyout {name}.key -out {name}.crt".split(),
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    authorities = tmp_path / "authorities.crt"
    authorities.write_bytes((tmp_path / "old.crt").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    monkeypatch.setattr("worker.conductor.transport._TRUST_EVERY", 0.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "new.crt", tmp_path / "new.key")
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    server.answers = [Answer([])]
    conductor = Conductor(server.url.replace("http:", "https:"), Bounds(PATIENCE))
    with pytest.raises(NotTrusted):
        conductor.poll("me")
    authorities.write_bytes((tmp_path / "new.crt").read_bytes())
    with pytest.raises(NotTrusted):
        conductor.poll("me")
    assert conductor.poll("me") == []


def test_a_header_cannot_hold_a_line_break(server: StandIn) -> None:
    """Else whoever chooses a token would choose the rest of the request."""
    server.answers = [Answer([])]
    sender = transport.Transport(server.url, Bounds(PATIENCE), None)
    for value in ("a\r\nX-Other: b", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            sender.send("GET", "/api/tasks", {"X-Authorization": value})
    assert server.requests == []


def test_a_connection_that_took_too_long_carries_no_request(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("w1")]
    with pytest.raises(Unreachable):
        Conductor(server.url, Bounds(5, connect_timeout=-1)).start("flow", None, "{}", "event")
    assert server.requests == []


def test_a_request_never_leaves_after_its_time(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("w1")]
    with pytest.raises(NotNow):
        conductor.start("flow", None, "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.complete("w", "wait", "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.poll("me", not_after=time.monotonic() - 0.001)
    assert server.requests == []
    assert conductor.start("flow", None, "{}", "event") == "w1", "the limit was that call's alone"


@pytest.mark.parametrize(("frozen", "moment"), [(Connection, "connect"), (socket.socket, "sendall")])
def test_a_process_that_freezes_before_all_of_a_request_is_sent_sends_no_more_when_it_wakes(
    server: StandIn, conductor: Conductor, frozen: type, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [Answer("w1")]
    go_on = getattr(frozen, moment)
    large = json.dumps({"text": "x" * 100_000})

    def freeze(*given: Any) -> None:
        go_on(*given)  # the connection is there, or the first piece is sent
        time.sleep(0.3)

    with monkeypatch.context() as patch:
        patch.setattr(frozen, moment, freeze)
        with pytest.raises(NotNow, match="too late"):
            conductor.start("flow", None, large, "event", not_after=time.monotonic() + 0.2)
    assert server.requests == []
    assert conductor.start("flow", None, "{}", "event") == "w1", "a new connection is made"
    assert len(server.requests) == 1


def test_a_process_that_freezes_while_it_connects_does_not_poll_when_it_wakes(
    server: StandIn, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, now = Connection.connect, time.monotonic

    def freeze(*given: Any) -> None:
        connect(*given)
        monkeypatch.setattr(time, "monotonic", lambda: now() + 3600)

    monkeypatch.setattr(Connection, "connect", freeze)
    with pytest.raises(NotNow, match="too late"):
        conductor.poll("me", not_after=now() + 1800)
    assert server.requests == []


def test_a_call_has_ended_when_its_longest_time_is_over() -> None:
    assert Conductor("http://127.0.0.1:1/api", Bounds(10)).longest_call == 13
    assert Conductor("http://127.0.0.1:1/api", Bounds(1)).longest_call == 2


def test_half_an_answer_is_no_answer(server: StandIn, conductor: Conductor) -> None:
    """Half of an id would pass for one, and nobody would find the workflow by it."""
    server.answers = [Answer("8b65bd19-2a68-4e15-aed3-ac360458c26f", kind="text/plain", close="middle")]
    with pytest.raises(OutcomeUnknown):
        conductor.start("flow", None, "{}", "event")
