"""Structured logs on stderr: one line per step, text on a terminal and JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def _console() -> Any:
    # Plain tracebacks: the pretty ones print local variables, and so payloads and secrets.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def configure_logging(log_format: str | None, process: str) -> None:
    """Sends all of this process's logs, including libraries', through structlog to stderr.

    `log_format` is ``text``, ``json`` or None for text on a terminal and JSON elsewhere; `process` (relay, worker,
    admin) appears in every line.
    """
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())

    def add_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", process)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]
    renderer: Any = _console() if text else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if text else [structlog.processors.format_exc_info]),
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # These log at INFO what is only worth a line when it fails.
    for noisy in ("urllib3", "conductor"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns about every run that it skips because the last one isn't over, which is fine on a busy machine.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
