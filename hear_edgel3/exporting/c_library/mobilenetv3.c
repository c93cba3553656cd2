
/* The net: MobileNetV3 (Howard et al., ICCV 2019). Rows are computed one after the other, so that of a block's expanded
   channels, which are most of them, only as many rows exist as the depthwise convolution sees. */

/* A pointwise convolution of a row. */
static void pointwise(const layer *l, const float *x, size_t frames, int adds, float *y)
{
    const size_t in = PADDED(l->in), out = PADDED(l->out);
    size_t t;
    int p, group;
    for (t = 0; t < frames; t += PIXELS) {
        const int count = frames - t < PIXELS ? (int)(frames - t) : PIXELS;
        const float *pixels[PIXELS];
        for (p = 0; p < PIXELS; p++)
            pixels[p] = x + (t + (size_t)(p < count ? p : 0)) * in;
        for (group = 0; group < (int)out / LANES; group++) {
            float sums[PIXELS][LANES] = {{0}};
            add_products(sums, pixels, l, (long)group * l->in * LANES, l->in);
            for (p = 0; p < count; p++)
                finish(sums[p], l, group, adds, y + (t + (size_t)p) * out + group * LANES);
        }
    }
}

/* Adds the products of LANES channels of a pixel with their own weights. */
#define ADD_TAP(name, type)                                              \
    static void name(float sum[LANES], const float *x, const type *w)    \
    {                                                                    \
        int j;                                                           \
        for (j = 0; j < LANES; j++)                                      \
            sum[j] += x[j] * (float)w[j];                                \
    }
ADD_TAP(add_float_tap, float)
#if NET_INT8
ADD_TAP(add_int8_tap, signed char)
#endif

/* A depthwise convolution that makes one row; rows[i] is null where it is outside of the map. */
static void depthwise(const layer *l, const float *const *rows, int kernel, int stride, size_t frames, float *y)
{
    const size_t channels = PADDED(l->out), made = (frames - 1) / (size_t)stride + 1;
    size_t t, c;
    int i, j;
    for (t = 0; t < made; t++) {
        const size_t begin = t * (size_t)stride;
        for (c = 0; c < channels; c += LANES) {
            float sum[LANES] = {0};
            for (i = 0; i < kernel; i++) {
                if (rows[i] == NULL)
                    continue;
                for (j = 0; j < kernel; j++) {
                    const size_t at = begin + (size_t)j; /* half a kernel further than the pixel */
                    const long place = l->weights + (long)((size_t)(i * kernel + j) * channels + c);
                    const float *x;
                    if (at < (size_t)kernel / 2 || at - (size_t)kernel / 2 >= frames)
                        continue;
                    x = rows[i] + (at - (size_t)kernel / 2) * channels + c;
#if NET_INT8
                    if (l->scale >= 0) {
                        add_int8_tap(sum, x, BYTES + place);
                        continue;
                    }
#endif
                    add_float_tap(sum, x, FLOATS + place);
                }
            }
            finish(sum, l, (int)c / LANES, 0, y + t * channels + c);
        }
    }
}

/* Adds up rows of pixels. */
static void add_up(const float *x, size_t pixels, size_t channels, double *sums)
{
    size_t i, c;
    for (i = 0; i < pixels; i++, x += channels)
        for (c = 0; c < channels; c++)
            sums[c] += (double)x[c];
}

static void clear(double *sums, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        sums[i] = 0;
}

static void divide(const double *sums, size_t n, size_t count, float *means)
{
    size_t i;
    for (i = 0; i < n; i++)
        means[i] = (float)(sums[i] / (double)count);
}

/* The means of a map's channels, of all of it or, channel by channel, of each band. */
static void pool(const places *p, int bands, size_t frames, int channels, float *means)
{
    const int parts = BANDS_APART ? bands : 1;
    const size_t pixels = (size_t)(bands / parts) * frames, width = PADDED(channels);
    int part, c;
    for (part = 0; part < parts; part++) {
        clear(p->sums, width);
        add_up(p->map + (size_t)part * pixels * width, pixels, width, p->sums);
        divide(p->sums, width, pixels, p->a);
        for (c = 0; c < channels; c++)
            means[c * parts + part] = p->a[c];
    }
}

/* The first convolution, 3 by 3 with stride 2, of the picture. */
static void first_convolution(const picture *image, float *y)
{
    const int channels = PADDED(FIRST.out), bands = (NET_MELS - 1) / 2 + 1;
    const size_t frames = (image->frames - 1) / 2 + 1;
    size_t t;
    int b, i, j, c;
    for (b = 0; b < bands; b++)
        for (t = 0; t < frames; t++, y += channels) {
            float seen[9];
            for (i = 0; i < 3; i++)
                for (j = 0; j < 3; j++) {
                    const int band = 2 * b + i - 1;
                    const size_t frame = 2 * t + (size_t)j; /* one further than the frame */
                    seen[3 * i + j] = band < 0 || band >= NET_MELS || frame < 1 || frame > image->frames
                                          ? 0
                                          : pixel(image, frame - 1, band);
                }
            for (c = 0; c < channels; c += LANES) {
                float sum[LANES] = {0};
                int lane;
                for (i = 0; i < 9; i++)
                    for (lane = 0; lane < LANES; lane++)
                        sum[lane] += seen[i] * FLOATS[FIRST.weights + i * channels + c + lane];
                finish(sum, &FIRST, c / LANES, 0, y + c);
            }
        }
}

/* Whether the rows of a block's output may overwrite its input while it is still read. */
static int is_in_place(const block *o, int bands, size_t frames)
{
    const size_t in = PADDED(o->in) * frames, out = PADDED(o->out) * ((frames - 1) / (size_t)o->stride + 1);
    const int made = (bands - 1) / o->stride + 1;
    int y;
    if (o->squeezes)
        return 0;
    for (y = 0; y < made; y++) {
        const int read = y * o->stride + o->kernel / 2 + 1; /* rows that are read no more */
        if (read < bands && (size_t)(y + 1) * out > (size_t)read * in)
            return 0;
    }
    return 1;
}

/* The floats that the maps and the rows of all blocks take. */
static void count_floats(size_t frames, size_t *maps, size_t *rows)
{
    int i, bands = (NET_MELS - 1) / 2 + 1;
    frames = (frames - 1) / 2 + 1;
    *maps = (size_t)bands * frames * PADDED(FIRST.out);
    *rows = 0;
    for (i = 0; i < N_BLOCKS; i++) {
        const block *o = BLOCKS + i;
        const int made_bands = (bands - 1) / o->stride + 1;
        const size_t made = (frames - 1) / (size_t)o->stride + 1, inside = PADDED(o->inside);
        const size_t in = (size_t)bands * frames * PADDED(o->in), out = (size_t)made_bands * made * PADDED(o->out);
        size_t map = in > out ? in : out, row = ((size_t)o->kernel * frames + made) * inside;
        if (!is_in_place(o, bands, frames))
            map += (size_t)made_bands * made * inside;
        *maps = map > *maps ? map : *maps;
        *rows = row > *rows ? row : *rows;
        bands = made_bands, frames = made;
    }
#if HAS_LAST
    if (PIXELS * (size_t)PADDED(LAST.out) > *rows)
        *rows = PIXELS * (size_t)PADDED(LAST.out);
#endif
}

/* The rows of what a block expands, and of what its depthwise convolution makes of them. Rows of output go to where
   they belong at once, or where there is squeeze-and-excitation those of the convolution. */
static void run_block(const block *o, const places *p, int *bands, size_t *frames, float *embedding)
{
    const int made_bands = (*bands - 1) / o->stride + 1, half = o->kernel / 2;
    const size_t in = PADDED(o->in), inside = PADDED(o->inside), out = PADDED(o->out);
    const size_t made = (*frames - 1) / (size_t)o->stride + 1, row = *frames * inside;
    const size_t before = (size_t)*bands * *frames * in, behind = (size_t)made_bands * made * out;
    const int in_place = is_in_place(o, *bands, *frames);
    float *const middle = p->map + (before > behind ? before : behind), *const made_row = p->rows + (size_t)o->kernel * row;
    int y, i, expanded = 0;
    size_t c, pixel_number;
    if (o->squeezes)
        clear(p->sums, inside);
    for (y = 0; y < made_bands; y++) {
        const float *rows[MOST_KERNEL];
        float *at = in_place ? made_row : middle + (size_t)y * made * inside;
        for (; expanded < *bands && expanded <= y * o->stride + half; expanded++) {
            float *place = p->rows + (size_t)(expanded % o->kernel) * row;
            const float *x = p->map + (size_t)expanded * *frames * in;
            if (o->expands)
                pointwise(&o->expand, x, *frames, 0, place);
            else
                memcpy(place, x, row * sizeof *place);
        }
        for (i = 0; i < o->kernel; i++) {
            const int band = y * o->stride + i - half;
            rows[i] = band < 0 || band >= *bands ? NULL : p->rows + (size_t)(band % o->kernel) * row;
        }
        depthwise(&o->depthwise, rows, o->kernel, o->stride, *frames, at);
        if (in_place)
            pointwise(&o->project, at, made, o->residual, p->map + (size_t)y * made * out);
        else if (o->squeezes)
            add_up(at, made, inside, p->sums);
    }
    if (o->squeezes) {
        divide(p->sums, inside, (size_t)made_bands * made, p->a);
        linear(&o->squeeze, p->a, p->b);
        if (o->kept_squeeze >= 0)
            memcpy(embedding + o->kept_squeeze, p->b, (size_t)o->squeeze.out * sizeof *embedding);
        for (i = 0; i < o->squeeze.out; i++)
            p->b[i] = p->b[i] > 0 ? p->b[i] : 0;
        linear(&o->excite, p->b, p->a);
        for (c = 0; c < inside; c++)
            p->a[c] = 1.f / (1.f + expf(-p->a[c]));
    }
    for (y = 0; !in_place && y < made_bands; y++) {
        float *at = middle + (size_t)y * made * inside;
        for (pixel_number = 0; o->squeezes && pixel_number < made; pixel_number++)
            for (c = 0; c < inside; c++)
                at[pixel_number * inside + c] *= p->a[c];
        pointwise(&o->project, at, made, o->residual, p->map + (size_t)y * made * out);
    }
    *bands = made_bands, *frames = made;
    if (o->kept >= 0)
        pool(p, made_bands, made, o->project.out, embedding + o->kept);
}

/* Puts some values into an embedding, unless they belong nowhere. */
static void keep(float *embedding, int place, const float *values, int n)
{
    if (place >= 0)
        memcpy(embedding + place, values, (size_t)n * sizeof *embedding);
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
        run_block(BLOCKS + i, p, &bands, &frames, p->inside);
#if HAS_LAST
    /* Of the last convolution only the means are wanted: it is never there as a whole. */
    clear(p->sums, PADDED(LAST.out));
    for (t = 0; t < (size_t)bands * frames; t += PIXELS) {
        const size_t count = (size_t)bands * frames - t < PIXELS ? (size_t)bands * frames - t : PIXELS;
        pointwise(&LAST, p->map + t * PADDED(LAST.in), count, 0, p->rows);
        add_up(p->rows, count, PADDED(LAST.out), p->sums);
    }
    divide(p->sums, PADDED(LAST.out), (size_t)bands * frames, p->a);
    keep(p->inside, KEPT_LAST, p->a, LAST.out);
    keep(p->inside, KEPT_CLF1, p->a, LAST.out);
#endif
#if HAS_HIDDEN
    linear(&HIDDEN, p->a, p->b);
    keep(p->inside, KEPT_CLF2, p->b, HIDDEN.out);
    memcpy(p->a, p->b, PADDED(HIDDEN.out) * sizeof *p->a);
#endif
#if HAS_CLASSIFIER
    linear(&CLASSIFIER, p->a, p->b);
    keep(p->inside, KEPT_LOGITS, p->b, CLASSIFIER.out);
#if OWN_LOGITS
    memcpy(result->ANSWERS, p->b, sizeof result->ANSWERS);
#endif
#endif
}
