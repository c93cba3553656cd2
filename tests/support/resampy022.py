"""Own vectorised numpy statement of what resampy 0.2.2 'kaiser_best' computes (filter recomputed, not stored)."""

import numpy as np

NUM_ZEROS, NUM_TABLE, ROLLOFF, BETA = 64, 512, 0.9475937167399596, 14.769656459379492


def half_window():
    n = NUM_TABLE * NUM_ZEROS
    t = np.linspace(0, NUM_ZEROS, n + 1)
    return ROLLOFF * np.sinc(ROLLOFF * t) * np.kaiser(2 * n + 1, BETA)[n:]


def resample(x, sr_orig, sr_new, block=4096):
    x = np.asarray(x)
    dt = x.dtype
    ratio = float(sr_new) / sr_orig
    n_out = int(len(x) * ratio)
    if n_out < 1:
        raise ValueError("too short")
    win = half_window() * (ratio if ratio < 1 else 1.0)
    delta = np.append(np.diff(win), 0.0)
    scale = min(1.0, ratio)
    step = int(scale * NUM_TABLE)  # truncated: the 0.2.2 quirk (DC gain up to +0.8 %)
    # the original accumulates the read position by repeated addition; np.cumsum rounds identically
    pos = np.concatenate([[0.0], np.cumsum(np.full(n_out - 1, 1.0 / ratio))])
    n0 = pos.astype(np.int64)
    nmax = len(win) // step + 1
    k = np.arange(nmax)
    y = np.empty(n_out)
    for s in range(0, n_out, block):
        n = n0[s : s + block]
        acc = 0.0
        for left in (True, False):
            frac = scale * (pos[s : s + block] - n)
            if not left:
                frac = scale - frac
            fi = frac * NUM_TABLE
            off = fi.astype(np.int64)
            eta = fi - off
            count = (len(win) - off) // step
            count = np.minimum(count, n + 1) if left else np.minimum(count, len(x) - n - 1)
            valid = k[None, :] < count[:, None]
            wi = np.where(valid, off[:, None] + k[None, :] * step, 0)
            xi = np.where(valid, (n[:, None] - k) if left else (n[:, None] + 1 + k), 0)
            acc = acc + ((win[wi] + eta[:, None] * delta[wi]) * x[xi] * valid).sum(1)
        y[s : s + block] = acc
    return y.astype(dt)
