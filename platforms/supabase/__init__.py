"""Supabase, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform


# https://supabase.com/docs/guides/auth/auth-hooks#using-hooks
class Supabase(StandardWebhooksPlatform):
    name = "supabase"
    title = "Supabase"
    purpose = "users and mail, by auth hook"
    secret_label = "Secret"


PLATFORM = Supabase()
