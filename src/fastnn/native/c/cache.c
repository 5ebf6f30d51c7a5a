#include "cache.h"

#include <stdatomic.h>
#include <unistd.h>

enum { LEAST = FNN_LEAST_NEAR_BYTES, MOST = 1 << 20 };

static int64_t half_of_cache(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
    const int64_t half = sysconf(_SC_LEVEL2_CACHE_SIZE) / 2;
#else
    const int64_t half = LEAST;
#endif
    return half < LEAST ? LEAST : half > MOST ? MOST : half;
}

int64_t fnn_near_bytes(void) {
    static _Atomic int64_t known = 0; /* a virtual machine takes microseconds to say it */
    if (known == 0) known = half_of_cache();
    return known;
}
