"""``python -m relay``: the relay under gunicorn, whose own command would look for modules in the
working folder."""

from __future__ import annotations

from relay import gunicorn_settings  # isort: skip - first, as it patches the standard library

from typing import Any

from gunicorn.app.base import BaseApplication


class Relay(BaseApplication):  # type: ignore[misc]
    """gunicorn, with the relay's settings and those of GUNICORN_CMD_ARGS."""

    def load_config(self) -> None:
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        chosen = {name: value for name, value in vars(given).items() if value is not None}
        for name, value in (vars(gunicorn_settings) | chosen).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        from relay.app import create_app

        return create_app()


if __name__ == "__main__":
    Relay().run()
