"""``webhook-bridge``: the command line. Exit codes: 0; 1 for problems; 2 for wrong usage."""

from __future__ import annotations

import click

from config.garbage_collection import end_quickly, not_collecting

with not_collecting():  # imported modules are never freed
    from admin.cli.callback import callback
    from admin.cli.check import check
    from admin.cli.common import Commands
    from admin.cli.events import events, tasks
    from admin.cli.listen import listen
    from admin.cli.mcp import mcp
    from admin.cli.new import new
    from admin.cli.notify import notify
    from admin.cli.processes import admin, relay, run, worker
    from admin.cli.rejections import rejections
    from admin.cli.send import send
    from admin.cli.transfer import migrate_store
    from admin.cli.try_criteria import try_criteria
    from admin.cli.webhooks import import_, pause, resume, schema, webhooks

end_quickly()

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Examples:
  webhook-bridge check                       before and after each edit of the YAML
  webhook-bridge new                         create a webhook, step by step
  webhook-bridge webhooks                    each webhook's URL, and whether it is verified
  webhook-bridge events --status expired     what no task took
  webhook-bridge events explain last         why the newest did or didn't match, task by task
  webhook-bridge events replay EVENT_ID      again, as a new event that arrives now
  webhook-bridge send slack --data @message.json

\b
Settings come from the environment and from .env in the working directory, mainly:
  BRIDGE_WEBHOOKS     the YAML file or folder   (config/webhooks.yaml)
  BRIDGE_DATABASE     the store                 (sqlite:///data/bridge.db)
  BRIDGE_PUBLIC_URL   the URL platforms call
All of them are in README.md.

\b
Exit codes: 0; 1, problems were found (see stderr); 2, wrong usage.

\b
Shell completion of commands, options and webhook names:
  bash: eval "$(_WEBHOOK_BRIDGE_COMPLETE=bash_source webhook-bridge)"   (in ~/.bashrc)
  zsh:  eval "$(_WEBHOOK_BRIDGE_COMPLETE=zsh_source webhook-bridge)"    (in ~/.zshrc)
  fish: _WEBHOOK_BRIDGE_COMPLETE=fish_source webhook-bridge | source
"""


@click.group(cls=Commands, context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(package_name="conductor-webhook-bridge", prog_name="webhook-bridge")
def main() -> None:
    """The Conductor Webhook Bridge: webhooks for Conductor OSS.

    The bridge verifies and stores what platforms post to it, completes the WAIT_FOR_WEBHOOK tasks that match, and
    starts workflows. These commands check its definitions, show what it received and what came of it, and let an
    admin act. They work whether or not the bridge is running.
    """


COMMANDS = (
    check,
    new,
    webhooks,
    pause,
    resume,
    events,
    tasks,
    rejections,
    send,
    callback,
    try_criteria,
    listen,
    schema,
    import_,
    notify,
    mcp,
    migrate_store,
    relay,
    worker,
    admin,
    run,
)
SHORT = {
    "admin": "Run the admin page and its API.",
    "callback": "Make a URL that completes one task.",
    "check": "Check definitions, settings, Conductor and database.",
    "events": "List, show, explain, follow and replay events.",
    "import": "Turn Orkes' webhook JSON into definitions.",
    "listen": "Fetch a public bridge's deliveries to this machine.",
    "migrate-store": "Move everything from one store to another.",
    "new": "Create a webhook.",
    "pause": "Accept a webhook's deliveries, but decide nothing.",
    "rejections": "List rejected deliveries with their reasons.",
    "relay": "Run the relay, which receives deliveries.",
    "resume": "Resume a paused webhook.",
    "run": "Run relay, worker and admin page together.",
    "send": "Post a delivery, signed as the platform would.",
    "tasks": "List waiting tasks, and why they wait.",
    "webhooks": "List the webhooks with URL and status.",
    "worker": "Run a worker, which completes tasks and starts workflows.",
}
"""What the list of commands says, where a command's own first sentence would be cut off."""
for command in COMMANDS:
    command.short_help = SHORT.get(str(command.name), command.short_help)
    main.add_command(command)

if __name__ == "__main__":
    main()
