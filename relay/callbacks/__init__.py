"""URLs that name one task: their tokens, what a call of one is for, and what people see."""
