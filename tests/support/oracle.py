"""Independent float64 numpy re-implementation of edgel3's nets (no Keras/TF/torch/librosa).

Everything is float64; float32 only where stated. It was checked against the outputs of edgel3 0.2.1 itself.
"""

import numpy as np

AMIN, DYN, BN_EPS = 1e-10, 80.0, 1e-3


def hann_periodic(n):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


def dft_kernels(n_dft, window_dtype=np.float32):
    """(n_dft, n_dft//2+1) real / imag. Kapre rounds the window to float32 first, the product to float32 last."""
    t = np.arange(n_dft)
    w = np.arange(n_dft // 2 + 1) * 2 * np.pi / float(n_dft)
    win = hann_periodic(n_dft).astype(window_dtype).reshape(1, -1)
    re = (np.cos(w[:, None] * t[None, :]) * win).T
    im = (-np.sin(w[:, None] * t[None, :]) * win).T
    return re, im


def mel_htk_slaney_norm(sr, n_fft, n_mels, fmin=0.0, fmax=None):
    """HTK mel scale, triangles, area ('slaney') normalisation 2/(f[m+2]-f[m]). -> (n_freq, n_mels)"""
    fmax = sr / 2.0 if fmax is None else fmax

    def h2m(f):
        return 2595.0 * np.log10(1.0 + f / 700.0)

    mel = np.linspace(h2m(fmin), h2m(fmax), n_mels + 2)
    pts = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    freqs = np.linspace(0, sr / 2.0, n_fft // 2 + 1)
    d = np.diff(pts)
    ramps = pts[:, None] - freqs[None, :]
    W = np.zeros((n_mels, len(freqs)))
    for i in range(n_mels):
        W[i] = np.maximum(0, np.minimum(-ramps[i] / d[i], ramps[i + 2] / d[i + 1]))
    W *= (2.0 / (pts[2:] - pts[:-2]))[:, None]
    return W.T


def same_pad(length, k, hop):
    n = -(-length // hop)
    total = max((n - 1) * hop + k - length, 0)
    return n, total // 2, total - total // 2


def melspec_db(x, re, im, fb, hop, return_parts=False):
    """x (B, L) -> (B, n_mels, n_frames)"""
    x = np.asarray(x, np.float64)
    n_dft = re.shape[0]
    n, left, right = same_pad(x.shape[1], n_dft, hop)
    xp = np.pad(x, ((0, 0), (left, right)))
    idx = np.arange(n)[:, None] * hop + np.arange(n_dft)[None, :]
    fr = xp[:, idx]  # B, n, n_dft
    power = (fr @ re) ** 2 + (fr @ im) ** 2  # B, n, F
    mel = np.sqrt(power @ fb)  # B, n, M
    db = 10.0 * np.log10(np.maximum(mel, AMIN))
    db = db - db.max(axis=(1, 2), keepdims=True)
    db = np.maximum(db, -DYN)
    db = db.transpose(0, 2, 1)
    if return_parts:
        return db, power, mel
    return db


def conv3x3(x, k, b):
    """x (B,H,W,C) NHWC, k HWIO (cross-correlation), zero 'same' padding 1 on each side"""
    B, H, W, _ = x.shape
    xp = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((B, H, W, k.shape[3]))
    for i in range(3):
        for j in range(3):
            out += xp[:, i : i + H, j : j + W, :] @ k[i, j]
    return out + b


def bn(x, g, be, m, v):
    return (x - m) / np.sqrt(v + BN_EPS) * g + be


def maxpool(x, ph, pw):
    B, H, W, C = x.shape
    h, w = H // ph, W // pw
    return x[:, : h * ph, : w * pw].reshape(B, h, ph, w, pw, C).max(axis=(2, 4))


def forward(w, x, stages=None):
    """x (B, L) -> (B, D). SEA has 9 BN (last conv followed by BN+ReLU); sparse has 8 (last conv bare)."""
    db = melspec_db(x, w["re"], w["im"], w["fb"], w["hop"])
    y = db[..., None]
    y = bn(y, *w["bn"][0])
    if stages is not None:
        stages["db"] = db
        stages["bn0"] = y[..., 0]
    nb = 1
    for i, (k, b) in enumerate(w["conv"]):
        y = conv3x3(y, k, b)
        if stages is not None:
            stages[f"conv{i + 1}"] = y
        if nb < len(w["bn"]):
            y = bn(y, *w["bn"][nb])
            nb += 1
            y = np.maximum(y, 0)
        if i in (1, 3, 5):
            y = maxpool(y, 2, 2)
            if stages is not None:
                stages[f"pool{i // 2 + 1}"] = y
    y = maxpool(y, y.shape[1], y.shape[2])
    return y.reshape(y.shape[0], -1)


def get_frames(audio, sr_target, center, hop_size):
    """edgel3's framing, re-stated (mono audio already at sr_target)"""
    L = sr_target
    hop = int(hop_size * sr_target)
    if center:
        audio = np.concatenate([np.zeros(int(L / 2.0), audio.dtype), audio])
    n = audio.size
    n_frames = 1 if n < L else 1 + -(-(n - L) // hop)
    need = L + (n_frames - 1) * hop
    audio = np.pad(audio, (0, need - n))
    return np.stack([audio[i * hop : i * hop + L] for i in range(n_frames)]), np.arange(n_frames) * hop_size
