"""One router a concept."""
