
/* Convolutions of rows of maps, and their means: what MobileNetV3 and DyMN have in common. */

/* A layer whose weights are not those of the constants, but float. */
static layer in_float(const layer *l)
{
    layer part = *l;
    part.scale = -1;
    return part;
}

/* So many pixels take less time one by one than with some beside them that nobody wants. */
enum { FEW = 2 };

/* A pointwise convolution of a row, with weights of its own, which are float (null: those of the constants). */
static void pointwise(const layer *l, const float *own, const float *x, size_t frames, int adds, float *y)
{
    const size_t in = PADDED(l->in), out = PADDED(l->out);
    const layer part = own != NULL ? in_float(l) : *l;
    size_t t;
    int p, group;
    for (t = 0; t < frames; t += PIXELS) {
        const int count = frames - t < PIXELS ? (int)(frames - t) : PIXELS;
        const float *pixels[PIXELS];
        if (count <= FEW) {
            for (p = 0; p < count; p++)
                linear(&part, own, x + (t + (size_t)p) * in, adds, y + (t + (size_t)p) * out);
            break;
        }
        for (p = 0; p < PIXELS; p++)
            pixels[p] = x + (t + (size_t)(p < count ? p : 0)) * in;
        for (group = 0; group < (int)out / LANES; group++) {
            const long place = (long)group * l->in * LANES;
            float sums[PIXELS][LANES] = {{0}};
            if (own != NULL)
                add_float_products(sums, pixels, own + place, l->in);
            else
                add_products(sums, pixels, l, place, l->in);
            for (p = 0; p < count; p++)
                finish(sums[p], &part, group, adds, y + (t + (size_t)p) * out + group * LANES);
        }
    }
}

/* What a depthwise convolution sees of a pixel's surroundings: rows from a pixel on, null where they are outside of the
   map, and of each the taps from `first` up to `end`; pixels and weights are so far apart. */
typedef struct {
    const float *rows[MOST_KERNEL];
    int kernel, first, end;
    size_t apart, weights_apart;
} surroundings;

/* The sums of LANES channels, from a place on, with their own weights. */
static void add_float_taps(float sum[LANES], const surroundings *s, size_t place, const float *w)
{
    const size_t apart = s->apart, weights_apart = s->weights_apart;
    float all[LANES];
    int i, j, lane;
    LANES_TOGETHER
    for (lane = 0; lane < LANES; lane++)
        all[lane] = 0;
    for (i = 0; i < s->kernel; i++) {
        const float *x = s->rows[i], *v = w + (size_t)(i * s->kernel + s->first) * weights_apart;
        if (x == NULL)
            continue;
        x += place;
        for (j = s->first; j < s->end; j++, x += apart, v += weights_apart) {
            LANES_TOGETHER
            for (lane = 0; lane < LANES; lane++)
                all[lane] += x[lane] * v[lane];
        }
    }
    LANES_TOGETHER
    for (lane = 0; lane < LANES; lane++)
        sum[lane] = all[lane];
}

#if NET_INT8
static void add_int8_taps(float sum[LANES], const surroundings *s, size_t place, const signed char *w)
{
    const int taps = s->kernel * s->kernel;
    surroundings same = *s;
    float wide[MOST_KERNEL * MOST_KERNEL][LANES];
    int i, lane;
    for (i = 0; i < taps; i++) {
        LANES_TOGETHER
        for (lane = 0; lane < LANES; lane++)
            wide[i][lane] = (float)w[(size_t)i * s->weights_apart + (size_t)lane];
    }
    same.weights_apart = LANES;
    add_float_taps(sum, &same, place, wide[0]);
}
#endif

/* A depthwise convolution that makes one row, with such weights; rows[i] is null where it is outside of the map. */
static void depthwise(const layer *l, const float *own, const float *const *rows, int kernel, int stride, size_t frames,
                      float *y)
{
    const size_t channels = PADDED(l->out), made = (frames - 1) / (size_t)stride + 1, half = (size_t)kernel / 2;
    const layer part = own != NULL ? in_float(l) : *l;
    const float *const weights = own != NULL ? own : part.scale >= 0 ? NULL : FLOATS + l->weights;
    size_t t, c;
    int i;
    for (t = 0; t < made; t++) {
        const size_t middle = t * (size_t)stride, end = frames + half - middle;
        surroundings seen = {{NULL}, kernel, middle < half ? (int)(half - middle) : 0, kernel, channels, channels};
        if (end < (size_t)kernel)
            seen.end = (int)end;
        for (i = 0; i < kernel; i++)
            seen.rows[i] = rows[i] == NULL ? NULL : rows[i] + (middle + (size_t)seen.first - half) * channels;
        for (c = 0; c < channels; c += LANES) {
            float sum[LANES];
#if NET_INT8
            if (part.scale >= 0)
                add_int8_taps(sum, &seen, c, BYTES + l->weights + c);
            else
#endif
                add_float_taps(sum, &seen, c, weights + c);
            finish(sum, &part, (int)c / LANES, 0, y + t * channels + c);
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

/* Puts some values into an embedding, unless they belong nowhere. */
static void keep(float *embedding, int place, const float *values, int n)
{
    if (place >= 0)
        memcpy(embedding + place, values, (size_t)n * sizeof *embedding);
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

/* The floats that a block takes: its maps, and behind them its rows. */
static size_t count_maps(const block *o, int bands, size_t frames)
{
    const size_t made = (size_t)((bands - 1) / o->stride + 1) * ((frames - 1) / (size_t)o->stride + 1);
    const size_t in = (size_t)bands * frames * PADDED(o->in), out = made * PADDED(o->out);
    return (in > out ? in : out) + (is_in_place(o, bands, frames) ? 0 : made * PADDED(o->inside));
}

static size_t count_rows(const block *o, size_t frames)
{
    return ((size_t)o->kernel * frames + (frames - 1) / (size_t)o->stride + 1) * PADDED(o->inside);
}
