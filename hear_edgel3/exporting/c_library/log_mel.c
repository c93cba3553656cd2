/* The front end: pre-emphasis, a Hann window, power, mel bands, logarithms. Both ends of a clip are reflected. */

static float sample_at(const float *x, size_t n, size_t i)
{
    return i < n ? x[i] : 0;
}

/* Whether a frame of a clip sees neither of its ends, and so is the same in a clip that lies elsewhere. */
static int is_inside(size_t frame, size_t n)
{
    return frame * FRAME_HOP >= FRAME_SIZE / 2 && frame * FRAME_HOP + FRAME_SIZE / 2 < n;
}

static void make_frame(const float *x, size_t n, size_t frame, double *fft, float *out)
{
    const long last = (long)(n < NET_MINIMUM ? NET_MINIMUM : n) - 2, begin = (long)(frame * FRAME_HOP) - FRAME_SIZE / 2;
    int i, band;
    for (i = 0; i < FRAME_SIZE; i++) {
        long at = begin + i;
        at = at < 0 ? -at : at > last ? 2 * last - at : at;
        fft[i] = ((double)sample_at(x, n, (size_t)at + 1) - PREEMPHASIS * (double)sample_at(x, n, (size_t)at)) *
                 (double)WINDOW[i];
    }
    for (; i < FFT_SIZE + 2; i++)
        fft[i] = 0;
    power_spectrum(fft);
    for (band = 0; band < NET_MELS; band++)
        out[band] = (float)((log(band_power(fft, band) + FLOOR) + 4.5) / 5.0);
}

static float pixel(const picture *p, size_t frame, int band)
{
    return p->values[frame * NET_MELS + (size_t)band];
}
