"""Senders that wait for the end of a workflow."""
