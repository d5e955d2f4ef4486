"""The Makefile's set-up of the virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.servers.processes import ROOT

# Nothing of a make that runs the tests, nor of pip's and uv's own settings.
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
)


def set_up(venv: Path, install: str, **environment: str) -> str:
    """What the set-up of that environment prints, with another command that installs."""
    fast = venv.parent / "python3"  # which would install pip for many seconds
    fast.write_text(
        f'#!/bin/sh\n[ "$1" != -m ] || set -- "$@" --without-pip\nexec "{sys.executable}" "$@"\n'
    )
    fast.chmod(0o755)
    answer = subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={fast}", f"INSTALL={install}", f"{venv}/.installed"],
        cwd=ROOT,
        env={name: os.environ[name] for name in _KEPT if name in os.environ} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "removed" / "python3")
    (python.parent / "python3").symlink_to("python")
    set_up(venv, "true")
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0


@pytest.mark.parametrize("given", ["PIP_CERT", "SSL_CERT_FILE"])
def test_pip_and_uv_both_use_the_authority_and_the_index_of_one_of_them(
    given: str, tmp_path: Path
) -> None:
    said = set_up(
        tmp_path / "venv", "env", **{given: "/own.pem", "PIP_INDEX_URL": "https://mirror/simple"}
    )
    expected = {
        "PIP_CERT=/own.pem",
        "SSL_CERT_FILE=/own.pem",
        "UV_DEFAULT_INDEX=https://mirror/simple",
    }
    assert expected | {"UV_SYSTEM_CERTS=1"} <= set(said.splitlines())


def test_no_authority_is_named_where_none_is_set(tmp_path: Path) -> None:
    said = set_up(tmp_path / "venv", "env")
    assert [
        line for line in said.splitlines() if line.startswith(("PIP_", "SSL_CERT", "UV_DEFAULT"))
    ] == []
