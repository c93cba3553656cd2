"""Rows of the L3 family: sparse L3-Net at eight sparsities, fine-tuned or distilled, and SEA at four sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.l3.layout import L3Layers
from hear_edgel3.families.schema import Checkpoint, Component, HubFile, OneKind, Published, SceneRule, Upstream
from hear_edgel3.families.values import check_values, counts, is_count_to, is_flag

if TYPE_CHECKING:
    from hear_edgel3.families.l3.frontend import L3MelSpectrogram
    from hear_edgel3.families.l3.net import L3Net

_PROJECT = "https://github.com/ksangeeta2429/edgel3"
# The files are on the branch `models`; the commit makes the address permanent.
_FILES = f"{_PROJECT}/raw/e65810196cd62ff3f8b5f6bbc7d81cc755abe586"
_LICENCE, _COPYRIGHT = "MIT", "(c) 2019 Sangeeta Kumari"

_EDGEL3 = (
    "Sangeeta Kumari, Dhrubojyoti Roy, Mark Cartwright, Juan Pablo Bello, Anish Arora. EdgeL3: Compressing L3-Net for "
    "Mote-Scale Urban Noise Monitoring. IPDPSW, 2019."
)
_SEA = (
    "Sangeeta Srivastava, Dhrubojyoti Roy, Mark Cartwright, Juan Pablo Bello, Anish Arora. Specialized Embedding "
    "Approximation for Edge Intelligence: A Case Study in Urban Sound Classification. ICASSP, 2021."
)

# Converted weights on the Hub: name -> (revision, sha256, size), as `python -m weights_convert publish` prints them.
# A name that is missing has not been published yet; its weights come from the authors' file.
_PUBLISHED: dict[str, tuple[str, str, int]] = {}

_WIDE = (64, 64, 128, 128, 256, 256, 512, 512)
# Of front ends that a folder describes; what they take grows with these numbers, and no weights tell them.
_MOST = {"sample_rate": 192_000, "n_fft": 16_384, "hop_length": 192_000, "n_mels": 1024}
_SMALLEST_IMAGE = 8  # mel bands and frames, which three poolings halve

# Overall sparsity in percent: git blob ids of the fine-tuned (ft) and the distilled (kd) file.
_SPARSE = {
    "53.5": ("145a4a61614c1b0b9f68339a844a3c92a431e118", "28681887520bd12b87221c13beab11a766cb10dd"),
    "63.5": ("ce456a346803f8251505f137c8c3d04dcdcb8e67", "c2bad561ef1f1cdd919f73f4c4f34f5672f58b4b"),
    "72.3": ("3bee3a0a90c82d7cd5ff77f3012eb51f6b818ef8", "2bc10ef8b9cec44354c5564173106ca5128cdc92"),
    "73.5": ("6bf23ad68e5bf2e9e41c83659032234e18f5402e", "81374e4a0a082eae689da873ef4079485576641d"),
    "81.0": ("550d3c64ced38a3f61c8333f2775259bce216464", "f522214d1f7e55cc2dd5c260051aa8b7b3fd0c65"),
    "87.0": ("a3537e20cd83b5d55708af7b1141a8e0c092488c", "04fd3b2bf1d461bd6bc9a33925651797705e8b56"),
    "90.5": ("fbf4d3742f46fe40960e9f7ff75ca2a2656877d0", "24ec812c198b397c6c56da04ccde84b363e17a35"),
    "95.45": ("f04c05f436a6f95eea6f30573cb70c68841e16de", "ddefcd4c49a216f2ccec92db15105ed1499a6a35"),
}

# Embedding size: channels of the eight convolutions, git blob id.
_SEA_NETS = {
    64: ((32, 32, 64, 64, 128, 128, 64, 64), "f3535405c91fe8da71f6456adb8a061213324239"),
    128: ((32, 32, 64, 64, 128, 128, 128, 128), "162576876259e8267eb6cefe09470dbf153ed6fc"),
    256: ((32, 32, 64, 64, 128, 128, 256, 256), "6be46fee2c278b79d9f77f064146a9493eff2f83"),
    512: (_WIDE, "116703e97997cc316d7163ede5d2f5e4d4018f87"),
}


def sparse_name(sparsity: str, retrain_type: str) -> str:
    """Name of a sparse checkpoint: "95.45", "ft" -> "sparse_95"; "kd" adds "_kd"."""
    return f"sparse_{sparsity.split('.', maxsplit=1)[0]}" + ("_kd" if retrain_type == "kd" else "")


def sea_name(embedding_size: int) -> str:
    """Name of a SEA checkpoint."""
    return f"sea_{embedding_size}"


def sparsities() -> tuple[float, ...]:
    """The published overall sparsities in percent."""
    return tuple(float(s) for s in _SPARSE)


def sea_sizes() -> tuple[int, ...]:
    """The published embedding sizes of SEA."""
    return tuple(_SEA_NETS)


def _n_parameters(channels: tuple[int, ...], final_norm: bool) -> int:
    """Weights, biases and the four values per channel of each batch norm (running statistics included)."""
    convs = sum(9 * i * o + o for i, o in zip((1, *channels[:-1]), channels, strict=True))
    return convs + 4 * (1 + sum(channels if final_norm else channels[:-1]))


def _macs_10s(channels: tuple[int, ...], n_mels: int, hop_length: int, sample_rate: int) -> int:
    """Multiply-accumulates of the convolutions over ten seconds in one piece; pooling follows layers 2, 4 and 6."""
    bands, frames = n_mels, -(-10 * sample_rate // hop_length)
    macs = 0
    for i, (n_in, n_out) in enumerate(zip((1, *channels[:-1]), channels, strict=True)):
        macs += 9 * n_in * n_out * bands * frames
        if i in (1, 3, 5):
            bands, frames = bands // 2, frames // 2
    return macs


def build_net(**arguments: Any) -> L3Net:
    """The net; its arguments are those of :class:`hear_edgel3.families.l3.net.L3Net`."""
    from hear_edgel3.families.l3.net import L3Net

    return L3Net(**arguments)


def build_frontend(**arguments: Any) -> L3MelSpectrogram:
    """The front end; its arguments are those of :class:`hear_edgel3.families.l3.frontend.L3MelSpectrogram`."""
    from hear_edgel3.families.l3.frontend import L3MelSpectrogram

    return L3MelSpectrogram(**arguments)


# Rates in Hz that the HEAR tools know.
_HEAR_RATES = (16000, 22050, 44100, 48000)


def architecture(
    channels: Sequence[int], final_norm: bool, sample_rate: int, n_fft: int, hop_length: int, n_mels: int
) -> dict[str, Any]:
    """The fields of a row that follow from the net's shape and its front end.

    Args:
        channels: of the eight convolutions; the last is the embedding size.
        final_norm: whether batch norm and ReLU follow the last convolution too.
        sample_rate: of the front end, in Hz; windows are one second.
        n_fft: samples per DFT frame.
        hop_length: samples between frames.
        n_mels: mel bands.
    """
    frontend = {"sample_rate": sample_rate, "n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels}
    return {
        "family": "l3",
        # SEA's own 8000 Hz is no rate of the HEAR tools; callers feed 16000 and it is halved inside.
        "sample_rate": next((rate for rate in _HEAR_RATES if rate >= sample_rate), _HEAR_RATES[-1]),
        "net_sample_rate": sample_rate,
        "window_ms": 1000.0,
        "net": Component(build_net, {"channels": tuple(channels), "final_norm": final_norm}),
        "frontend": Component(build_frontend, frontend),
        "layers": L3Layers(tuple(channels), n_mels, hop_length, n_fft),
        "kernels": True,
        "vocabulary": OneKind(channels[-1]),
        "n_parameters": _n_parameters(tuple(channels), final_norm),
        "macs_10s": _macs_10s(tuple(channels), n_mels, hop_length, sample_rate),
        # As the HEAR baselines do: the mean over windows a quarter of a second apart.
        "scene": SceneRule(sample_rate=sample_rate, hop_ms=250.0),
        "file_framing": "edgel3",
        "file_hop_ms": 100.0,
        # One 48 kHz window's largest activation is 13 MB: batches were slower, not faster.
        "windows_per_batch": 1 if n_mels * sample_rate // hop_length > 25_000 else 16,
    }


def shape(row: Checkpoint) -> dict[str, Any]:
    """The arguments of :func:`architecture` that made a row of this family, as plain values."""
    net = row.net.arguments
    frontend = {key: row.frontend.arguments[key] for key in ("sample_rate", "n_fft", "hop_length", "n_mels")}
    return {"channels": list(net["channels"]), "final_norm": net["final_norm"], **frontend}


def check_architecture(shape: Mapping[str, Any]) -> None:
    """Checks the arguments of :func:`architecture` as they stand in a file, which that function takes as they are.

    Raises:
        TypeError, ValueError, KeyError: One of them cannot be, or is missing.
    """
    sizes = {name: is_count_to(most) for name, most in _MOST.items()}
    check_values(shape, {**sizes, "final_norm": is_flag, "channels": counts(len(_WIDE))})
    if min(shape["n_mels"], -(-shape["sample_rate"] // shape["hop_length"])) < _SMALLEST_IMAGE:
        raise ValueError(f"its windows are less than {_SMALLEST_IMAGE} frames of {_SMALLEST_IMAGE} mel bands")


def _sparse_rows() -> Iterator[Published]:
    for sparsity, blobs in _SPARSE.items():
        for retrain_type, blob in zip(("ft", "kd"), blobs, strict=True):
            name = sparse_name(sparsity, retrain_type)
            how = "fine-tuned" if retrain_type == "ft" else "distilled"
            yield Published(
                name=name,
                summary=f"EdgeL3: L3-Net with {sparsity} % of its weights pruned, {how}",
                **architecture(_WIDE, final_norm=False, sample_rate=48000, n_fft=2048, hop_length=242, n_mels=256),
                zeros=float(sparsity) / 100,
                upstream=Upstream(
                    f"{_FILES}/edgel3_{retrain_type}_audio_sparsity_{sparsity}.h5.gz",
                    blob,
                    _LICENCE,
                    _COPYRIGHT,
                    _PROJECT,
                ),
                hub=HubFile(f"hear-edgel3/{name}", "model.safetensors", *_PUBLISHED.get(name, ())),
                citation=_EDGEL3,
            )


def _sea_rows() -> Iterator[Published]:
    for size, (channels, blob) in _SEA_NETS.items():
        name = sea_name(size)
        yield Published(
            name=name,
            summary=f"SEA: L3-Net specialised to urban sound, {size}-d",
            **architecture(channels, final_norm=True, sample_rate=8000, n_fft=1024, hop_length=160, n_mels=64),
            upstream=Upstream(f"{_FILES}/edgel3_sea_ust_audio_emb_{size}.h5.gz", blob, _LICENCE, _COPYRIGHT, _PROJECT),
            hub=HubFile(f"hear-edgel3/{name}", "model.safetensors", *_PUBLISHED.get(name, ())),
            citation=_SEA,
        )


ROWS = (*_sparse_rows(), *_sea_rows())
