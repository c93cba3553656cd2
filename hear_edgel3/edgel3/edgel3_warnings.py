"""``edgel3.edgel3_warnings``."""


class EdgeL3Warning(UserWarning):
    """The audio is unusual (silent, or shorter than a window), but was embedded."""
