/* Prints what the net makes of a WAV file.

       net_example FILE.wav                          the file as one clip
       net_example FILE.wav WINDOW_S [HOP_S]         windows of so many seconds, one every HOP_S (default: WINDOW_S)

   The file has to be at NET_SAMPLE_RATE, as 16-bit or 32-bit float PCM; the mean of its channels is taken. With classes
   the likeliest are printed, else the embedding. */

#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 5

static int failed(const char *file, const char *why)
{
    fprintf(stderr, "%s: %s\n", file, why);
    return 1;
}

static unsigned long number(const unsigned char *p, int bytes)
{
    unsigned long value = 0;
    while (bytes-- > 0)
        value = value << 8 | p[bytes];
    return value;
}

typedef struct {
    FILE *file;
    int is_float, channels;
    unsigned long size, left; /* bytes of sound, by the header, and those that are still to come */
} wav;

/* Finds the sound in a file; returns what is wrong with it, or null. */
static const char *open_wav(wav *w, const char *path)
{
    unsigned char head[40];
    int known = 0;
    w->file = fopen(path, "rb");
    if (w->file == NULL)
        return "cannot be opened";
    if (fread(head, 1, 12, w->file) != 12 || memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0)
        return "is no WAV file";
    for (;;) {
        unsigned long size, read = 0;
        if (fread(head, 1, 8, w->file) != 8)
            return known ? "has no samples: it ends before they begin" : "does not say what its samples are";
        size = number(head + 4, 4);
        if (memcmp(head, "data", 4) == 0) {
            if (!known)
                return "does not say what its samples are before they begin";
            w->size = w->left = size;
            return NULL;
        }
        if (memcmp(head, "fmt ", 4) == 0) {
            unsigned long kind, rate, bits, block;
            if (size < 16)
                return "is damaged: what it says of its samples is too short";
            read = size < sizeof head ? size : sizeof head;
            if (fread(head, 1, read, w->file) != read)
                return "is damaged: it ends too early";
            kind = number(head, 2), rate = number(head + 4, 4), block = number(head + 12, 2), bits = number(head + 14, 2);
            w->channels = (int)number(head + 2, 2);
            if (kind == 0xfffe && read >= 26) /* then the kind stands behind */
                kind = number(head + 24, 2);
            if (!((kind == 1 && bits == 16) || (kind == 3 && bits == 32)))
                return "is neither 16-bit nor 32-bit float PCM; convert it, for example: ffmpeg -i FILE -c:a pcm_s16le "
                       "NEW.wav";
            w->is_float = kind == 3;
            if (w->channels < 1 || block != (unsigned long)w->channels * bits / 8)
                return "is damaged: its channels and its bytes disagree";
            if (rate != NET_SAMPLE_RATE) {
                static char text[160];
                snprintf(text, sizeof text, "is at %lu Hz; the net needs %lu: ffmpeg -i FILE -ar %lu NEW.wav", rate,
                         (unsigned long)NET_SAMPLE_RATE, (unsigned long)NET_SAMPLE_RATE);
                return text;
            }
            known = 1;
        }
        for (size += size & 1; read < size; read++) /* chunks begin at even places */
            if (getc(w->file) == EOF)
                return "is damaged: it ends too early";
    }
}

/* Reads up to n samples, and returns how many; fewer only at the end. */
static size_t read_wav(wav *w, float *samples, size_t n)
{
    const unsigned width = w->is_float ? 4 : 2;
    size_t i;
    for (i = 0; i < n; i++) {
        double sum = 0;
        int c;
        for (c = 0; c < w->channels; c++) {
            unsigned char bytes[4];
            if (w->left < width || fread(bytes, 1, width, w->file) != width)
                return i;
            w->left -= width;
            if (w->is_float) {
                const unsigned int bits = (unsigned int)number(bytes, 4);
                float value;
                memcpy(&value, &bits, sizeof value);
                sum += (double)value;
            } else {
                const long value = (long)number(bytes, 2);
                sum += (double)(value < 32768 ? value : value - 65536) / 32768;
            }
        }
        samples[i] = (float)(sum / w->channels);
    }
    return n;
}

/* Whether a file that was read to its end is shorter than its header says, by a hundredth or more. Programs that write
   into a pipe put in all ones, or about 2 GiB, for a length that they do not know. */
static int is_cut_off(const wav *w)
{
    const int known = w->size < 0xffff0000UL && (w->size < 0x7fff0000UL || w->size > 0x80010000UL);
    return known && w->left > w->size / 100 + 3; /* half a sample is none */
}

#define CUT_OFF "is cut off: it ends before its header says"

static void print_result(const net_result *result)
{
#if NET_CLASSES > 0 && NET_HAS_PROBABILITIES
    int taken[SHOWN], i, j, k;
    for (i = 0; i < SHOWN && i < NET_CLASSES; i++) {
        int best = -1;
        for (j = 0; j < NET_CLASSES; j++) {
            for (k = 0; k < i && taken[k] != j; k++) {
            }
            if (k == i && (best < 0 || result->probabilities[j] > result->probabilities[best]))
                best = j;
        }
        taken[i] = best;
#if NET_HAS_THRESHOLDS /* then a star stands before the classes that are said */
        printf("%7.3f %c%s\n", (double)result->probabilities[best], net_is_said(result, best) ? '*' : ' ',
               net_labels[best]);
#else
        printf("%7.3f  %s\n", (double)result->probabilities[best], net_labels[best]);
#endif
    }
#elif NET_CLASSES > 0
    int i;
    for (i = 0; i < NET_CLASSES; i++)
        printf("%9.4g  %s\n", (double)result->numbers[i], net_labels[i]);
#else
    int i;
    for (i = 0; i < NET_EMBEDDING; i++)
        printf("%s%.7g", i ? " " : "", (double)result->embedding[i]);
    printf("\n");
#endif
}

/* The whole file as one clip. */
static int run_clip(wav *w, const char *path)
{
    const size_t longest = NET_LENGTH ? NET_LENGTH : NET_LONGEST;
    static net_result result;
    float *samples = NULL;
    void *memory = NULL;
    size_t n = 0, room = 0, got;
    int code, status;
    do {
        float *more;
        room = room ? 2 * room : NET_SAMPLE_RATE;
        room = room > longest + 1 ? longest + 1 : room;
        more = (float *)realloc(samples, room * sizeof *samples);
        if (more == NULL) {
            free(samples);
            return failed(path, "does not fit into memory; give a window in seconds");
        }
        samples = more;
        got = read_wav(w, samples + n, room - n);
        n += got;
    } while (n == room && n <= longest);
    if (n == 0) {
        free(samples);
        return failed(path, "has no samples");
    }
    if (n > longest) {
        free(samples);
        return failed(path, "is longer than a clip may be; give a window in seconds");
    }
    if (is_cut_off(w)) {
        free(samples);
        return failed(path, CUT_OFF);
    }
#if NET_LENGTH
    {
        float *more = (float *)realloc(samples, longest * sizeof *samples);
        if (more == NULL) {
            free(samples);
            return failed(path, "does not fit into memory");
        }
        samples = more;
        for (; n < longest; n++) /* zeros behind */
            samples[n] = 0;
    }
#endif
    memory = malloc(net_memory(n));
    code = memory == NULL ? NET_TOO_LITTLE_MEMORY : net_clip(memory, net_memory(n), samples, n, &result);
    if (code == NET_OK)
        print_result(&result);
    status = code == NET_OK ? 0 : failed(path, net_error(code));
    free(memory);
    free(samples);
    return status;
}

static int run_windows(wav *w, const char *path, size_t window, size_t hop)
{
    static net_result result;
    float samples[1024];
    const size_t bytes = net_stream_memory(window);
    void *memory = bytes ? malloc(bytes) : NULL;
    net_stream stream;
    size_t n, done, used, count = 0;
    int code = bytes && memory == NULL ? NET_TOO_LITTLE_MEMORY
                                       : net_start(&stream, memory ? memory : (void *)&result, bytes, window, hop);
    while (code >= 0 && (n = read_wav(w, samples, sizeof samples / sizeof *samples)) > 0)
        for (done = 0; done < n && code >= 0; done += used) {
            code = net_feed(&stream, samples + done, n - done, &used, &result);
            if (code == 1) {
                printf("%.3f s\n", (double)(count++ * hop) / NET_SAMPLE_RATE);
                print_result(&result);
            }
        }
    free(memory);
    if (code < 0)
        return failed(path, net_error(code));
    if (is_cut_off(w))
        return failed(path, CUT_OFF);
    return count ? 0 : failed(path, "is shorter than a window");
}

/* Samples in so many seconds; 0 if that is no number, or no length. */
static size_t samples_in(const char *text)
{
    char *end;
    const double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds > 0 && seconds * NET_SAMPLE_RATE + .5 <= (double)NET_LONGEST))
        return 0;
    return (size_t)(seconds * NET_SAMPLE_RATE + .5);
}

int main(int argc, char **argv)
{
    const char *why;
    wav w;
    int status;
    size_t window = NET_LENGTH, hop = NET_LENGTH;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s FILE.wav [WINDOW_S [HOP_S]]\n", argc > 0 ? argv[0] : "net_example");
        return 2;
    }
    if (argc > 2)
        window = samples_in(argv[2]), hop = argc > 3 ? samples_in(argv[3]) : window;
    if (argc > 2 && (window == 0 || hop == 0 || (NET_LENGTH && window != NET_LENGTH))) {
        fprintf(stderr, "%s: windows and hops must be seconds above 0, and at most %g", argv[0],
                (double)NET_LONGEST / NET_SAMPLE_RATE);
        if (NET_LENGTH)
            fprintf(stderr, "; the net takes windows of %g s only", (double)NET_LENGTH / NET_SAMPLE_RATE);
        fprintf(stderr, "\n");
        return 2;
    }
    memset(&w, 0, sizeof w);
    why = open_wav(&w, argv[1]);
    if (why != NULL)
        status = failed(argv[1], why);
    else if (argc == 2)
        status = run_clip(&w, argv[1]);
    else
        status = run_windows(&w, argv[1], window, hop);
    if (w.file != NULL)
        fclose(w.file);
    return status;
}
