"""Orkes' webhook JSON: imported from files, and spoken by the API."""
