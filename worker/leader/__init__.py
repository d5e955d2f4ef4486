"""What one worker at a time does: it decides which event takes which waiting task."""
