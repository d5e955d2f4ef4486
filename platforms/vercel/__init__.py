"""Vercel."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://vercel.com/docs/webhooks/webhooks-api#securing-webhooks
class Vercel(Platform):
    name = "vercel"
    title = "Vercel"
    purpose = "deployments created, ready or failed"
    types = ("$.type",)
    summary = ("$.payload.deployment.name", Value("$.payload.target", before="to "))
    verifier = Hmac(header="x-vercel-signature", algorithm="sha1")
    id_at = ("id",)


PLATFORM = Vercel()
