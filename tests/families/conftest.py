"""The front end of the MobileNetV3 family."""

from __future__ import annotations

import pytest

from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram


@pytest.fixture
def frontend() -> MobileNetV3MelSpectrogram:
    return MobileNetV3MelSpectrogram().eval()
