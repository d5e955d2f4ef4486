"""WorkOS."""

from platforms.base import Platform
from platforms.verifiers import TimedHmac


# https://workos.com/docs/events/data-syncing/webhooks
class WorkOS(Platform):
    name = "workos"
    title = "WorkOS"
    purpose = "users, directories and single sign-on"
    types = ("$.event",)
    summary = ("$.data.id", "$.data.state", "$.data.organization_id")
    verifier = TimedHmac(header="WorkOS-Signature", separator=", ", unit="ms")
    # The last retry comes three days after the first attempt, maybe with its time.
    tolerance = 4 * 86400
    id_at = ("id",)


PLATFORM = WorkOS()
