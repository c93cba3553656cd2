"""``edgel3.edgel3_exceptions``: whatever goes wrong is one of this package's errors, so that old code catches it."""

from hear_edgel3.errors import HearEdgeL3Error

EdgeL3Error = HearEdgeL3Error
