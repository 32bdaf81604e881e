"""The `tocsin` command; thin."""
