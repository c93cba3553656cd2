
/* The front end: a Hann window, power, mel bands, logarithms. */

static void make_frame(const float *x, size_t n, size_t frame, double *fft, float *out)
{
    int i, band;
    read_frame(x, n, frame, fft);
    for (i = FRAME_SIZE; i < FFT_SIZE + 2; i++)
        fft[i] = 0;
    power_spectrum(fft);
    for (band = 0; band < NET_MELS; band++)
        out[band] = (float)((log(band_power(fft, band) + FLOOR) + SHIFT) * FACTOR);
}

static float pixel(const picture *p, size_t frame, int band)
{
    return p->values[frame * NET_MELS + (size_t)band];
}
