"""Events, targets and what is set aside in words, and text that is safe to print."""
