"""Whether a delivery is its sender's: from a request to a `VerifiedDelivery`."""
