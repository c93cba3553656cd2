
/* Frames: one around every hop, of samples with pre-emphasis. Both ends of a clip are reflected. */

static float sample_at(const float *x, size_t n, size_t i)
{
    return i < n ? x[i] : 0;
}

/* Whether a frame of a clip sees neither of its ends, and so is the same in a clip that lies elsewhere. */
static int is_inside(size_t frame, size_t n)
{
    return frame * FRAME_HOP >= FRAME_SIZE / 2 && frame * FRAME_HOP + FRAME_SIZE / 2 < n;
}

/* The samples of a frame times the window. */
static void read_frame(const float *x, size_t n, size_t frame, double *samples)
{
    const long first = (long)(frame * FRAME_HOP) - FRAME_SIZE / 2, last = (long)(n < NET_MINIMUM ? NET_MINIMUM : n) - 2;
    int i;
    if (is_inside(frame, n)) {
        for (i = 0; i < FRAME_SIZE; i++)
            samples[i] = ((double)x[first + i + 1] - EMPHASIS * (double)x[first + i]) * (double)WINDOW[i];
        return;
    }
    for (i = 0; i < FRAME_SIZE; i++) {
        const long there = first + i, at = there < 0 ? -there : there > last ? 2 * last - there : there;
        samples[i] = ((double)sample_at(x, n, (size_t)at + 1) - EMPHASIS * (double)sample_at(x, n, (size_t)at)) *
                     (double)WINDOW[i];
    }
}
