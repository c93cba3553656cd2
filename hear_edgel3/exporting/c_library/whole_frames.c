
/* Frames: one behind every hop, as far as a whole one fits. Zeros follow a clip that is shorter than one. */

/* Whether a frame of a clip sees neither of its ends, and so is the same in a clip that lies elsewhere. */
static int is_inside(size_t frame, size_t n)
{
    return frame * FRAME_HOP + FRAME_SIZE <= n;
}

/* The sample i of a frame. */
static double sample_of(const float *x, size_t n, size_t frame, int i)
{
    const size_t at = frame * FRAME_HOP + (size_t)i;
    return at < n ? (double)x[at] : 0;
}
