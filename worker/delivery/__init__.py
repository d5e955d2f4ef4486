"""Claims targets, calls Conductor for each, and records the outcomes."""
