"""Finds waiting tasks: Conductor's queue, its index, and its running workflows."""
