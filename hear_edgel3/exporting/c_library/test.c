/* Compares the library with what hear_edgel3 had computed when it was exported, and its streams with its clips; and whether
   what cannot be is refused. */

#include "net.h"
#include "net_vectors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOLERANCE 1e-4
#define HOP (3 * NET_FRAME_HOP)

/* The memory lies where no float would, to show that it may. */
static unsigned char memory[NET_MEMORY(N_SAMPLES) + 1], other[NET_STREAM_MEMORY(N_SAMPLES) + 1];
static float samples[N_SAMPLES + 4 * HOP];
static net_result result, again;
static int failures;

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("FAILED: %s\n", what);
        failures++;
    }
}

/* The largest difference as a fraction of the largest value. */
static double difference(const float *found, const float *expected, size_t n)
{
    double peak = 0, worst = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        const double off = fabs((double)found[i] - (double)expected[i]);
        peak = fmax(peak, fabs((double)expected[i]));
        worst = off <= worst ? worst : off; /* what is not a number counts */
    }
    return peak > 0 ? worst / peak : worst;
}

static void test_stream(size_t hop, size_t piece)
{
    static net_stream stream;
    const size_t n = sizeof samples / sizeof *samples;
    size_t done = 0, window = 0;
    check(net_start(&stream, other + 1, sizeof other - 1, N_SAMPLES, hop) == NET_OK, "a stream starts");
    while (done < n) {
        size_t used;
        const int code = net_feed(&stream, samples + done, n - done < piece ? n - done : piece, &used, &result);
        done += used;
        check(code >= 0, "a stream goes on");
        if (code < 0)
            return;
        if (code == 1) {
            check(done == window * hop + N_SAMPLES, "a window is where it should be");
            check(net_clip(memory + 1, sizeof memory - 1, samples + window * hop, N_SAMPLES, &again) == NET_OK, "a clip");
            check(hop != HOP || NET_FRAMES(N_SAMPLES) < 12 || stream.kept > 0, "frames are kept");
            check(memcmp(&result, &again, sizeof result) == 0, "a window is what it is as a clip");
            window++;
        }
    }
    check(window == 4 * HOP / hop + 1, "there are as many windows as there should be");
}

int main(void)
{
    size_t i, v, used;
    net_stream stream;
    float bad = 0;
    for (v = 0; v < N_VECTORS; v++) {
        double off;
        const float *expected = EXPECTED[v];
        for (i = 0; i < N_SAMPLES; i++)
            samples[i] = (float)SAMPLES[v][i] / 32768.f;
        check(net_clip(memory + 1, sizeof memory - 1, samples, N_SAMPLES, &result) == NET_OK, "a clip");
        off = difference(result.embedding, expected, NET_EMBEDDING);
        printf("clip %d: embedding differs by %.1e of its largest value\n", (int)v + 1, off);
        check(off <= TOLERANCE, "the embedding");
        expected += NET_EMBEDDING;
#if NET_CLASSES > 0
        off = difference(result.ANSWERS, expected, NET_CLASSES);
        check(off <= TOLERANCE, "the logits or numbers");
        expected += NET_CLASSES;
#endif
#if NET_HAS_PROBABILITIES
        off = difference(result.probabilities, expected, NET_CLASSES);
        check(off <= 10 * TOLERANCE, "the probabilities");
#endif
    }
    for (i = 0; i < sizeof samples / sizeof *samples; i++)
        samples[i] = (float)SAMPLES[(i / N_SAMPLES) % N_VECTORS][i * 7 % N_SAMPLES] / 32768.f;
    test_stream(HOP, 1000);
    test_stream(2 * HOP, 77);
    test_stream(HOP / 2 * 2 - NET_FRAME_HOP / 2, sizeof samples / sizeof *samples);
    test_stream(4 * HOP, 5 * N_SAMPLES);

    check(net_memory(N_SAMPLES) <= NET_MEMORY(N_SAMPLES), "the memory that is stated is enough");
    check(net_clip(memory, net_memory(N_SAMPLES) - 1, samples, N_SAMPLES, &result) == NET_TOO_LITTLE_MEMORY,
          "too little memory is refused");
    check(net_start(&stream, memory, net_stream_memory(N_SAMPLES) - 1, N_SAMPLES, HOP) == NET_TOO_LITTLE_MEMORY,
          "too little memory is refused");
    check(net_feed(&stream, samples, 1, &used, &result) == NET_NOT_READY, "a stream that did not start is refused");
    check(net_clip(memory, sizeof memory, samples, 0, &result) == NET_BAD_LENGTH, "an empty clip is refused");
    check(net_clip(memory, sizeof memory, samples, NET_LONGEST + 1, &result) == NET_BAD_LENGTH, "too long a clip is refused");
    check(net_clip(NULL, sizeof memory, samples, N_SAMPLES, &result) == NET_NO_POINTER, "no memory is refused");
    bad = bad / bad;
    samples[N_SAMPLES / 2] = bad;
    check(net_clip(memory, sizeof memory, samples, N_SAMPLES, &result) == NET_NOT_FINITE, "not a number is refused");
    check(strlen(net_error(NET_NOT_FINITE)) > 0, "errors have words");
    printf("%d checks failed\n", failures);
    return failures != 0;
}
