"""What `make run` prepares: a folder of definitions, lines of .env, and what a second terminal must
know."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from config import private
from tools.demo import sample
from tools.servers.conductor import say
from tools.servers.processes import ROOT

DEFINITIONS = Path("data", "webhooks")
"""The folder of definitions, unless BRIDGE_WEBHOOKS names other ones. `make clean` leaves it
alone."""
TERMINAL = Path("data", "run.env")
"""What a second terminal reads, to know the addresses that were chosen."""
_SHIPPED = ROOT / "config" / "webhooks.yaml"


def definitions(root: Path = ROOT) -> Path:
    """The admins' definitions: what BRIDGE_WEBHOOKS names, else the folder of our own."""
    return root / os.environ.get("BRIDGE_WEBHOOKS", DEFINITIONS)


def prepare(root: Path = ROOT) -> None:
    """Gives the page a folder to write webhooks into, and the shipped webhook a signing secret."""
    if "BRIDGE_WEBHOOKS" not in os.environ:
        folder = root / DEFINITIONS
        if not folder.exists():
            private.make_folder(folder)
            schema = os.path.relpath(_SHIPPED.with_suffix(".schema.json"), folder)
            text = _SHIPPED.read_text(encoding="utf-8").replace(
                "$schema=webhooks.schema.json", f"$schema={schema}"
            )
            with open(folder / _SHIPPED.name, "x", encoding="utf-8", opener=private.opener) as made:
                made.write(text)
        _keep(root, "BRIDGE_WEBHOOKS", str(DEFINITIONS))
        say(f"The webhooks are defined in {DEFINITIONS} (BRIDGE_WEBHOOKS in .env)\n")
    if "BRIDGE_ADMIN_WRITES" not in os.environ and definitions(root).is_dir():
        _keep(root, "BRIDGE_ADMIN_WRITES", "on")
    make_up_secret(root)


def make_up_secret(root: Path = ROOT) -> None:
    """Gives the shipped webhook a signing secret, if it has none: without one it accepts nothing."""
    if sample.SECRET_NAME in os.environ or f"${{{sample.SECRET_NAME}}}" not in _text(
        definitions(root)
    ):
        return
    _keep(root, sample.SECRET_NAME, secrets.token_hex(16))
    say(
        f"{sample.SECRET_NAME} was generated in .env: replace it with your Slack app's, if you have one\n"
    )


def _keep(root: Path, name: str, value: str) -> None:
    """Adds a line to .env, for all processes and for the command line."""
    file = root / ".env"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    with open(file, "a", encoding="utf-8", opener=private.opener) as opened:
        opened.write(f"{'' if not text or text.endswith(chr(10)) else chr(10)}{name}={value}\n")
    os.environ[name] = value


def _text(path: Path) -> str:
    """The text of the definitions, as far as they can be read."""
    try:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        return "".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeDecodeError):
        return ""


def for_a_terminal(environment: Mapping[str, str], root: Path = ROOT) -> None:
    """Writes what a second terminal needs to know of this environment: where the commands are, and
    the addresses."""
    file = root / TERMINAL
    private.make_folder(file.parent)
    names = ("CONDUCTOR_SERVER_URL", "CONDUCTOR_UI_SERVER_URL", "PORT", "ADMIN_PORT")
    known = "".join(
        f"export {name}={shlex.quote(environment[name])}\n" for name in names if name in environment
    )
    with open(file, "w", encoding="utf-8", opener=private.opener) as opened:
        opened.write(
            f"# Written by `make run`. In another terminal, in the project's folder: . {TERMINAL}\n"
            f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n{known}'
        )
