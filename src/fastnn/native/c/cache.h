/* How much of a matrix may be read again and again from the second-level cache. */
#ifndef FASTNN_CACHE_H
#define FASTNN_CACHE_H

#include <stdint.h>

/* Bytes: half of a core's second-level cache, so that the rest has room beside it. 256 kB to 1 MB,
 * the former also where the system does not say. */
#define FNN_LEAST_NEAR_BYTES (1 << 18)

int64_t fnn_near_bytes(void);

#endif
