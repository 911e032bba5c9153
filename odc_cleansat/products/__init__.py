"""A mask on disk: write, find, read, verify and judge it."""
