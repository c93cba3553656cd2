/* @about@ */

#include "net.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Pixels and output channels that are computed together; of a single pixel GROUPS times as many channels. Maps are
   [band][frame][channel], and their channels are filled up with zeros to a multiple of LANES. */
enum { PIXELS = 4, LANES = 8, GROUPS = 4, NO_ACTIVATION = 0, RELU = 1, HARDSWISH = 2 };

/* Weights: in groups of LANES outputs, those of an input side by side. Where scale is not negative they are int8, each
   output's to be multiplied by a float; else they are float. All numbers but in and out are places in the constants. */
typedef struct {
    int in, out;
    long weights, scale, bias;
    int activation;
} layer;

#include "net_weights.h"

#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)

const char *net_error(int code)
{
    switch (code) {
    case NET_OK: return "no error";
    case NET_NO_POINTER: return "a pointer is null";
    case NET_TOO_LITTLE_MEMORY: return "there is less working memory than net_memory says";
    case NET_BAD_LENGTH: return "the number of samples is not one that the net, or its working memory, takes";
    case NET_NOT_FINITE: return "a sample is not a finite number";
    case NET_NOT_READY: return "the state was not made by the function that this one needs";
    default: return "unknown error";
    }
}

static int all_finite(const float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (!(x[i] >= -FLT_MAX && x[i] <= FLT_MAX))
            return 0;
    return 1;
}

/* The power of the first FFT_SIZE / 2 + 1 bins of FFT_SIZE real values, which it replaces: one complex FFT of half the
   size (Cooley and Tukey, 1965), the even values its real and the odd ones its imaginary part. In double, because what
   leaks out of a pure tone drowns in the rounding of float. */
static void power_spectrum(double *x)
{
    const int half = FFT_SIZE / 2;
    int i, j, k, size;
    for (i = 1, j = 0; i < half; i++) {
        int bit = half >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j |= bit;
        if (i < j) {
            const double re = x[2 * i], im = x[2 * i + 1];
            x[2 * i] = x[2 * j], x[2 * i + 1] = x[2 * j + 1];
            x[2 * j] = re, x[2 * j + 1] = im;
        }
    }
    /* The first two of all steps have no products: of 2 values, and of 4, whose roots of unity are 1 and -i. */
    for (i = 0; i < 2 * half; i += 8) {
        double *a = x + i;
        const double sr = a[0] + a[2], si = a[1] + a[3], dr = a[0] - a[2], di = a[1] - a[3];
        const double tr = a[4] + a[6], ti = a[5] + a[7], er = a[4] - a[6], ei = a[5] - a[7];
        a[0] = sr + tr, a[1] = si + ti, a[4] = sr - tr, a[5] = si - ti;
        a[2] = dr + ei, a[3] = di - er, a[6] = dr - ei, a[7] = di + er;
    }
    for (size = 8; size <= half; size *= 2) {
        const int step = FFT_SIZE / size;
        for (k = 0; k < size / 2; k++) {
            const double c = COSINES[k * step], s = COSINES[k * step > FFT_SIZE / 4 ? k * step - FFT_SIZE / 4
                                                                                   : FFT_SIZE / 4 - k * step];
            for (i = k; i < half; i += size) {
                double *a = x + 2 * i, *b = a + size;
                const double re = b[0] * c + b[1] * s, im = b[1] * c - b[0] * s;
                b[0] = a[0] - re, b[1] = a[1] - im;
                a[0] += re, a[1] += im;
            }
        }
    }
    {
        const double re = x[0], im = x[1];
        x[0] = (re + im) * (re + im);
        x[FFT_SIZE] = (re - im) * (re - im);
    }
    /* Bins k and half - k come from the values k and half - k, whose places take their two powers. */
    for (k = 1; k <= half / 2; k++) {
        const double *a = x + 2 * k, *b = x + 2 * (half - k);
        const double c = COSINES[k], s = COSINES[FFT_SIZE / 4 - k];
        const double er = .5 * (a[0] + b[0]), ei = .5 * (a[1] - b[1]);
        const double pr = .5 * (a[1] + b[1]), pi = .5 * (b[0] - a[0]);
        const double tr = c * pr + s * pi, ti = c * pi - s * pr;
        x[2 * k] = (er + tr) * (er + tr) + (ei + ti) * (ei + ti);
        x[2 * (half - k)] = (er - tr) * (er - tr) + (ei - ti) * (ei - ti);
    }
    for (k = 1; k <= half; k++)
        x[k] = x[2 * k];
}

/* The power in a mel band. */
static double band_power(const double *power, int band)
{
    const float *w = MEL_WEIGHTS + MEL_PLACE[band];
    const int first = MEL_FIRST[band], count = MEL_COUNT[band];
    double sum = 0;
    int i;
    for (i = 0; i < count; i++)
        sum += (double)w[i] * power[first + i];
    return sum;
}

/* gcc makes vectors of these loops unless it has unrolled them before, which it does at -O3. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define LANES_TOGETHER _Pragma("GCC unroll 1")
#else
#define LANES_TOGETHER
#endif

/* Adds the products of n values of each of four pixels with the weights of a group of outputs. */
static void add_float_products(float sums[PIXELS][LANES], const float *const x[PIXELS], const float *w, int n)
{
    const float *xa = x[0], *xb = x[1], *xc = x[2], *xd = x[3];
    float a[LANES], b[LANES], c[LANES], d[LANES];
    int i, j;
    LANES_TOGETHER
    for (j = 0; j < LANES; j++)
        a[j] = sums[0][j], b[j] = sums[1][j], c[j] = sums[2][j], d[j] = sums[3][j];
    for (i = 0; i < n; i++, w += LANES) {
        const float va = xa[i], vb = xb[i], vc = xc[i], vd = xd[i];
        LANES_TOGETHER
        for (j = 0; j < LANES; j++)
            a[j] += va * w[j], b[j] += vb * w[j], c[j] += vc * w[j], d[j] += vd * w[j];
    }
    LANES_TOGETHER
    for (j = 0; j < LANES; j++)
        sums[0][j] = a[j], sums[1][j] = b[j], sums[2][j] = c[j], sums[3][j] = d[j];
}

#if NET_INT8
/* Weights of a lane that are widened at a time, before they are used. */
enum { WIDENED = 32, WIDENED_TOGETHER = 8 };

/* Widens n weights of each lane. Compilers make vectors of loops whose lengths they know. */
static void widen(const signed char *restrict narrow, int n, float *restrict wide)
{
    int j;
    for (; n >= WIDENED_TOGETHER; n -= WIDENED_TOGETHER) {
        for (j = 0; j < WIDENED_TOGETHER * LANES; j++)
            wide[j] = (float)narrow[j];
        narrow += WIDENED_TOGETHER * LANES, wide += WIDENED_TOGETHER * LANES;
    }
    for (j = 0; j < n * LANES; j++)
        wide[j] = (float)narrow[j];
}

static void add_int8_products(float sums[PIXELS][LANES], const float *const x[PIXELS], const signed char *w, int n)
{
    int i, p;
    for (i = 0; i < n; i += WIDENED) {
        const int count = n - i < WIDENED ? n - i : WIDENED;
        const float *part[PIXELS];
        float wide[WIDENED * LANES];
        widen(w + (long)i * LANES, count, wide);
        for (p = 0; p < PIXELS; p++)
            part[p] = x[p] + i;
        add_float_products(sums, part, wide, count);
    }
}
#endif

static void add_products(float sums[PIXELS][LANES], const float *const x[PIXELS], const layer *l, long place, int n)
{
#if NET_INT8
    if (l->scale >= 0) {
        add_int8_products(sums, x, BYTES + l->weights + place, n);
        return;
    }
#endif
    add_float_products(sums, x, FLOATS + l->weights + place, n);
}

/* From the sums of a group of outputs of a pixel to what a layer puts out, added to what is there or in its place. */
static void finish(const float sum[LANES], const layer *l, int group, int adds, float *out)
{
    const float *bias = FLOATS + l->bias + (long)group * LANES;
    float v[LANES];
    int j;
    if (l->scale >= 0) {
        const float *scale = FLOATS + l->scale + (long)group * LANES;
        for (j = 0; j < LANES; j++)
            v[j] = sum[j] * scale[j] + bias[j];
    } else {
        for (j = 0; j < LANES; j++)
            v[j] = sum[j] + bias[j];
    }
    if (l->activation == RELU) {
        for (j = 0; j < LANES; j++)
            v[j] = v[j] > 0 ? v[j] : 0;
    } else if (l->activation == HARDSWISH) {
        for (j = 0; j < LANES; j++) {
            const float gate = v[j] + 3.f, from = gate > 0 ? gate : 0;
            v[j] = v[j] * (from < 6.f ? from : 6.f) * (1.f / 6.f);
        }
    }
    if (adds)
        for (j = 0; j < LANES; j++)
            out[j] += v[j];
    else
        for (j = 0; j < LANES; j++)
            out[j] = v[j];
}

#if NEEDS_LINEAR
/* Adds the products of n values of one pixel with the weights of four groups of outputs. */
static void add_float_outputs(float sums[GROUPS][LANES], const float *x, const float *const w[GROUPS], int n)
{
    const float *wa = w[0], *wb = w[1], *wc = w[2], *wd = w[3];
    float a[LANES], b[LANES], c[LANES], d[LANES];
    int i, j;
    LANES_TOGETHER
    for (j = 0; j < LANES; j++)
        a[j] = sums[0][j], b[j] = sums[1][j], c[j] = sums[2][j], d[j] = sums[3][j];
    for (i = 0; i < n; i++, wa += LANES, wb += LANES, wc += LANES, wd += LANES) {
        const float v = x[i];
        LANES_TOGETHER
        for (j = 0; j < LANES; j++)
            a[j] += v * wa[j], b[j] += v * wb[j], c[j] += v * wc[j], d[j] += v * wd[j];
    }
    LANES_TOGETHER
    for (j = 0; j < LANES; j++)
        sums[0][j] = a[j], sums[1][j] = b[j], sums[2][j] = c[j], sums[3][j] = d[j];
}

#if NET_INT8
static void add_int8_outputs(float sums[GROUPS][LANES], const float *x, const signed char *const w[GROUPS], int n)
{
    enum { AT_ONCE = WIDENED / GROUPS };
    int i, g;
    for (i = 0; i < n; i += AT_ONCE) {
        const int count = n - i < AT_ONCE ? n - i : AT_ONCE;
        const float *part[GROUPS];
        float wide[GROUPS][AT_ONCE * LANES];
        for (g = 0; g < GROUPS; g++) {
            widen(w[g] + (long)i * LANES, count, wide[g]);
            part[g] = wide[g];
        }
        add_float_outputs(sums, x + i, part, count);
    }
}
#endif

/* A layer of one pixel, of l->in values; all PADDED(l->out) of y are written, or added to. Weights of its own are float
   (null: those of the constants). */
static void linear(const layer *l, const float *own, const float *x, int adds, float *y)
{
    const int groups = PADDED(l->out) / LANES;
    int group, g;
    for (group = 0; group < groups; group += GROUPS) {
        const int count = groups - group < GROUPS ? groups - group : GROUPS;
        float sums[GROUPS][LANES] = {{0}};
        long place[GROUPS]; /* the last one again where there are fewer */
        for (g = 0; g < GROUPS; g++)
            place[g] = (long)(group + (g < count ? g : count - 1)) * l->in * LANES;
#if NET_INT8
        if (own == NULL && l->scale >= 0) {
            const signed char *w[GROUPS];
            for (g = 0; g < GROUPS; g++)
                w[g] = BYTES + l->weights + place[g];
            add_int8_outputs(sums, x, w, l->in);
        } else
#endif
        {
            const float *const all = own != NULL ? own : FLOATS + l->weights;
            const float *w[GROUPS];
            for (g = 0; g < GROUPS; g++)
                w[g] = all + place[g];
            add_float_outputs(sums, x, w, l->in);
        }
        for (g = 0; g < count; g++)
            finish(sums[g], l, group + g, adds, y + (group + g) * LANES);
    }
}
#endif

/* What is in the picture of a band and a frame, after the front end. */
typedef struct {
    const float *values; /* [frame][band] */
    size_t frames;
    float loudest;
} picture;

/* Where things are in the working memory. */
typedef struct {
    double *fft, *sums;
    float *held, *inside, *a, *b, *frames, *map;
} places;

