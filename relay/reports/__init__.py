"""What people are told of deliveries: counts, reasons, log lines, and deliveries that are kept."""
