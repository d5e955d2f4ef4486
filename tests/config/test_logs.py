"""Logs: one line a step, JSON or text, and whose line it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from unittest import mock

import pytest
import structlog

from config.logs import configure_logging, some_of


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def test_a_line_of_ours_is_json_and_names_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "relay")
    structlog.get_logger("some.module").info("accepted", webhook="github-deploys")
    line = json.loads(capsys.readouterr().err)
    assert line["process"] == "relay"
    assert line["webhook"] == "github-deploys"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")
    assert line["logger"] == "some.module"


def test_a_line_without_a_name_has_its_modules(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "relay")
    structlog.get_logger().info("accepted")
    assert json.loads(capsys.readouterr().err)["logger"] == __name__


def test_our_own_errors_come_with_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    log = structlog.get_logger()
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed", task="t1")
    log.debug("nobody wants to know")
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert (line["event"], line["level"], line["task"]) == ("failed", "error", "t1")
    assert "ValueError: why" in line["exception"]


class Shy:
    def __repr__(self) -> str:
        raise ValueError("no")


def test_what_cannot_be_logged_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("json", "worker")
    log = structlog.get_logger()
    log.info("decided", webhook="w", value=Shy())
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["webhook"], line["unlogged"]) == ("decided", "w", "ValueError")
    configure_logging("text", "worker")
    structlog.get_logger().info("decided", webhook="w", value=Shy())
    text = capsys.readouterr().err
    assert all(part in text for part in ("info", "decided", "webhook=w", "unlogged=ValueError"))
    monkeypatch.setattr(
        "sys.stderr", mock.Mock(write=mock.Mock(side_effect=OSError("the disk is full")))
    )
    log.info("decided")


def test_a_librarys_line_and_its_error_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("a.library").exception("failed", extra={"task": "t1"})
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert (line["event"], line["process"], line["task"]) == ("failed", "worker", "t1")
    assert "ValueError: why" in line["exception"]


def test_elsewhere_than_on_a_terminal_it_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(None, "admin")
    logging.getLogger("x").warning("here")
    assert json.loads(capsys.readouterr().err)["process"] == "admin"


def test_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "relay")
    structlog.get_logger().warning("careful", webhook="w")
    text = capsys.readouterr().err
    assert "careful" in text
    assert "webhook=w" in text
    assert len(text.splitlines()) == 1


def test_no_line_of_text_has_a_character_that_a_terminal_acts_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A workflow's name, or a path, may have been chosen by a stranger."""
    configure_logging("text", "relay")
    odd = "\x1b[31m\x9b2J\u202e\r\n"
    structlog.get_logger().warning("ours", path=f"/{odd}", reason=f"it is {odd}")
    logging.getLogger("x").warning("a library's: %s", odd)
    try:
        raise ValueError(odd)
    except ValueError:
        structlog.get_logger().exception("failed")
    text = capsys.readouterr().err
    assert text.replace("\n", "").isprintable()
    assert "path=/\\x1b[31m\\x9b2J\\u202e\\r\\n" in text
    assert "Traceback" in text


def test_of_very_many_names_a_line_has_the_first() -> None:
    names = [f"w{number}" for number in range(2000)]
    assert some_of(names[:20]) == names[:20]
    assert some_of(names) == [*names[:20], "and 1980 more"]
