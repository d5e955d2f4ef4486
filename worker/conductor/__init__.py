"""Conductor's API: the only package that uses its client."""
