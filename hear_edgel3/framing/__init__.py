"""From samples to windows: where they lie, and the one way in which they are cut."""
