"""What comes in over HTTP: the views, proxies and addresses, and what strangers may cost."""
