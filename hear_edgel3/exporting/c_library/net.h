/* @about@ */

#ifndef NET_H
#define NET_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NET_NAME @name@
#define NET_LICENCE @licence@
#define NET_MADE_BY "hear_edgel3 @version@"
#define NET_WEIGHTS_SHA256 @sha256@

#define NET_SAMPLE_RATE @sample_rate@ /* of the samples, in Hz; mono, nominally from -1 to 1 */
#define NET_WINDOW @window@ /* samples that an embedding of a moment in time is made of */
#define NET_HOP_MS @hop_ms@ /* milliseconds from one such moment to the next, unless one likes it otherwise */
#define NET_LENGTH @length@ /* the only number of samples that a clip may have; 0 for any */
#define NET_MINIMUM @minimum@ /* samples; shorter clips are followed by zeros up to that many */
#define NET_LONGEST ((size_t)@longest@) /* the most samples of a clip; longer ones go in windows, as a stream */
#define NET_FRAME_HOP @frame_hop@ /* samples; streams whose hop is a multiple of it keep frames, and are faster */
#define NET_MELS @mels@
#define NET_INT8 @int8@ /* whether weights are in eight bits */
@outputs@
/* Frames of the front end that a clip has. */
#define NET_FRAMES(samples) @frames@

/* Bytes of working memory for one clip, and for a stream, of up to so many samples in a window: constants where that
   is one. It may lie anywhere and is nobody else's while it is used; nothing else is allocated. net_memory and
   net_stream_memory say what is really taken, which is up to @slack@ bytes less, or 0 for lengths that cannot be. */
#define NET_LARGER(a, b) ((a) > (b) ? (a) : (b))
#define NET_MEMORY(samples) @bytes@
#define NET_STREAM_MEMORY(window) (NET_MEMORY(window) + sizeof(float) * (size_t)(window))
size_t net_memory(size_t samples);
size_t net_stream_memory(size_t window);

typedef struct {
@fields@
} net_result;

enum {
    NET_OK = 0,
    NET_NO_POINTER = -1,
    NET_TOO_LITTLE_MEMORY = -2,
    NET_BAD_LENGTH = -3,
    NET_NOT_FINITE = -4,
    NET_NOT_READY = -5
};

/* What a negative number that one of these functions has returned means. */
const char *net_error(int code);
@declared@
/* Embeds a whole clip. Returns NET_OK, or what is wrong; the result is then not touched. */
int net_clip(void *memory, size_t bytes, const float *samples, size_t n, net_result *result);

/* A stream: a window of samples every hop, the first one at the first sample. Its fields are its own. */
typedef struct {
    void *memory;
    size_t window, hop, held, skipped, kept;
    unsigned long started;
} net_stream;

/* Starts one. The memory is its own from then on. */
int net_start(net_stream *stream, void *memory, size_t bytes, size_t window, size_t hop);

/* Takes samples, as many as come, up to the end of a window; *used says how many. Returns 1 when a window is full, whose
   result is then the same as that of net_clip; 0 if more samples are needed; or what is wrong. After 1 the samples
   behind the first *used have to be given again: call it until it returns 0. */
int net_feed(net_stream *stream, const float *samples, size_t n, size_t *used, net_result *result);

#ifdef __cplusplus
}
#endif

#endif
