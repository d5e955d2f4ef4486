"""Forgejo, a fork of Gitea that sends the same under its own name."""

from platforms.gitea import Gitea
from platforms.verifiers import Hmac


# https://forgejo.org/docs/latest/user/webhooks/
class Forgejo(Gitea):
    name = "forgejo"
    title = "Forgejo"
    verifier = Hmac(header="X-Forgejo-Signature")
    id_headers = ("x-forgejo-delivery",)


PLATFORM = Forgejo()
