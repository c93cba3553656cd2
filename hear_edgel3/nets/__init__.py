"""Nets: plain modules from a front end's image to an embedding. No files, no framing, no front end."""
