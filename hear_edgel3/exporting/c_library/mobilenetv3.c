
/* The net: MobileNetV3 (Howard et al., ICCV 2019). Rows are computed one after the other, so that of a block's expanded
   channels, which are most of them, only as many rows exist as the depthwise convolution sees. */

/* The most floats that are needed at a time. */
static size_t count_floats(size_t frames)
{
    int i, bands = (NET_MELS - 1) / 2 + 1;
    size_t most;
    frames = (frames - 1) / 2 + 1;
    most = (size_t)bands * frames * PADDED(FIRST.out);
    for (i = 0; i < N_BLOCKS; i++) {
        const block *o = BLOCKS + i;
        size_t floats = count_maps(o, bands, frames) + count_rows(o, frames);
#if HAS_CONTEXTS
        if (CONTEXTS[i].joint.out > 0)
            floats = count_dynamic(i, bands, frames);
#endif
        most = floats > most ? floats : most;
        bands = (bands - 1) / o->stride + 1, frames = (frames - 1) / (size_t)o->stride + 1;
    }
#if HAS_LAST
    {
        const size_t floats = (size_t)bands * frames * PADDED(LAST.in) + PIXELS * (size_t)PADDED(LAST.out);
        most = floats > most ? floats : most;
    }
#endif
    return most;
}

/* The rows of what a block expands, and of what its depthwise convolution makes of them. Rows of output go to where
   they belong at once, or where there is squeeze-and-excitation those of the convolution. */
static void run_rows(int number, const places *p, int bands, size_t frames, float *embedding)
{
    const block *const o = BLOCKS + number;
    const int made_bands = (bands - 1) / o->stride + 1, half = o->kernel / 2;
    const size_t in = PADDED(o->in), inside = PADDED(o->inside), out = PADDED(o->out);
    const size_t made = (frames - 1) / (size_t)o->stride + 1, row = frames * inside;
    const size_t before = (size_t)bands * frames * in, behind = (size_t)made_bands * made * out;
    const int in_place = is_in_place(o, bands, frames);
    float *const middle = p->map + (before > behind ? before : behind);
    float *const all_rows = p->map + count_maps(o, bands, frames), *const made_row = all_rows + (size_t)o->kernel * row;
    const float *expand = NULL, *taps = NULL, *project = NULL;
    int y, i, expanded = 0;
    size_t c, pixel_number;
#if HAS_CONTEXTS
    mixture mixed = NO_MIXTURE;
    if (CONTEXTS[number].joint.out > 0) {
        mixed = make_mixture(number, p, bands, frames, embedding);
        mix_all(number, &mixed, &expand, &taps, &project);
    }
#endif
    if (o->squeezes)
        clear(p->sums, inside);
    for (y = 0; y < made_bands; y++) {
        const float *rows[MOST_KERNEL];
        float *at = in_place ? made_row : middle + (size_t)y * made * inside;
        while (expanded < bands && expanded <= y * o->stride + half) {
            /* The first ones at once: of small maps a row alone is less than is computed together. */
            const int n = expanded > 0 ? 1 : bands < o->kernel ? bands : o->kernel;
            float *place = all_rows + (size_t)(expanded % o->kernel) * row;
            const float *x = p->map + (size_t)expanded * frames * in;
            if (o->expands)
                pointwise(&o->expand, expand, x, (size_t)n * frames, 0, place);
            else
                memcpy(place, x, (size_t)n * row * sizeof *place);
            expanded += n;
        }
        for (i = 0; i < o->kernel; i++) {
            const int band = y * o->stride + i - half;
            rows[i] = band < 0 || band >= bands ? NULL : all_rows + (size_t)(band % o->kernel) * row;
        }
        depthwise(&o->depthwise, taps, rows, o->kernel, o->stride, frames, at);
#if HAS_CONTEXTS
        if (CONTEXTS[number].joint.out > 0)
            activate(number, &mixed, y, made, 0, inside, at, at);
#endif
        if (in_place)
            pointwise(&o->project, project, at, made, o->residual, p->map + (size_t)y * made * out);
        else if (o->squeezes)
            add_up(at, made, inside, p->sums);
    }
    if (o->squeezes) {
        divide(p->sums, inside, (size_t)made_bands * made, p->a);
        linear(&o->squeeze, NULL, p->a, 0, p->b);
        keep(embedding, o->kept_squeeze, p->b, o->squeeze.out);
        for (i = 0; i < o->squeeze.out; i++)
            p->b[i] = p->b[i] > 0 ? p->b[i] : 0;
        linear(&o->excite, NULL, p->b, 0, p->a);
        for (c = 0; c < inside; c++)
            p->a[c] = 1.f / (1.f + expf(-p->a[c]));
    }
    if (!in_place) {
        const size_t pixels = (size_t)made_bands * made;
        for (pixel_number = 0; o->squeezes && pixel_number < pixels; pixel_number++)
            for (c = 0; c < inside; c++)
                middle[pixel_number * inside + c] *= p->a[c];
        pointwise(&o->project, project, middle, pixels, o->residual, p->map);
    }
}

static void run_block(int number, const places *p, int *bands, size_t *frames, float *embedding)
{
    const block *const o = BLOCKS + number;
#if HAS_CONTEXTS
    if (CONTEXTS[number].by_groups)
        run_groups(number, p, *bands, *frames, embedding);
    else
#endif
        run_rows(number, p, *bands, *frames, embedding);
    *bands = (*bands - 1) / o->stride + 1, *frames = (*frames - 1) / (size_t)o->stride + 1;
    if (o->kept >= 0)
        pool(p, *bands, *frames, o->project.out, embedding + o->kept);
}

static void run_net(const picture *image, const places *p, net_result *result)
{
    size_t frames = (image->frames - 1) / 2 + 1, t;
    int i, bands = (NET_MELS - 1) / 2 + 1;
    if (KEPT_MEL_AVERAGES >= 0) {
        clear(p->sums, NET_MELS);
        for (t = 0; t < image->frames; t++)
            add_up(image->values + t * NET_MELS, 1, NET_MELS, p->sums);
        divide(p->sums, NET_MELS, image->frames, p->a);
        keep(p->inside, KEPT_MEL_AVERAGES, p->a, NET_MELS);
    }
    first_convolution(image, p->map);
#if KEPT_FIRST >= 0
    pool(p, bands, frames, FIRST.out, p->inside + KEPT_FIRST);
#endif
    (void)result;
    for (i = 0; i < N_BLOCKS; i++)
        run_block(i, p, &bands, &frames, p->inside);
#if HAS_LAST
    /* Of the last convolution only the means are wanted: it is never there as a whole. */
    clear(p->sums, PADDED(LAST.out));
    for (t = 0; t < (size_t)bands * frames; t += PIXELS) {
        float *const row = p->map + (size_t)bands * frames * PADDED(LAST.in);
        const size_t count = (size_t)bands * frames - t < PIXELS ? (size_t)bands * frames - t : PIXELS;
        pointwise(&LAST, NULL, p->map + t * PADDED(LAST.in), count, 0, row);
        add_up(row, count, PADDED(LAST.out), p->sums);
    }
    divide(p->sums, PADDED(LAST.out), (size_t)bands * frames, p->a);
    keep(p->inside, KEPT_LAST, p->a, LAST.out);
    keep(p->inside, KEPT_CLF1, p->a, LAST.out);
#endif
#if HAS_HIDDEN
    linear(&HIDDEN, NULL, p->a, 0, p->b);
    keep(p->inside, KEPT_CLF2, p->b, HIDDEN.out);
    memcpy(p->a, p->b, PADDED(HIDDEN.out) * sizeof *p->a);
#endif
#if HAS_CLASSIFIER
    linear(&CLASSIFIER, NULL, p->a, 0, p->b);
    keep(p->inside, KEPT_LOGITS, p->b, CLASSIFIER.out);
#if OWN_LOGITS
    memcpy(result->ANSWERS, p->b, sizeof result->ANSWERS);
#endif
#endif
}
