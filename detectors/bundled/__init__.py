"""Data sets and configurations that come with the program."""
