"""How many files, including connections, a process may have open."""

from __future__ import annotations

import resource
from contextlib import suppress

_MOST = 65536


def allow_open_files() -> int:
    """Raises this process's limit as far as the system allows, up to 65,536: the default is often a thousand. Returns
    the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return _MOST if soft == resource.RLIM_INFINITY else soft
