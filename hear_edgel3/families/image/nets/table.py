"""The nets by name: how each is built, what it makes of colours, and what its pictures measure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from hear_edgel3.families.image.graph import Graph
from hear_edgel3.families.image.nets import keras
from hear_edgel3.families.image.nets.effnet_lite import effnet_lite0
from hear_edgel3.families.image.nets.inception import inception_resnet_v2, inception_v3
from hear_edgel3.families.image.nets.nasnet import nasnet_large, nasnet_mobile
from hear_edgel3.families.image.nets.xception import xception


@dataclass(frozen=True)
class NetKind:
    """A net.

    Attributes:
        build: Writes it down for a height and a width.
        colours: What it takes: "caffe", "tf", "torch" or "lite"; see :mod:`hear_edgel3.families.image.picture`.
        size: The height and width of the pictures that it was trained on.
        smallest: The least height and width that it can take.
        title: What it is called in summaries.
        citation: What to cite.
        n_parameters: Running statistics of batch norm included, without a classifier.
        macs: Multiply-accumulates for a picture of ``size``. Both stand here so that rows cost nothing.
    """

    build: Callable[[int, int], Graph]
    colours: str
    size: int
    smallest: int
    title: str
    citation: str
    n_parameters: int
    macs: int


_VGG = (
    "Karen Simonyan, Andrew Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015."
)
_RESNET = "Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. Deep Residual Learning for Image Recognition. CVPR 2016."
_DENSENET = "Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian Weinberger. Densely Connected Networks. CVPR 2017."
_MOBILENET = "Andrew Howard et al. MobileNets: Efficient Convolutional Neural Networks for Mobile Vision. arXiv, 2017."
_MOBILENET_V2 = "Mark Sandler et al. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018."
_XCEPTION = "Francois Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017."
_INCEPTION = "Christian Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016."
_INCEPTION_RESNET = (
    "Christian Szegedy et al. Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning. "
    "AAAI 2017."
)
_NASNET = "Barret Zoph et al. Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018."
_SQUEEZENET = "Forrest Iandola et al. SqueezeNet: AlexNet-Level Accuracy with 50x Fewer Parameters. arXiv, 2016."

NETS: dict[str, NetKind] = {
    "effnet_lite0": NetKind(
        effnet_lite0,
        "lite",
        224,
        32,
        "EfficientNet-Lite0",
        "Mingxing Tan, Quoc Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.",
        3_413_024,
        383_907_552,
    ),
    "vgg16": NetKind(keras.vgg16, "caffe", 224, 32, "VGG16", _VGG, 14_714_688, 15_346_630_656),
    "vgg19": NetKind(keras.vgg19, "caffe", 224, 32, "VGG19", _VGG, 20_024_384, 19_508_428_800),
    "resnet50": NetKind(keras.resnet50, "caffe", 224, 32, "ResNet50", _RESNET, 23_587_712, 3_855_925_248),
    "densenet121": NetKind(keras.densenet121, "torch", 224, 32, "DenseNet121", _DENSENET, 7_037_504, 2_833_137_664),
    "densenet169": NetKind(keras.densenet169, "torch", 224, 32, "DenseNet169", _DENSENET, 12_642_880, 3_358_179_328),
    "densenet201": NetKind(keras.densenet201, "torch", 224, 32, "DenseNet201", _DENSENET, 18_321_984, 4_289_445_888),
    "mobilenet": NetKind(keras.mobilenet, "tf", 224, 32, "MobileNet", _MOBILENET, 3_228_864, 567_716_352),
    "mobilenet_v2": NetKind(keras.mobilenet_v2, "tf", 224, 32, "MobileNetV2", _MOBILENET_V2, 2_257_984, 299_494_272),
    "xception": NetKind(xception, "tf", 299, 71, "Xception", _XCEPTION, 20_861_480, 8_355_355_496),
    "inception_v3": NetKind(inception_v3, "tf", 299, 75, "Inception-v3", _INCEPTION, 21_802_784, 5_711_168_096),
    "inception_resnet_v2": NetKind(
        inception_resnet_v2, "tf", 299, 75, "Inception-ResNet-v2", _INCEPTION_RESNET, 54_336_736, 13_154_258_016
    ),
    "nasnet_mobile": NetKind(nasnet_mobile, "tf", 224, 32, "NASNet-A Mobile", _NASNET, 4_269_716, 562_582_816),
    "nasnet_large": NetKind(nasnet_large, "tf", 331, 32, "NASNet-A Large", _NASNET, 84_916_818, 23_779_382_658),
    "squeezenet_v1": NetKind(
        keras.squeezenet_v1, "caffe", 224, 48, "SqueezeNet 1.1", _SQUEEZENET, 722_496, 262_623_936
    ),
}


@functools.lru_cache(maxsize=64)
def graph_of(net: str, height: int, width: int) -> Graph:
    """A net for pictures of a size. It is shared: nobody changes it."""
    return NETS[net].build(height, width)
