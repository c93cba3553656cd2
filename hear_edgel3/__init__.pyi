# What type checkers see of the package: its lazy names, and a module per configuration (tests/test_stub.py keeps the
# list equal to the registry).
from collections.abc import Sequence
from os import PathLike
from typing import Any, Protocol

import torch

from hear_edgel3 import edgel3 as edgel3
from hear_edgel3 import errors as errors
from hear_edgel3._version import __version__ as __version__
from hear_edgel3.errors import HearEdgeL3Error as HearEdgeL3Error
from hear_edgel3.extractor import Extractor as Extractor
from hear_edgel3.files import embed_file as embed_file
from hear_edgel3.framing import TimestampContract as TimestampContract
from hear_edgel3.loading import load as load
from hear_edgel3.registry import list_configurations as list_configurations

class HearModule(Protocol):
    def load_model(
        self,
        model_file_path: str | PathLike[str] = "",
        *,
        sample_rate: int | None = None,
        features: Sequence[str] | None = None,
        engine: str = "auto",
        hop_ms: float | None = None,
    ) -> Extractor: ...
    def get_timestamp_embeddings(
        self, audio: Any, model: Extractor, hop_ms: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def get_scene_embeddings(self, audio: Any, model: Extractor) -> torch.Tensor: ...

sparse_53: HearModule
sparse_53_kd: HearModule
sparse_63: HearModule
sparse_63_kd: HearModule
sparse_72: HearModule
sparse_72_kd: HearModule
sparse_73: HearModule
sparse_73_kd: HearModule
sparse_81: HearModule
sparse_81_kd: HearModule
sparse_87: HearModule
sparse_87_kd: HearModule
sparse_90: HearModule
sparse_90_kd: HearModule
sparse_95: HearModule
sparse_95_kd: HearModule
sea_64: HearModule
sea_128: HearModule
sea_256: HearModule
sea_512: HearModule
