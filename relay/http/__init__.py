"""Requests as WSGI hands them over: where they come from, and their bodies."""
