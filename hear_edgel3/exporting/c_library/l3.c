
/* The net: the audio part of Look, Listen and Learn (Arandjelovic and Zisserman, ICCV 2017), as EdgeL3 and SEA have it:
   convolutions of 3 by 3, maxima of 2 by 2, and the maximum of all of the last one. */

/* A row of the first convolution, of the picture. */
static void first_row(const picture *image, int band, float *y)
{
    const layer *l = &LAYERS[0].convolution;
    const int channels = PADDED(l->out);
    size_t t;
    int i, j, c, lane;
    for (t = 0; t < image->frames; t++, y += channels) {
        float seen[9];
        for (i = 0; i < 3; i++)
            for (j = 0; j < 3; j++) {
                const int b = band + i - 1;
                const size_t frame = t + (size_t)j; /* one further than the frame */
                seen[3 * i + j] = b < 0 || b >= NET_MELS || frame < 1 || frame > image->frames
                                      ? 0
                                      : pixel(image, frame - 1, b);
            }
        for (c = 0; c < channels; c += LANES) {
            float sum[LANES] = {0};
            for (i = 0; i < 9; i++)
                for (lane = 0; lane < LANES; lane++)
                    sum[lane] += seen[i] * FLOATS[l->weights + i * channels + c + lane];
            finish(sum, l, c / LANES, 0, y + c);
        }
    }
}

#if NET_INT8
/* The same with weights in eight bits. A few are widened at a time, and used for all of the row; sums wait in y. */
static void convolve_int8_row(const layer *l, const float *x, int bands, size_t frames, int band, float *y)
{
    const size_t in = PADDED(l->in), out = PADDED(l->out);
    size_t t;
    int p, i, j, k, lane, group;
    for (group = 0; group < (int)out / LANES; group++) {
        float *const sums_of_row = y + group * LANES;
        for (t = 0; t < frames; t++)
            for (lane = 0; lane < LANES; lane++)
                sums_of_row[t * out + (size_t)lane] = 0;
        for (i = 0; i < 3; i++) {
            const int b = band + i - 1;
            if (b < 0 || b >= bands)
                continue;
            for (j = 0; j < 3; j++)
                for (k = 0; k < l->in; k += WIDENED) {
                    const int n = l->in - k < WIDENED ? l->in - k : WIDENED;
                    const signed char *narrow =
                        BYTES + l->weights + (((long)group * 9 + 3 * i + j) * l->in + k) * LANES;
                    float wide[WIDENED * LANES];
                    widen(narrow, n, wide);
                    for (t = 0; t < frames; t += PIXELS) {
                        const int count = frames - t < PIXELS ? (int)(frames - t) : PIXELS;
                        const float *pixels[PIXELS];
                        float sums[PIXELS][LANES] = {{0}};
                        for (p = 0; p < PIXELS; p++) {
                            const size_t at = t + (size_t)(p + j); /* one further than the pixel */
                            pixels[p] = p < count && at >= 1 && at <= frames
                                            ? x + ((size_t)b * frames + at - 1) * in + k
                                            : ZEROS;
                            for (lane = 0; lane < LANES && p < count; lane++)
                                sums[p][lane] = sums_of_row[(t + (size_t)p) * out + (size_t)lane];
                        }
                        add_float_products(sums, pixels, wide, n);
                        for (p = 0; p < count; p++)
                            for (lane = 0; lane < LANES; lane++)
                                sums_of_row[(t + (size_t)p) * out + (size_t)lane] = sums[p][lane];
                    }
                }
        }
        for (t = 0; t < frames; t++)
            finish(sums_of_row + t * out, l, group, 0, sums_of_row + t * out);
    }
}
#endif

/* A row of another one. */
static void convolve_row(const layer *l, const float *x, int bands, size_t frames, int band, float *y)
{
    const size_t in = PADDED(l->in), out = PADDED(l->out);
    size_t t;
    int p, i, j, group;
#if NET_INT8
    if (l->scale >= 0) {
        convolve_int8_row(l, x, bands, frames, band, y);
        return;
    }
#endif
    for (t = 0; t < frames; t += PIXELS) {
        const int count = frames - t < PIXELS ? (int)(frames - t) : PIXELS;
        for (group = 0; group < (int)out / LANES; group++) {
            float sums[PIXELS][LANES] = {{0}};
            for (i = 0; i < 3; i++) {
                const int b = band + i - 1;
                if (b < 0 || b >= bands)
                    continue;
                for (j = 0; j < 3; j++) {
                    const float *pixels[PIXELS];
                    for (p = 0; p < PIXELS; p++) {
                        const size_t at = t + (size_t)(p + j); /* one further than the pixel */
                        pixels[p] = p < count && at >= 1 && at <= frames ? x + ((size_t)b * frames + at - 1) * in : ZEROS;
                    }
                    add_products(sums, pixels, l, ((long)group * 9 + 3 * i + j) * l->in * LANES, l->in);
                }
            }
            for (p = 0; p < count; p++)
                finish(sums[p], l, group, 0, y + (t + (size_t)p) * out + group * LANES);
        }
    }
}

/* The floats that two maps after each other take together, and the rows. */
static void count_maps(size_t frames, size_t *maps, size_t *rows)
{
    int i, bands = NET_MELS;
    size_t before = 0;
    *maps = *rows = 0;
    for (i = 0; i < N_LAYERS; i++) {
        const size_t row = frames * PADDED(LAYERS[i].convolution.out) * (LAYERS[i].pools ? 2 : 1);
        size_t made;
        *rows = row > *rows ? row : *rows;
        if (LAYERS[i].pools)
            bands /= 2, frames /= 2;
        made = i == N_LAYERS - 1 ? 0 : (size_t)bands * frames * PADDED(LAYERS[i].convolution.out);
        *maps = before + made > *maps ? before + made : *maps;
        before = made;
    }
}

static size_t count_floats(size_t frames)
{
    size_t maps, rows;
    count_maps(frames, &maps, &rows);
    return maps + rows;
}

static void run_net(const picture *image, const places *p, net_result *result)
{
    size_t frames = image->frames, maps, rows, t;
    int i, y, bands = NET_MELS;
    const float *before = NULL;
    float *all_rows;
    count_maps(frames, &maps, &rows);
    all_rows = p->map + maps;
    for (i = 0; i < N_LAYERS; i++) {
        const layer *l = &LAYERS[i].convolution;
        const int out = PADDED(l->out), pools = LAYERS[i].pools, is_last = i == N_LAYERS - 1;
        const int made_bands = pools ? bands / 2 : bands;
        const size_t made = pools ? frames / 2 : frames;
        /* Maps take turns at the two ends of their place. */
        float *const map = i % 2 == 0 ? p->map : p->map + maps - (is_last ? 0 : (size_t)made_bands * made * (size_t)out);
        int c, row;
        for (c = 0; is_last && c < out; c++)
            p->a[c] = -FLT_MAX;
        for (y = 0; y < made_bands; y++) {
            float *to = map + (size_t)y * made * (size_t)out;
            for (row = 0; row < (pools ? 2 : 1); row++) {
                float *at = pools || is_last ? all_rows + (size_t)row * frames * (size_t)out : to;
                const int band = pools ? 2 * y + row : y;
                if (i == 0)
                    first_row(image, band, at);
                else
                    convolve_row(l, before, bands, frames, band, at);
            }
            if (is_last) {
                for (t = 0; t < made; t++)
                    for (c = 0; c < out; c++)
                        p->a[c] = fmaxf(p->a[c], all_rows[t * (size_t)out + (size_t)c]);
            } else if (pools) {
                const float *first = all_rows, *second = first + frames * (size_t)out;
                for (t = 0; t < made; t++)
                    for (c = 0; c < out; c++) {
                        const size_t one = 2 * t * (size_t)out + (size_t)c, other = one + (size_t)out;
                        to[t * (size_t)out + (size_t)c] =
                            fmaxf(fmaxf(first[one], first[other]), fmaxf(second[one], second[other]));
                    }
            }
        }
        bands = made_bands, frames = made, before = map;
    }
    (void)result;
    memcpy(p->inside, p->a, INSIDE * sizeof *p->inside);
}
