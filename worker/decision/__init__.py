"""Which task takes which event: functions of what is known, and the indexes that tell it."""
