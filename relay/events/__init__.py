"""From a verified delivery to the events that are stored."""
