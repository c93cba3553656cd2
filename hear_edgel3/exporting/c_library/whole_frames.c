
/* Frames: one behind every hop, as far as a whole one fits. Zeros follow a clip that is shorter than one. */

/* Whether a frame of a clip sees neither of its ends, and so is the same in a clip that lies elsewhere. */
static int is_inside(size_t frame, size_t n)
{
    return frame * FRAME_HOP + FRAME_SIZE <= n;
}

/* The samples of a frame times the window. */
static void read_frame(const float *x, size_t n, size_t frame, double *samples)
{
    const size_t first = frame * FRAME_HOP;
    int i;
    for (i = 0; i < FRAME_SIZE; i++)
        samples[i] = first + (size_t)i < n ? (double)x[first + (size_t)i] * (double)WINDOW[i] : 0;
}
