"""From a name, or a folder, to the row that says everything about a checkpoint."""
