"""Gets workflows going that Conductor left stuck because it was killed between a call's effect and the next step."""

from __future__ import annotations

import structlog

from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotNow, is_denied

log = structlog.get_logger()


def ensure_it_goes_on(conductor: Conductor, workflow_id: str) -> None:
    """To be called once it is known that a call whose answer was lost did take effect in this workflow.

    Raises NotNow while the workflow is stuck, and other ConductorErrors.
    """
    try:
        goes = not conductor.evaluate(workflow_id) or conductor.goes(workflow_id)
    except ConductorError as error:
        # The key may lack the permission, for example: the call took effect all the same.
        if not is_denied(error):
            raise
        log.warning("Conductor won't evaluate a workflow", workflow_id=workflow_id, error=str(error))
        return
    if not goes:
        raise NotNow(f"workflow {workflow_id} was started, but Conductor hasn't scheduled any of its tasks yet")
