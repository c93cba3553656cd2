"""From a configuration to a file for another engine, proven in that engine. The targets: :mod:`.targets`.

The function for users is :func:`hear_edgel3.export`; a folder cannot have the name of its face's function.
"""
