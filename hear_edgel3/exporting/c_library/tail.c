
#if HAS_HEAD
/* Classes of somebody's own, made of the embedding. */
static void run_head(const places *p, net_result *result)
{
    int i;
    for (i = 0; i < INSIDE; i++)
        p->a[i] = p->inside[i];
#if HEAD_STANDARDIZES
    for (i = 0; i < INSIDE; i++)
        p->a[i] = (p->a[i] - FLOATS[HEAD_MEAN + i]) / FLOATS[HEAD_DEVIATION + i];
#endif
#if HEAD_IS_DEEP
    linear(&HEAD_HIDDEN, NULL, p->a, 0, p->b);
    for (i = 0; i < HEAD_HIDDEN.out; i++) {
        const float x = p->b[i];
        p->a[i] = (float)(HEAD_ACTIVATION);
    }
#endif
    linear(&HEAD_OUTPUT, NULL, p->a, 0, p->b);
    memcpy(result->ANSWERS, p->b, sizeof result->ANSWERS);
}
#endif

#if NET_HAS_PROBABILITIES
static void make_probabilities(net_result *result)
{
    int i;
#if NET_ONE_OF_ALL
    double loudest = (double)result->logits[0], sum = 0;
    for (i = 1; i < NET_CLASSES; i++)
        loudest = fmax(loudest, (double)result->logits[i]);
    for (i = 0; i < NET_CLASSES; i++)
        sum += exp(((double)result->logits[i] - loudest) / NET_TEMPERATURE);
    for (i = 0; i < NET_CLASSES; i++)
        result->probabilities[i] = (float)(exp(((double)result->logits[i] - loudest) / NET_TEMPERATURE) / sum);
#else
    for (i = 0; i < NET_CLASSES; i++)
        result->probabilities[i] = (float)(1 / (1 + exp(-(double)result->logits[i] / NET_TEMPERATURE)));
#endif
}
#endif

#if NET_HAS_THRESHOLDS
#if NET_ONE_OF_ALL
static int is_likelier(const net_result *result, int a, int b)
{
    const float pa = result->probabilities[a], pb = result->probabilities[b];
    return pa > pb || (!(pa < pb) && a < b);
}
#endif

static int is_above(const net_result *result, int index)
{
    if (net_thresholds[index] >= 0)
        return result->probabilities[index] >= net_thresholds[index];
#if NET_ONE_OF_ALL
    {
        int i;
        for (i = 0; i < NET_CLASSES; i++)
            if (is_likelier(result, i, index))
                return 0;
        return 1;
    }
#else
    return result->probabilities[index] >= .5f;
#endif
}

int net_is_said(const net_result *result, int index)
{
    if (result == NULL || index < 0 || index >= NET_CLASSES || !is_above(result, index))
        return 0;
#if NET_ONE_OF_ALL
    {
        int i;
        for (i = 0; i < NET_CLASSES; i++)
            if (is_likelier(result, i, index) && is_above(result, i))
                return 0;
    }
#endif
    return 1;
}
#endif

static int takes(size_t n)
{
    return n >= 1 && n <= NET_LONGEST && (NET_LENGTH == 0 || n == NET_LENGTH);
}

/* The floats of all places, and what they are. Doubles stand before them. */
enum { DOUBLES = FFT_SIZE + 2 + MOST_SUMS };

static size_t bytes_of(size_t n, size_t held)
{
    /* So many more that the first double may lie at any address. */
    return (DOUBLES + 1) * sizeof(double) +
           (held + INSIDE + 2 * (size_t)MOST_VALUES + NET_FRAMES(n) * NET_MELS + count_floats(NET_FRAMES(n))) *
               sizeof(float);
}

size_t net_memory(size_t samples)
{
    return takes(samples) ? bytes_of(samples, 0) : 0;
}

size_t net_stream_memory(size_t window)
{
    return takes(window) ? bytes_of(window, window) : 0;
}

static places places_in(void *memory, size_t n, size_t held)
{
    const size_t past = (size_t)((uintptr_t)memory % sizeof(double));
    places p;
    p.fft = (double *)(void *)((unsigned char *)memory + (past ? sizeof(double) - past : 0));
    p.sums = p.fft + FFT_SIZE + 2;
    p.held = (float *)(void *)(p.fft + DOUBLES);
    p.inside = p.held + held;
    p.a = p.inside + INSIDE;
    p.b = p.a + MOST_VALUES;
    p.frames = p.b + MOST_VALUES;
    p.map = p.frames + NET_FRAMES(n) * NET_MELS;
    return p;
}

/* The first `kept` frames are there already. */
static void run(const places *p, const float *x, size_t n, size_t kept, net_result *result)
{
    picture image;
    size_t t, i;
    image.values = p->frames, image.frames = NET_FRAMES(n), image.loudest = -FLT_MAX;
    for (t = 0; t < image.frames; t++)
        if (t >= kept || !is_inside(t, n))
            make_frame(x, n, t, p->fft, p->frames + t * NET_MELS);
    for (i = 0; i < image.frames * NET_MELS; i++)
        image.loudest = image.values[i] > image.loudest ? image.values[i] : image.loudest;
    run_net(&image, p, result);
#if HAS_HEAD
    run_head(p, result);
#endif
#if NET_HAS_PROBABILITIES
    make_probabilities(result);
#endif
#if PUTS_LOGITS
    memcpy(result->embedding, result->ANSWERS, sizeof result->ANSWERS);
#else
    memcpy(result->embedding, p->inside, sizeof result->embedding);
#endif
}

int net_clip(void *memory, size_t bytes, const float *samples, size_t n, net_result *result)
{
    places p;
    if (memory == NULL || samples == NULL || result == NULL)
        return NET_NO_POINTER;
    if (!takes(n))
        return NET_BAD_LENGTH;
    if (bytes < net_memory(n))
        return NET_TOO_LITTLE_MEMORY;
    if (!all_finite(samples, n))
        return NET_NOT_FINITE;
    p = places_in(memory, n, 0);
    run(&p, samples, n, 0, result);
    return NET_OK;
}

/* What tells a stream that was started from memory that is anything. */
#define STARTED 0x48454152UL

int net_start(net_stream *stream, void *memory, size_t bytes, size_t window, size_t hop)
{
    if (stream == NULL || memory == NULL)
        return NET_NO_POINTER;
    stream->started = 0;
    if (!takes(window) || hop < 1 || hop > NET_LONGEST)
        return NET_BAD_LENGTH;
    if (bytes < net_stream_memory(window))
        return NET_TOO_LITTLE_MEMORY;
    stream->memory = memory;
    stream->window = window, stream->hop = hop;
    stream->held = stream->skipped = stream->kept = 0;
    stream->started = STARTED;
    return NET_OK;
}

/* Makes room for the next window: what it shares with this one moves to the front, samples and frames. */
static void move_on(net_stream *stream, const places *p, float *samples)
{
    const size_t n = stream->window, hop = stream->hop, frames = NET_FRAMES(n), step = hop / FRAME_HOP;
    stream->kept = 0;
    if (hop % FRAME_HOP == 0 && step < frames) {
        size_t behind = frames; /* the last frame that does not see this window's end */
        while (behind > step && !is_inside(behind - 1, n))
            behind--;
        stream->kept = behind - step;
        memmove(p->frames, p->frames + step * NET_MELS, stream->kept * NET_MELS * sizeof *p->frames);
    }
    if (hop < n)
        memmove(samples, samples + hop, (n - hop) * sizeof *samples);
    stream->held = hop < n ? n - hop : 0;
    stream->skipped = hop < n ? 0 : hop - n;
}

int net_feed(net_stream *stream, const float *samples, size_t n, size_t *used, net_result *result)
{
    float *held;
    size_t count;
    places p;
    if (stream == NULL || used == NULL || result == NULL || (samples == NULL && n > 0))
        return NET_NO_POINTER;
    *used = 0;
    if (stream->started != STARTED)
        return NET_NOT_READY;
    p = places_in(stream->memory, stream->window, stream->window);
    held = p.held;
    count = stream->skipped < n ? stream->skipped : n;
    stream->skipped -= count;
    *used = count;
    count = stream->window - stream->held < n - *used ? stream->window - stream->held : n - *used;
    if (!all_finite(samples + *used, count))
        return NET_NOT_FINITE;
    if (count > 0)
        memcpy(held + stream->held, samples + *used, count * sizeof *held);
    stream->held += count;
    *used += count;
    if (stream->held < stream->window)
        return 0;
    run(&p, held, stream->window, stream->kept, result);
    move_on(stream, &p, held);
    return 1;
}
