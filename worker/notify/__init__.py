"""Tells people when something is wrong."""
