"""Finds waiting tasks in Conductor, matches stored events with them, completes tasks and starts
workflows."""
