# Made by `python -m support.make_stub` (in the folder tests) from the table of checkpoints; do not edit.
import os
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from hear_edgel3 import adapters as adapters
from hear_edgel3 import custom as custom
from hear_edgel3 import dataset as dataset
from hear_edgel3 import edgel3 as edgel3
from hear_edgel3 import errors as errors
from hear_edgel3 import explore as explore
from hear_edgel3 import heads as heads
from hear_edgel3 import labels as labels
from hear_edgel3 import scores as scores
from hear_edgel3 import search as search
from hear_edgel3._version import __version__ as __version__
from hear_edgel3.audio.loading import load_audio as load_audio
from hear_edgel3.detectors.evaluation import evaluate as evaluate
from hear_edgel3.detectors.run import train as train
from hear_edgel3.distillation.run import distill as distill
from hear_edgel3.errors import HearEdgeL3Error as HearEdgeL3Error
from hear_edgel3.event_detection.finder import EventFinder as EventFinder
from hear_edgel3.event_detection.finder import events as events
from hear_edgel3.exporting.run import export as export
from hear_edgel3.extractor.clip import embed_file as embed_file
from hear_edgel3.extractor.clip import embed_scene as embed_scene
from hear_edgel3.extractor.contract import TimestampContract as TimestampContract
from hear_edgel3.extractor.extractor import Extractor as Extractor
from hear_edgel3.extractor.loading import load as load
from hear_edgel3.jobs.run import extract as extract
from hear_edgel3.registry.names import list_configurations as list_configurations
from hear_edgel3.tagging.tagger import Tagger as Tagger
from hear_edgel3.tagging.tagger import tag as tag

class HearModule(Protocol):
    def load_model(
        self,
        model_file_path: str | os.PathLike[str] = "",
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

# Configurations with features (mn10_as_all_se_clf1, ...) are modules too, too many to list.
tiny: HearModule
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
mn01_as: HearModule
mn02_as: HearModule
mn04_as: HearModule
mn05_as: HearModule
mn10_as: HearModule
mn20_as: HearModule
mn30_as: HearModule
mn40_as: HearModule
mn40_as_2: HearModule
mn40_as_3: HearModule
mn40_as_no_im_pre: HearModule
mn40_as_no_im_pre_2: HearModule
mn40_as_no_im_pre_3: HearModule
mn40_as_ext: HearModule
mn40_as_ext_2: HearModule
mn40_as_ext_3: HearModule
mn10_as_hop_5: HearModule
mn10_as_hop_15: HearModule
mn10_as_hop_20: HearModule
mn10_as_hop_25: HearModule
mn10_as_mels_40: HearModule
mn10_as_mels_64: HearModule
mn10_as_mels_256: HearModule
mn10_as_fc: HearModule
mn10_as_fc_s2221: HearModule
mn10_as_fc_s2211: HearModule
mn01_im: HearModule
mn02_im: HearModule
mn04_im: HearModule
mn05_im: HearModule
mn10_im: HearModule
mn20_im: HearModule
mn30_im: HearModule
mn40_im: HearModule
mn10_im_pytorch: HearModule
dymn04_as: HearModule
dymn10_as: HearModule
dymn20_as: HearModule
dymn20_as_1: HearModule
dymn20_as_2: HearModule
dymn20_as_3: HearModule
dymn04_replace_se_as: HearModule
dymn10_replace_se_as: HearModule
dymn04_im: HearModule
dymn10_im: HearModule
dymn20_im: HearModule
ssondo_matpac_mn: HearModule
ssondo_matpac_dymn: HearModule
image_effnet_lite0: HearModule
image_vgg16: HearModule
image_vgg19: HearModule
image_resnet50: HearModule
image_densenet121: HearModule
image_densenet169: HearModule
image_densenet201: HearModule
image_mobilenet: HearModule
image_mobilenet_v2: HearModule
image_xception: HearModule
image_inception_v3: HearModule
image_inception_resnet_v2: HearModule
image_nasnet_mobile: HearModule
image_nasnet_large: HearModule
image_squeezenet_v1: HearModule
