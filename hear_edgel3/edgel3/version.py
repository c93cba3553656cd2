"""``edgel3.version``: the version of edgel3 whose interface this is; ``hear_edgel3.__version__`` is this package's."""

short_version = "0.2"
version = "0.2.1"
