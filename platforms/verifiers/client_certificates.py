"""Client certificates, which a trusted proxy has verified and hands on in a header."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar, Literal
from urllib.parse import unquote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import (
    Certificate,
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    IPAddress,
    Name,
    NameOID,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnsupportedGeneralNameType,
    load_der_x509_certificate,
)

from platforms.http import Request
from platforms.verifiers.compare import required_header
from platforms.verifiers.protocol import OF_SENDER, Check, Credentials, Draft, Part, Proof
from platforms.verifiers.refused import CannotSign, Refused

Form = Literal["name", "certificate", "envoy"]
"""What the header carries. `name`: the subject or the alternative name itself. `certificate`: the
certificate, in PEM or base64. `envoy`: the elements of X-Forwarded-Client-Cert."""

_FORMS: dict[str, Form] = {
    "client-cert": "certificate",  # RFC 9440
    "ssl-client-cert": "certificate",  # ingress-nginx
    "x-amzn-mtls-clientcert-leaf": "certificate",
    "x-forwarded-client-cert": "envoy",
    "x-forwarded-tls-client-cert": "certificate",  # Traefik
    "x-ssl-client-cert": "certificate",
}
"""What well-known headers carry, by their lower-case names."""
_LONGEST = 32 * 1024
_PEM = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII
)
_PAIR = re.compile(r'([A-Za-z]{1,20})=("(?:[^"\\]|\\.)*"|[^;,"]*)(;|$)', re.ASCII)
_SPACE = re.compile(r"(?<!\\),[ ]+(?=[A-Za-z0-9.]+=)")
"""Between two parts of a distinguished name, where some write it."""
_FORMS_OF_NAMES: dict[
    type[DNSName] | type[UniformResourceIdentifier] | type[RFC822Name], re.Pattern[str]
] = {
    DNSName: re.compile(r"(?![0-9.]*\Z)[^:/@]+"),
    UniformResourceIdentifier: re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.*", re.DOTALL),
    RFC822Name: re.compile(r"[^:/@]+@[^:/@]+"),
}
"""The form of each kind of alternative name. Definitions don't say the kind, so a name in another
kind's form, such as an address as a DNS name, doesn't count: an authority may be trusted to check
one kind and not the other."""
_UNREADABLE = (
    ValueError, TypeError, UnsupportedAlgorithm, DuplicateExtension, UnsupportedGeneralNameType, binascii.Error
)  # fmt: skip


def form_of(header: str) -> Form:
    """What a header of this name carries, unless the definition says otherwise."""
    return _FORMS.get(header.lower(), "name")


@dataclass(frozen=True)
class ClientNames:
    """Who the client is, by its certificate."""

    subjects: tuple[str | Name, ...] = ()
    """One; as text where only a text is known."""
    alternatives: frozenset[str] = frozenset()
    """Subject alternative names: DNS names, URIs, e-mail and IP addresses."""


# https://nginx.org/en/docs/http/ngx_http_ssl_module.html#variables
# https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/mutual-authentication.html
@dataclass(frozen=True)
class ClientCertificate:
    """A client certificate with one of these subjects and one of these alternative names."""

    header: str
    subjects: tuple[str, ...] = ()
    """Empty for any."""
    alternatives: tuple[str, ...] = ()
    """Empty for any."""
    form: Form = "name"
    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        name, read = self.header.lower(), _READ[self.form]
        subjects = [(text, _distinguished(text)) for text in self.subjects]
        alternatives = {_normal(text) for text in self.alternatives}

        def check(request: Request) -> Proof:
            if not request.by_proxy:
                raise Refused("the request came through no proxy that BRIDGE_TRUSTED_PROXIES names")
            text = required_header(request, name)
            if len(text) > _LONGEST:
                raise Refused(f"the header {name} is too long")
            try:
                names = read(text)
            except _UNREADABLE:
                raise Refused(f"the header {name} holds no certificate that can be read") from None
            if subjects and not any(_is_subject(given, subjects) for given in names.subjects):
                raise Refused("the client's certificate has another subject")
            if alternatives and not any(
                _normal(given) in alternatives for given in names.alternatives
            ):
                raise Refused("the client's certificate has another alternative name")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(
            "its sender proves itself by a client certificate: use one, as in curl --cert, at the"
            " proxy"
        )


def _is_subject(given: str | Name, expected: Sequence[tuple[str, Name | None]]) -> bool:
    parsed = _distinguished(given) if isinstance(given, str) else given
    return any(given == text or (name is not None and parsed == name) for text, name in expected)


def _distinguished(text: str) -> Name | None:
    """The name in RFC 4514's form; None for other forms, which are compared as text."""
    try:
        return Name.from_rfc4514_string(
            _SPACE.sub(",", text),
            {
                "emailAddress": NameOID.EMAIL_ADDRESS,
                "E": NameOID.EMAIL_ADDRESS,
                "serialNumber": NameOID.SERIAL_NUMBER,
            },
        )
    except ValueError:
        return None


def _normal(name: str) -> str:
    """An alternative name in one form: case matters neither in DNS names nor in the domains of
    addresses."""
    if "://" in name:
        return name
    local, at, domain = name.rpartition("@")
    if at:
        return f"{local}@{domain.lower()}"
    try:
        return ip_address(name).compressed
    except ValueError:
        return name.lower().rstrip(".")


def _by_name(text: str) -> ClientNames:
    return ClientNames((text,), frozenset({text}))


def _by_certificate(text: str) -> ClientNames:
    """From PEM, percent-encoded or not, or DER in base64, as in RFC 9440 between colons."""
    found = _PEM.fullmatch(unquote(text))
    encoded = "".join(found[1].split()) if found else unquote(text).strip().strip(":")
    return _names_in(load_der_x509_certificate(base64.b64decode(encoded, validate=True)))


def _names_in(certificate: Certificate) -> ClientNames:
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return ClientNames((certificate.subject,))
    texts = [
        text
        for kind, form in _FORMS_OF_NAMES.items()
        for text in names.get_values_for_type(kind)
        if form.fullmatch(text)
    ]
    texts += [str(address) for address in names.get_values_for_type(IPAddress)]
    return ClientNames((certificate.subject,), frozenset(texts))


def _by_envoy(text: str) -> ClientNames:
    """From the pairs of the one element. With several it would be unclear whose client the
    certificate is.

    Envoy writes the subject as RFC 4514 does, escapes and all, and adds none of its own. It puts
    URI and DNS names as they are in the certificate, so what follows the first of them may be the
    client's words.
    """
    pairs = _pairs_in(text)
    keys = [key for key, _ in pairs]
    named_by_client = [place for place, key in enumerate(keys) if key in ("uri", "dns")]
    by_envoy = keys[: named_by_client[0]] if named_by_client else keys
    for key in ("cert", "subject"):
        if keys.count(key) > 1 or (key in keys and key not in by_envoy):
            raise ValueError(f"another {key} than Envoy's")
    if "cert" in keys:  # nothing in a name can be taken for another pair
        return _by_certificate(dict(pairs)["cert"])
    subjects = tuple(value for key, value in pairs if key == "subject")
    return ClientNames(subjects, frozenset(pairs[place][1] for place in named_by_client))


def _pairs_in(text: str) -> list[tuple[str, str]]:
    """Lower-case key and value of each pair. Raises ValueError if they aren't those of one
    element."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ValueError("not the one element of X-Forwarded-Client-Cert")
        key, value = pair[1].lower(), pair[2]
        if value.startswith('"'):
            value = value[1:-1]
        pairs.append((key, value))
        position = pair.end()
    return pairs


_READ: dict[Form, Callable[[str], ClientNames]] = {
    "name": _by_name,
    "certificate": _by_certificate,
    "envoy": _by_envoy,
}
