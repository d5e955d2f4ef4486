"""The Makefile's set-up of the virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from testkit.processes import ROOT


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "removed" / "python3")
    (python.parent / "python3").symlink_to("python")
    fast = tmp_path / "python3"  # which would install pip for many seconds
    fast.write_text(f'#!/bin/sh\n[ "$1" != -m ] || set -- "$@" --without-pip\nexec "{sys.executable}" "$@"\n')
    fast.chmod(0o755)
    of_make = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS")  # where make runs the tests
    answer = subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={fast}", "INSTALL=true", f"{venv}/.installed"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in of_make},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
