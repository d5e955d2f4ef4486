"""What people are told of deliveries: counts, reasons, metrics, and deliveries that are kept."""
