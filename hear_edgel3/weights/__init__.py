"""From a row to a weights file that was checked: where it lies, how it is fetched, converted and read."""
