"""What people use: the command line, the admin page and its API."""
