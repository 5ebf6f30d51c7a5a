/* A random order, a function of its length and a seed: Fisher and Yates' method, inside-out, as in
 * Knuth, "The art of computer programming", 3.4.2.
 *
 * Words are those of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators" (2014). Of a word times a bound the upper 64 bits are a number below the bound:
 * Lemire, "Fast random integer generation in an interval" (2019). He rejects some words to be
 * exactly even; without that no number is favoured by more than one part in 2^32, for bounds of up
 * to 32 bits. */
#ifndef FASTNN_SHUFFLE_H
#define FASTNN_SHUFFLE_H

#include <stdint.h>

static inline uint64_t fnn_mixed(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

/* For bounds of up to 32 bits. */
static inline uint64_t fnn_below(uint64_t bound, uint64_t word) {
    const uint64_t low = (word & 0xFFFFFFFFu) * bound;
    return ((word >> 32) * bound + (low >> 32)) >> 32;
}

/* Write 0 to n - 1, n < 2^32, to `out` in the order that belongs to `seed`. */
static inline void fnn_permutation(int64_t n, uint64_t seed, int64_t *out) {
    for (int64_t i = 0; i < n; i++) {
        seed += 0x9E3779B97F4A7C15u;
        const uint64_t j = fnn_below((uint64_t)i + 1, fnn_mixed(seed));
        out[i] = i; /* j may be i */
        out[i] = out[j];
        out[j] = i;
    }
}

#endif
