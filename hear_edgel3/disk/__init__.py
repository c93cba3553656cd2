"""What touches the disk whatever is written: files that appear whole or not at all, and names of files as text."""
