"""From SOURCES - files, folders, globs, lists, tables of clips, tar shards - to the sounds meant, for every command."""
