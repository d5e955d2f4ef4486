"""What the tests under faults share: a load with an audit, and a proxy that breaks calls."""
