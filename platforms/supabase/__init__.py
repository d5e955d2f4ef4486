"""Supabase, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform
from platforms.summary import Value


# https://supabase.com/docs/guides/auth/auth-hooks#using-hooks
class Supabase(StandardWebhooksPlatform):
    name = "supabase"
    title = "Supabase"
    purpose = "users and mail, by auth hook"
    types = ("$.email_data.email_action_type", Value("$.sms", word="text message"), Value("$.user", word="user"))
    summary = ("$.user.id",)
    secret_label = "Secret"


PLATFORM = Supabase()
