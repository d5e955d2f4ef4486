"""Dropbox. The secret is the app secret."""

from typing import Any

from platforms.base import Platform
from platforms.bodies import read_query
from platforms.http import Request, Response, text_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac


# https://www.dropbox.com/developers/reference/webhooks#receiving-notifications
class Dropbox(Platform):
    name = "dropbox"
    title = "Dropbox"
    purpose = "files changed in linked accounts"
    types = (Value("$.list_folder", word="files changed"),)
    summary = (Value("$.list_folder.accounts[0]", before="in "),)
    secret_label = "App secret"
    verifier = Hmac(header="X-Dropbox-Signature")
    challenge_only = True
    challenge_methods = frozenset({"GET"})

    # https://www.dropbox.com/developers/reference/webhooks#the-verification-request
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        challenge = read_query(request.query).get("challenge") if request.method == "GET" else None
        return text_response(challenge) if isinstance(challenge, str) else None

    def may_come_again(self, value: Any) -> bool:
        """A delivery says that something has changed, always in the same words, but not what or
        when."""
        return True


PLATFORM = Dropbox()
