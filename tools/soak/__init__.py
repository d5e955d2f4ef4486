"""Hours of load and faults on both stores; at the end every effect is counted at Conductor."""
