"""Types that tests name."""

from __future__ import annotations

import pytest

Captured = pytest.CaptureFixture[str]
