"""Readers of the file formats in which weights are published. They run nothing that stands in a file."""
