"""The web page for people, and the JSON API behind it."""
