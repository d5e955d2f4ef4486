"""Settings from the environment: one frozen `Settings` for every process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from dotenv import load_dotenv
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.quantities import Duration, Size
from config.urls import check_database_url, check_network, parts_of, without_user
from criteria.suggestions import nearest

_SHORTEST_TOKEN = 16
"""Characters."""
_OF_SERVICES = re.compile(r"_SERVICE_|_PORT(_|$)")
"""In names that Kubernetes makes for a service, such as BRIDGE_RELAY_SERVICE_HOST."""
_MOST_HOPS = 100


@dataclass(frozen=True, slots=True)
class Proxies:
    """The value of BRIDGE_TRUSTED_PROXIES; false if no proxy is trusted."""

    hops: int = 0
    """The number of proxies in front, whatever their addresses."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """The proxies' networks, however many proxies there are; `hops` is then unset."""

    @property
    def everyone(self) -> bool:
        """Whether every client counts as a proxy, as with ``0.0.0.0/0``."""
        return any(not network.prefixlen for network in self.networks)

    def __bool__(self) -> bool:
        return bool(self.hops or self.networks)


def parse_proxies(value: object) -> Proxies:
    """Parses a number such as 1, or addresses and networks separated by commas. Raises ValueError
    for anything else."""
    if isinstance(value, Proxies):
        return value
    text = str(value).strip()
    if text.removeprefix("-").isdecimal():
        if text.startswith("-"):
            raise ValueError("less than 0; write 0 or more")
        if len(text) > 3 or int(text) > _MOST_HOPS:
            raise ValueError(f"more than {_MOST_HOPS} hops; write the number of your proxies")
        return Proxies(hops=int(text))
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            network = ip_network(part)
        except ValueError:
            raise ValueError(
                f"{part!r} is neither a number of proxies nor a network; write one such as 1, or"
                " 10.0.0.0/8,fd00::/8"
            ) from None
        networks.append(check_network(network))
    return Proxies(networks=tuple(networks))


TrustedProxies = Annotated[Proxies, NoDecode, BeforeValidator(parse_proxies)]


class SettingsError(Exception):
    """The environment has invalid settings; the text names each one with its remedy."""


class Settings(BaseSettings):
    """All settings from the environment. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        validate_default=False,
        hide_input_in_errors=True,
    )

    bridge_webhooks: Path = Field(
        default=Path("config/webhooks.yaml"),
        description="webhook definitions: a YAML file, or a folder of *.yaml files",
    )
    bridge_database: Annotated[str, AfterValidator(check_database_url)] = Field(
        default="sqlite:///data/bridge.db",
        repr=False,  # it may hold a password
        description=(
            "the store: sqlite:///PATH, on a local disk, or postgresql://USER@HOST/DATABASE; "
            "shared by all processes"
        ),
    )
    bridge_public_url: str | None = Field(
        default=None,
        description=(
            "the URL that platforms call, as they see it; Twilio signs it, `webhooks` lists it"
        ),
    )
    bridge_relay_url: str | None = Field(
        default=None,
        description=(
            "where the admin process reaches the relay, to send test events: http://HOST:PORT; by"
            " default BRIDGE_PUBLIC_URL, else this machine at PORT"
        ),
    )
    bridge_trusted_proxies: TrustedProxies = Field(
        default=Proxies(),
        description=(
            "whose X-Forwarded-* headers are trusted: the proxies' addresses and networks,"
            " separated by commas, or their number"
        ),
    )
    bridge_admin_token: SecretStr | None = Field(
        default=None,
        description="the admin page asks for it; needed to listen elsewhere than on loopback",
    )
    bridge_viewer_token: SecretStr | None = Field(
        default=None,
        description="a second token for the admin page, which shows everything and changes nothing",
    )
    bridge_server: str | None = Field(
        default=None,
        description=(
            "the admin process that the command line asks, instead of a store on this machine:"
            " its URL"
        ),
    )
    bridge_token: SecretStr | None = Field(
        default=None,
        description="the admin or viewer token for BRIDGE_SERVER; @FILE reads it from a file",
    )
    bridge_listen_token: SecretStr | None = Field(
        default=None,
        description=(
            "the BRIDGE_ADMIN_TOKEN of the public bridge that webhook-bridge listen listens to"
        ),
    )
    bridge_admin_writes: bool = Field(
        default=False,
        description=(
            "on: admin page and API may write webhook definitions; BRIDGE_WEBHOOKS must be a folder"
        ),
    )
    bridge_follow_traces: bool = Field(
        default=False,
        description=(
            "on: a delivery's traceparent is followed, and so decides whether spans are sampled;"
            " only where every sender is trusted"
        ),
    )
    bridge_poll_interval: Duration = Field(
        default=1.0, gt=0, description="how often the queue of waiting tasks is polled"
    )
    bridge_discovery_interval: Duration = Field(
        default=30.0,
        gt=0,
        description="how often the task index is searched and waiting tasks are reconciled",
    )
    bridge_clock_skew: Duration = Field(
        default=2.0,
        description="how much later than an event a workflow may have started and still take it",
    )
    bridge_task_domains: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="task domains whose queues are polled too, separated by commas"
    )
    bridge_leave_to_conductor: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description=(
            "workflows that webhooks of Conductor's own serve, separated by commas: the bridge"
            " completes none of their tasks and starts none of them"
        ),
    )
    bridge_call_timeout: Duration = Field(
        default=10.0, gt=0, description="how long one call to Conductor may take"
    )
    bridge_calls: int = Field(
        default=16, ge=1, le=256, description="calls to Conductor at a time, per worker"
    )
    bridge_conductor_payload: Size = Field(
        default=10 * 1024 * 1024,
        description=(
            "the largest output or input that Conductor accepts; a delivery beyond it is"
            " answered 413"
        ),
    )
    bridge_conductor_cert: str | None = Field(
        default=None,
        description="client certificate for a Conductor that asks for one: a file in PEM",
    )
    bridge_conductor_cert_key: str | None = Field(
        default=None, description="its private key, a file in PEM; by default in the same file"
    )
    bridge_retention: Duration = Field(
        default=30 * 86400.0,
        description="how long finished events are kept, then pruned in small steps",
    )
    bridge_relay_metrics: str = Field(
        default="127.0.0.1:9108",
        description=(
            "where the relay serves its metrics for Prometheus: HOST:PORT; public for /metrics on"
            " its own port; or off"
        ),
    )
    bridge_key_mirror: str | None = Field(
        default=None,
        description=(
            "where vendors' public keys (aws-sns, google-chat, google-pubsub, paypal) are fetched"
            " from instead of the vendors: https://HOST/PATH becomes MIRROR/HOST/PATH. Anyone who"
            " runs the mirror can forge their deliveries"
        ),
    )
    bridge_worker_metrics: str = Field(
        "127.0.0.1:9109",
        description=(
            "where the worker serves its metrics for Prometheus, /healthz and /readyz: HOST:PORT,"
            " or off"
        ),
    )
    bridge_notify: SecretStr | None = Field(
        default=None,
        description=(
            "who to notify when something is wrong: Apprise URLs (Slack, e-mail, Teams, PagerDuty,"
            " plain JSON, …), separated by spaces; extra `notify`"
        ),
    )
    bridge_admin_url: str | None = Field(
        default=None,
        description="where people open the admin page: messages to `BRIDGE_NOTIFY` link to it",
    )
    bridge_docs_url: str | None = Field(
        default=None,
        description=(
            "where the documentation's website is, for links of the admin page; "
            "by default it serves the pages that were installed with it, as text"
        ),
    )
    bridge_log_format: Literal["text", "json"] | None = Field(
        default=None, description="text or json; text on a terminal and json elsewhere by default"
    )
    conductor_server_url: str = Field(
        default="http://localhost:8080/api", description="Conductor's API, with /api", repr=False
    )
    conductor_auth_key: str | None = Field(
        default=None, description="Conductor's access key, if it asks for one"
    )
    conductor_auth_secret: SecretStr | None = Field(
        default=None, description="the secret of that key"
    )
    conductor_ui_server_url: str | None = Field(
        default=None,
        description="Conductor's web page, for links to workflows; without it they lead to the API",
    )

    @field_validator("bridge_admin_token", "bridge_viewer_token")
    @classmethod
    def _long_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SHORTEST_TOKEN:
            raise ValueError(
                f"shorter than {_SHORTEST_TOKEN} characters, so it can be guessed; make one with:"
                " openssl rand -hex 24"
            )
        return value

    @model_validator(mode="after")
    def _different_tokens(self) -> Settings:
        if (
            self.bridge_admin_token is not None
            and self.bridge_admin_token == self.bridge_viewer_token
        ):
            raise ValueError(
                "the same as BRIDGE_ADMIN_TOKEN, so anyone who may only look could change"
                " everything"
            )
        return self

    @field_validator("bridge_task_domains", "bridge_leave_to_conductor", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("bridge_relay_metrics", "bridge_worker_metrics")
    @classmethod
    def _address(cls, value: str, info: ValidationInfo) -> str:
        others = ("public", "off") if info.field_name == "bridge_relay_metrics" else ("off",)
        host, _, port = value.rpartition(":")
        if value not in others and not (host and port.isdecimal() and 0 < int(port[:6]) < 65536):
            raise ValueError(
                "not an address; write HOST:PORT, such as 127.0.0.1:9108, or"
                f" {', or '.join(others)}"
            )
        return value

    @field_validator(
        "bridge_public_url",
        "bridge_relay_url",
        "bridge_key_mirror",
        "bridge_docs_url",
        "conductor_server_url",
        "conductor_ui_server_url",
    )
    @classmethod
    def _whole_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = value.strip().rstrip("/")
        parts = parts_of(value)
        if parts is None:
            raise ValueError("not a URL; write it whole, such as https://conductor.example.com")
        if parts.query or parts.fragment:
            raise ValueError(
                "a URL with ? or #, where only scheme, host and path belong; leave them out"
            )
        return value

    def url_of_workflow(self, workflow_id: str) -> str:
        """Where people see a workflow: on Conductor's web page, or what the API says if none is
        known."""
        quoted = quote(workflow_id, safe="")
        if self.conductor_ui_server_url is not None:
            return f"{self.conductor_ui_server_url}/execution/{quoted}"
        return f"{without_user(self.conductor_server_url)}/workflow/{quoted}"


def find_unknown_settings(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names that begin like the bridge's settings and are none, each with a remedy."""
    known = [name.upper() for name in Settings.model_fields]
    unknown = [
        name
        for name in sorted(environment)
        if name.startswith("BRIDGE_") and name not in known and not _OF_SERVICES.search(name)
    ]
    near = {name: nearest(name, known) for name in unknown}
    return [
        (name, f"did you mean {near[name]}?" if near[name] else "README.md lists the settings")
        for name in unknown
    ]


def port_of(environment: Mapping[str, str], name: str, default: int) -> int:
    """The port that PORT or ADMIN_PORT names. Raises SettingsError."""
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536):
        raise SettingsError(f"{name}: {text[:20]!r} is not a port; write a number from 1 to 65535")
    return int(text)


def load_settings() -> Settings:
    """Reads `.env` (if there is one, without overriding what is set) and the environment.

    Raises SettingsError, which names every invalid setting.
    """
    try:
        load_dotenv(".env")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise SettingsError(f".env: can't be read: {reason}; fix it or remove it") from None
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(map(_describe, error.errors(include_input=False)))) from None


def _describe(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0] if problem["loc"] else "bridge_viewer_token")
    text = problem["msg"].removeprefix("Value error, ")
    return (
        f"{name.upper()}:"
        f" {text if '; ' in text else f'{text}; it is {Settings.model_fields[name].description}'}"
    )
