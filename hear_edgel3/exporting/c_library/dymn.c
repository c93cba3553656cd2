
/* Dynamic blocks (DyMN: Schmid et al., TASLP 2024), which make weights, slopes and gates of their own input for each clip.
   The weights of a block are mixed when it runs: all of them at once where its map is large and rows are computed one
   after the other, and else those of LANES channels at a time. */

/* What a block has made for a clip. */
typedef struct {
    float *work;            /* for what is needed for a moment only, first the sequences */
    float *lines;           /* slopes of all channels of each line, and offsets likewise */
    float *bands, *frames;  /* gates: [band][channel], [frame][channel] */
    float *weights;         /* for mixed ones */
    const float *attention; /* how much there is of each kernel: of the expansion, if any, of the others */
} mixture;

static const mixture NO_MIXTURE = {NULL, NULL, NULL, NULL, NULL, NULL};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The floats of a block's maps: the one that goes in, or comes out, and what is between them. */
static size_t count_dynamic_maps(int number, int bands, size_t frames)
{
    const block *const o = BLOCKS + number;
    const size_t made = (size_t)((bands - 1) / o->stride + 1) * ((frames - 1) / (size_t)o->stride + 1);
    if (!CONTEXTS[number].by_groups)
        return count_maps(o, bands, frames);
    return larger((size_t)bands * frames * PADDED(o->in), made * PADDED(o->out)) + made * PADDED(o->inside);
}

/* Those of its work: sequences with PIXELS values for each of their channels, and then rows, or maps of LANES channels. */
static size_t count_work(int number, int bands, size_t frames)
{
    const block *const o = BLOCKS + number;
    const size_t size = PADDED(CONTEXTS[number].joint.out);
    const size_t made = (frames - 1) / (size_t)o->stride + 1, pixels = (size_t)bands * frames;
    const size_t sequences = ((size_t)bands + frames) * size + PIXELS * larger(size, PADDED(o->in));
    return larger(sequences, CONTEXTS[number].by_groups ? (pixels + made) * LANES : count_rows(o, frames));
}

static size_t count_lines(int number)
{
    return 2 * (size_t)CONTEXTS[number].n_lines * PADDED(BLOCKS[number].inside);
}

/* The floats of a kernel of a layer. */
static size_t count_expand(const block *o)
{
    return o->expands ? (size_t)o->in * PADDED(o->inside) : 0;
}

static size_t count_taps(const block *o)
{
    return (size_t)(o->kernel * o->kernel) * PADDED(o->inside);
}

static size_t count_project(const block *o)
{
    return (size_t)o->inside * PADDED(o->out);
}

/* All that a block takes. */
static size_t count_dynamic(int number, int bands, size_t frames)
{
    const block *const o = BLOCKS + number;
    const size_t made = (frames - 1) / (size_t)o->stride + 1, made_bands = (size_t)((bands - 1) / o->stride + 1);
    const size_t taps = (size_t)(o->kernel * o->kernel);
    const size_t gates = CONTEXTS[number].gated ? (made_bands + made) * PADDED(o->inside) : 0;
    const size_t weights = CONTEXTS[number].by_groups
                               ? LANES * larger((o->expands ? (size_t)o->in : 0) + taps, (size_t)o->inside)
                               : count_expand(o) + count_taps(o) + count_project(o);
    return count_dynamic_maps(number, bands, frames) + count_work(number, bands, frames) + count_lines(number) + gates +
           weights;
}

/* Mixes n weights of kernels that are so far apart, LANES outputs side by side. */
static void mix_float(const float *w, size_t apart, int kernels, const float *attention, size_t n, float *out)
{
    size_t i;
    int k, j;
    for (i = 0; i < n; i += LANES, w += LANES, out += LANES) {
        const float *kernel = w;
        float all[LANES];
        LANES_TOGETHER
        for (j = 0; j < LANES; j++)
            all[j] = 0;
        for (k = 0; k < kernels; k++, kernel += apart) {
            LANES_TOGETHER
            for (j = 0; j < LANES; j++)
                all[j] += attention[k] * kernel[j];
        }
        LANES_TOGETHER
        for (j = 0; j < LANES; j++)
            out[j] = all[j];
    }
}

#if NET_INT8
/* Adds n weights of a kernel, LANES outputs side by side, as much as says `much`, a factor for each. */
static void add_int8_kernel(const signed char *restrict w, const float much[LANES], size_t n, float *restrict out)
{
    size_t i;
    int j;
    for (i = 0; i < n; i += LANES, w += LANES, out += LANES) {
        LANES_TOGETHER
        for (j = 0; j < LANES; j++)
            out[j] += much[j] * (float)w[j];
    }
}
#endif

/* Mixes n weights of a group of a layer's outputs, from a place in each kernel on; a kernel has so many floats. */
static void mix(const layer *l, size_t floats, int kernels, const float *attention, size_t place, size_t n, int group,
                float *out)
{
#if NET_INT8
    if (l->scale >= 0) {
        size_t i;
        int k, j;
        for (i = 0; i < n; i++)
            out[i] = 0;
        for (k = 0; k < kernels; k++) {
            const float *scale = FLOATS + l->scale + k * PADDED(l->out) + group * LANES;
            float much[LANES];
            for (j = 0; j < LANES; j++)
                much[j] = attention[k] * scale[j];
            add_int8_kernel(BYTES + l->weights + (size_t)k * floats + place, much, n, out);
        }
        return;
    }
#endif
    mix_float(FLOATS + l->weights + place, floats, kernels, attention, n, out);
    (void)group;
}

/* The same of all outputs of a layer that sees one vector, and of a depthwise convolution of so many taps. */
static void mix_pointwise(const layer *l, size_t floats, int kernels, const float *attention, float *out)
{
    const size_t n = (size_t)l->in * LANES;
    int group;
    for (group = 0; group < PADDED(l->out) / LANES; group++)
        mix(l, floats, kernels, attention, (size_t)group * n, n, group, out + (size_t)group * n);
}

static void mix_depthwise(const layer *l, size_t floats, int kernels, const float *attention, float *out)
{
    const int groups = PADDED(l->out) / LANES;
    size_t place;
    for (place = 0; place < floats; place += LANES)
        mix(l, floats, kernels, attention, place, LANES, (int)(place / LANES) % groups, out + place);
}

static void softmax(float *x, int n)
{
    double sum = 0;
    float most = x[0];
    int i;
    for (i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)most);
    for (i = 0; i < n; i++)
        x[i] = (float)(exp((double)x[i] - (double)most) / sum);
}

/* Gates of a sequence of n. Where a block has a stride, it is averaged by threes, zeros beyond its ends included. */
static void make_gates(const layer *l, const float *x, size_t n, int stride, float *averages, float *gates)
{
    const size_t size = PADDED(l->in), made = (n - 1) / (size_t)stride + 1, out = PADDED(l->out);
    size_t i, c;
    int p;
    for (i = 0; i < made; i += PIXELS) {
        const int count = made - i < PIXELS ? (int)(made - i) : PIXELS;
        const float *from = x + i * size;
        if (stride > 1) {
            for (p = 0; p < count; p++) {
                const size_t at = (i + (size_t)p) * (size_t)stride;
                const float *middle = x + at * size, *before = at > 0 ? middle - size : NULL;
                for (c = 0; c < size; c++)
                    averages[(size_t)p * size + c] = ((before != NULL ? before[c] : 0) + middle[c] +
                                                      (at + 1 < n ? middle[c + size] : 0)) *
                                                     (1.f / 3.f);
            }
            from = averages;
        }
        pointwise(l, NULL, from, (size_t)count, 0, gates + i * out);
    }
    for (i = 0; i < made * out; i++)
        gates[i] = 1.f / (1.f + expf(-gates[i]));
}

/* The sequences over bands and over frames, one behind the other: of the input's means of each. */
static void make_sequences(const layer *joint, const places *p, int bands, size_t frames, float *means, float *sequences)
{
    const size_t in = PADDED(joint->in), n = (size_t)bands + frames;
    size_t i;
    int k, band;
    for (i = 0; i < n; i += PIXELS) {
        const int count = n - i < PIXELS ? (int)(n - i) : PIXELS;
        for (k = 0; k < count; k++) {
            const size_t at = i + (size_t)k;
            clear(p->sums, in);
            if (at < (size_t)bands)
                add_up(p->map + at * frames * in, frames, in, p->sums);
            else
                for (band = 0; band < bands; band++)
                    add_up(p->map + ((size_t)band * frames + at - (size_t)bands) * in, 1, in, p->sums);
            divide(p->sums, in, at < (size_t)bands ? frames : (size_t)bands, means + (size_t)k * in);
        }
        pointwise(joint, NULL, means, (size_t)count, 0, sequences + i * PADDED(joint->out));
    }
}

/* Everything but the mixed weights, before the block's input changes. */
static mixture make_mixture(int number, const places *p, int bands, size_t frames, float *embedding)
{
    const block *const o = BLOCKS + number;
    const context *const c = CONTEXTS + number;
    const size_t inside = PADDED(o->inside), size = PADDED(c->joint.out), n = (size_t)bands + frames;
    const size_t made = (frames - 1) / (size_t)o->stride + 1, made_bands = (size_t)((bands - 1) / o->stride + 1);
    mixture m;
    float *averages;
    size_t i;
    int k;
    m.work = p->map + count_dynamic_maps(number, bands, frames);
    m.lines = m.work + count_work(number, bands, frames);
    m.bands = m.lines + count_lines(number);
    m.frames = m.bands + (c->gated ? made_bands * inside : 0);
    m.weights = m.frames + (c->gated ? made * inside : 0);
    m.attention = p->b;
    averages = m.work + n * size;
    make_sequences(&c->joint, p, bands, frames, averages, m.work);
    if (c->gated) {
        make_gates(&c->band_gates, m.work, (size_t)bands, o->stride, averages, m.bands);
        make_gates(&c->frame_gates, m.work + (size_t)bands * size, frames, o->stride, averages, m.frames);
    }
    clear(p->sums, size);
    add_up(m.work, n, size, p->sums);
    divide(p->sums, size, n, p->a);
    keep(embedding, c->kept, p->a, c->joint.out);
    if (c->n_lines > 0) {
        linear(&c->lines, NULL, p->a, 0, m.lines);
        for (k = 0; k < 2 * c->n_lines; k++)
            for (i = 0; i < inside; i++) {
                float *at = m.lines + (size_t)k * inside + i;
                *at = tanhf(*at * .5f) * FLOATS[c->scale + k] + FLOATS[c->start + k];
            }
    }
    if (c->attention.out > 0)
        linear(&c->attention, NULL, p->a, 0, p->b);
    else
        for (k = 0; k < 3 * c->kernels; k++)
            p->b[k] = 0;
    for (k = 0; k < (o->expands ? 3 : 2); k++)
        softmax(p->b + k * c->kernels, c->kernels);
    return m;
}

/* The largest of the lines, and gates, of n channels of a row, from one channel on, to their places in one of all. */
static void activate(int number, const mixture *m, int band, size_t frames, size_t first, size_t n, const float *x,
                     float *row)
{
    const context *const c = CONTEXTS + number;
    const size_t inside = PADDED(BLOCKS[number].inside);
    const float *const slopes = m->lines + first, *const offsets = slopes + (size_t)c->n_lines * inside;
    const float *const of_band = m->bands + (size_t)band * inside + first;
    size_t t, i;
    int k;
    for (t = 0; t < frames; t++, x += n) {
        float *const out = row + t * inside + first;
        const float *const of_frame = m->frames + t * inside + first;
        for (i = 0; i < n; i++) {
            float v = x[i];
            if (c->n_lines > 0)
                v = v * slopes[i] + offsets[i];
            for (k = 1; k < c->n_lines; k++) {
                const float other = x[i] * slopes[(size_t)k * inside + i] + offsets[(size_t)k * inside + i];
                v = other > v ? other : v;
            }
            out[i] = c->gated ? v * of_band[i] * of_frame[i] : v;
        }
    }
}

/* All weights of a block. */
static void mix_all(int number, const mixture *m, const float **expand, const float **taps, const float **project)
{
    const block *const o = BLOCKS + number;
    const int kernels = CONTEXTS[number].kernels;
    const size_t n_expand = count_expand(o), n_taps = count_taps(o);
    const float *attention = m->attention;
    float *const at = m->weights;
    if (o->expands) {
        mix_pointwise(&o->expand, n_expand, kernels, attention, at);
        attention += kernels;
    }
    mix_depthwise(&o->depthwise, n_taps, kernels, attention, at + n_expand);
    mix_pointwise(&o->project, count_project(o), kernels, attention + kernels, at + n_expand + n_taps);
    *expand = at, *taps = at + n_expand, *project = at + n_expand + n_taps;
}

/* One group of a layer's outputs, as a layer. */
static layer group_of(const layer *l, int group)
{
    layer part = *l;
    part.out = LANES;
    part.bias += (long)group * LANES;
    return part;
}

/* A block whose maps are small: LANES channels at a time, of all of the map. */
static void run_groups(int number, const places *p, int bands, size_t frames, float *embedding)
{
    const block *const o = BLOCKS + number;
    const int kernels = CONTEXTS[number].kernels, half = o->kernel / 2, size = o->kernel * o->kernel;
    const int made_bands = (bands - 1) / o->stride + 1;
    const size_t in = PADDED(o->in), inside = PADDED(o->inside), out = PADDED(o->out);
    const size_t made = (frames - 1) / (size_t)o->stride + 1, pixels = (size_t)bands * frames;
    const size_t made_pixels = (size_t)made_bands * made;
    const mixture m = make_mixture(number, p, bands, frames, embedding);
    const float *const of_taps = m.attention + (o->expands ? kernels : 0), *const of_project = of_taps + kernels;
    float *const middle = p->map + larger(pixels * in, made_pixels * out), *const part = m.work;
    float *const row = part + pixels * LANES, *const taps = m.weights, *const weights = taps + LANES * size;
    size_t n, c;
    int group, y, i;
    for (group = 0; group < (int)inside / LANES; group++) {
        const size_t first = (size_t)group * LANES;
        const layer expand = group_of(&o->expand, group), depth = group_of(&o->depthwise, group);
        if (o->expands) {
            const size_t floats = (size_t)o->in * LANES;
            mix(&o->expand, count_expand(o), kernels, m.attention, (size_t)group * floats, floats, group, weights);
            pointwise(&expand, weights, p->map, pixels, 0, part);
        } else {
            for (n = 0; n < pixels; n++)
                memcpy(part + n * LANES, p->map + n * in + first, LANES * sizeof *part);
        }
        for (i = 0; i < size; i++)
            mix(&o->depthwise, count_taps(o), kernels, of_taps, (size_t)i * inside + first, LANES, group,
                taps + i * LANES);
        for (y = 0; y < made_bands; y++) {
            const float *rows[MOST_KERNEL];
            for (i = 0; i < o->kernel; i++) {
                const int band = y * o->stride + i - half;
                rows[i] = band < 0 || band >= bands ? NULL : part + (size_t)band * frames * LANES;
            }
            depthwise(&depth, taps, rows, o->kernel, o->stride, frames, row);
            activate(number, &m, y, made, first, LANES, row, middle + (size_t)y * made * inside);
        }
    }
    for (group = 0; group < (int)out / LANES; group++) {
        const layer project = group_of(&o->project, group);
        const size_t floats = (size_t)o->inside * LANES;
        mix(&o->project, count_project(o), kernels, of_project, (size_t)group * floats, floats, group, m.weights);
        pointwise(&project, m.weights, middle, made_pixels, 0, part);
        for (n = 0; n < made_pixels; n++)
            for (c = 0; c < LANES; c++) {
                float *at = p->map + n * out + (size_t)group * LANES + c;
                *at = part[n * LANES + c] + (o->residual ? *at : 0);
            }
    }
}
