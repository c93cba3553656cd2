/* The front end: a Hann window, power, mel bands, decibels below the loudest band of the window. Zeros lie before and
   behind a clip. */

static size_t zeros_before(size_t n)
{
    const size_t covered = (NET_FRAMES(n) - 1) * FRAME_HOP + FRAME_SIZE;
    return covered > n ? (covered - n) / 2 : 0;
}

/* Whether a frame of a clip sees neither of its ends, and so is the same in a clip that lies elsewhere. */
static int is_inside(size_t frame, size_t n)
{
    const size_t begin = frame * FRAME_HOP, zeros = zeros_before(n);
    return begin >= zeros && begin - zeros + FRAME_SIZE <= n;
}

static void make_frame(const float *x, size_t n, size_t frame, double *fft, float *out)
{
    const size_t begin = frame * FRAME_HOP, zeros = zeros_before(n);
    int i, band;
    for (i = 0; i < FRAME_SIZE; i++) {
        const size_t at = begin + (size_t)i;
        fft[i] = at >= zeros && at - zeros < n ? (double)x[at - zeros] * (double)WINDOW[i] : 0;
    }
    for (; i < FFT_SIZE + 2; i++)
        fft[i] = 0;
    power_spectrum(fft);
    for (band = 0; band < NET_MELS; band++) {
        const double power = band_power(fft, band);
        out[band] = (float)(5.0 * log10(power > LEAST_POWER ? power : LEAST_POWER));
    }
}

static float pixel(const picture *p, size_t frame, int band)
{
    const float below = p->values[frame * NET_MELS + (size_t)band] - p->loudest;
    return (below > -RANGE_DB ? below : -RANGE_DB) * INPUT_SCALE + INPUT_OFFSET;
}
