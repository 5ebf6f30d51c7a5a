/* Which instruction sets this build has kernels for, and which of them the processor can run.
 * `__builtin_cpu_supports` also asks whether the system saves the wide registers. */

#include <stddef.h>

#include "fastnn.h"

#define DECLARE(isa) extern const fnn_kernels fnn_kernels_f32_##isa, fnn_kernels_f64_##isa;
#define ENTRY(isa, supported) {#isa, &fnn_kernels_f32_##isa, &fnn_kernels_f64_##isa, supported}

DECLARE(baseline)
static int always(void) { return 1; }

#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && has_avx2();
}
const fnn_isa fnn_isas[] = {
    ENTRY(avx512, has_avx512), ENTRY(avx2, has_avx2), ENTRY(baseline, always), {NULL}};
#else
const fnn_isa fnn_isas[] = {ENTRY(baseline, always), {NULL}};
#endif
