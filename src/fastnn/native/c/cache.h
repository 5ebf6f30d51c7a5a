/* How much of a matrix may be read again and again from the second-level cache. */
#ifndef FASTNN_CACHE_H
#define FASTNN_CACHE_H

#include <stdint.h>

#define FNN_LEAST_NEAR_BYTES (1 << 18)

/* Bytes: half of a core's second-level cache, so that the rest has room beside it. At least those
 * above, also where the system does not say, and at most 1 MB. */
int64_t fnn_near_bytes(void);

#endif
