/* Flushing of subnormal numbers to zero, for this thread, while training. `fnn_subnormals` is the
 * mode in force, `fnn_restore_subnormals` sets one.
 *
 * Running means of gradients that have died (Adam's m is multiplied by 0.9 in each step) sink
 * into the subnormal range after some 800 steps and stay there; arithmetic on them takes a hundred
 * times as long. Numbers below 1e-38 mean nothing to training, so they become zero. */
#ifndef FASTNN_SUBNORMALS_H
#define FASTNN_SUBNORMALS_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#define FNN_FLUSH_BITS 0x8040u /* flush results to zero, take inputs as zero */
static inline uint64_t fnn_subnormals(void) { return _mm_getcsr(); }
static inline uint64_t fnn_flush_subnormals(void) {
    const uint64_t before = fnn_subnormals();
    _mm_setcsr((unsigned)before | FNN_FLUSH_BITS);
    return before;
}
static inline void fnn_restore_subnormals(uint64_t before) { _mm_setcsr((unsigned)before); }
#elif defined(__aarch64__)
#define FNN_FLUSH_BITS (1ull << 24)
static inline uint64_t fnn_subnormals(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline uint64_t fnn_flush_subnormals(void) {
    const uint64_t before = fnn_subnormals();
    __asm__ volatile("msr fpcr, %0" : : "r"(before | FNN_FLUSH_BITS));
    return before;
}
static inline void fnn_restore_subnormals(uint64_t before) {
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}
#else
static inline uint64_t fnn_subnormals(void) { return 0; }
static inline uint64_t fnn_flush_subnormals(void) { return 0; }
static inline void fnn_restore_subnormals(uint64_t before) { (void)before; }
#endif

#endif
