"""What people do with events: replay them, follow them, send one, try JSONPaths on one."""
