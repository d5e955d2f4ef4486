"""Conductor's API: the only package that knows its client."""
