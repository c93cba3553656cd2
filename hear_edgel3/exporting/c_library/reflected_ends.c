
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

/* The sample i of a frame. */
static double sample_of(const float *x, size_t n, size_t frame, int i)
{
    const long last = (long)(n < NET_MINIMUM ? NET_MINIMUM : n) - 2;
    long at = (long)(frame * FRAME_HOP) - FRAME_SIZE / 2 + i;
    at = at < 0 ? -at : at > last ? 2 * last - at : at;
    return (double)sample_at(x, n, (size_t)at + 1) - EMPHASIS * (double)sample_at(x, n, (size_t)at);
}
