"""A text classifier that goes on learning from labels while it serves."""
