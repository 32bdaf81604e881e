"""REST: events in, decisions out."""
