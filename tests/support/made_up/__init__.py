"""A small family that is not in the table, as somebody would add one: all of it is in this folder."""
