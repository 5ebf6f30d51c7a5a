/* What the kernel benchmarks need from C: the processor's peak, and loops around single calls.
 *
 * Times are taken by the loops themselves, so that neither the interpreter nor ctypes counts. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "fastnn.h"

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds per floating-point operation of twelve independent chains of fused multiply-adds on
 * registers: nothing that multiplies matrices can be faster. */
double time_peak(int64_t rounds) {
    typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
    const vec factor = (vec){0} + 0.999999f, term = (vec){0} + 1e-6f;
    vec s[12];
    _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) s[i] = term * (float)i;
    const double start = seconds();
    for (int64_t r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) {
            s[i] = s[i] * factor + term;
            __asm__ volatile("" : "+x"(s[i])); /* keep every one of them */
        }
    }
    return (seconds() - start) / (double)(rounds * 12 * 2 * (VECTOR_BYTES / 4));
}

/* The same beside the loads of a tile of registers, all from the first-level cache: a step multiplies
 * six values of A with some vectors of B. With AVX-512 these are 24 multiply-adds for ten loads; of
 * what fits 32 registers, 25 for ten are the most. */
double time_tile(int64_t rounds) {
    enum { ROWS = 6, VECTORS = VECTOR_BYTES == 64 ? 4 : 2, STEPS = 32, WIDTH = VECTOR_BYTES / 4 };
    typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
    static float a[ROWS][STEPS];
    static vec b[STEPS][VECTORS];
    for (int p = 0; p < STEPS; p++) {
        for (int i = 0; i < ROWS; i++) a[i][p] = 1e-6f;
        for (int j = 0; j < VECTORS; j++) b[p][j] = (vec){0} + 1.0f;
    }
    vec s[ROWS][VECTORS] = {0};
    const double start = seconds();
    for (int64_t r = 0; r < rounds; r++)
        for (int p = 0; p < STEPS; p++) {
            vec bj[VECTORS];
            _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++) bj[j] = b[p][j];
            _Pragma("GCC unroll 6") for (int i = 0; i < ROWS; i++) {
                const vec ai = a[i][p] - (vec){0};
                _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++) s[i][j] += ai * bj[j];
            }
            __asm__ volatile("" ::: "memory"); /* load them each time */
        }
    const double taken = seconds() - start;
    _Pragma("GCC unroll 6") for (int i = 0; i < ROWS; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < VECTORS; j++)
            __asm__ volatile("" ::"x"(s[i][j]));
    return taken / (double)(rounds * STEPS * ROWS * VECTORS * 2 * WIDTH);
}

/* The sum of n floats, n a multiple of 128, in as many chains as hide the additions' latency. */
double sum(int64_t n, const float *x) {
    enum { WIDTH = VECTOR_BYTES / 4 };
    typedef float vec __attribute__((vector_size(VECTOR_BYTES), aligned(4)));
    vec s[8] = {0};
    for (int64_t i = 0; i < n; i += 8 * WIDTH)
        _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++)
            s[j] += *(const vec *)(x + i + j * WIDTH);
    double total = 0;
    for (int j = 0; j < 8; j++)
        for (int l = 0; l < WIDTH; l++) total += (double)s[j][l];
    return total;
}

/* Seconds of one of `repeats` sums. */
double time_sum(int64_t n, const float *x, int64_t repeats) {
    volatile double total;
    const double start = seconds();
    for (int64_t i = 0; i < repeats; i++) total = sum(n, x);
    (void)total;
    return (seconds() - start) / (double)repeats;
}

/* Two threads that write to a cache line in turn. */
typedef struct {
    _Alignas(64) atomic_llong turn;
    int64_t turns;
} handover;

static void take_turn(handover *h, int64_t turn) {
    while (atomic_load(&h->turn) != turn) {}
    atomic_store(&h->turn, turn + 1);
}

static void *take_odd_turns(void *h) {
    for (int64_t turn = 1; turn < ((handover *)h)->turns; turn += 2) take_turn(h, turn);
    return NULL;
}

/* Seconds until one thread sees what another has written, the mean of `repeats` times to and fro;
 * negative if there is no other. */
double time_handover(int64_t repeats) {
    handover h = {.turns = 2 * repeats + 2};
    pthread_t other;
    if (pthread_create(&other, NULL, take_odd_turns, &h)) return -1;
    take_turn(&h, 0);
    while (atomic_load(&h.turn) != 2) {} /* it has begun */
    const double start = seconds();
    for (int64_t turn = 2; turn < h.turns; turn += 2) take_turn(&h, turn);
    pthread_join(other, NULL);
    return (seconds() - start) / (double)(2 * repeats);
}

int64_t panel_width(const fnn_kernels *table) { return table->panel_width; }

/* Pack B (k x n, rows contiguous) as fastnn's models keep their weights. */
void pack(const fnn_kernels *table, int64_t k, int64_t n, const void *b, void *packed) {
    table->pack(k, n, b, n, 1, packed);
}

/* Seconds of one of `repeats` calls of fastnn's kernel, C = relu(AB + bias), B packed. */
double time_gemm(const fnn_kernels *table, int64_t m, int64_t n, int64_t k, const void *a,
                 const void *packed, const void *bias, void *c, int64_t repeats) {
    const fnn_gemm g = {
        .m = m, .n = n, .k = k,
        .a = a, .a_row = k, .a_col = 1,
        .b = packed, .b_row = table->panel_width, .b_panel = k * table->panel_width,
        .c = c, .c_row = n,
        .bias = bias, .epilogue = FNN_STORE_ACTIVATION, .activation = FNN_RELU, .whole_m = m,
    };
    const double start = seconds();
    for (int64_t i = 0; i < repeats; i++) table->gemm(&g);
    return (seconds() - start) / (double)repeats;
}

/* Seconds of one of `repeats` calls of BLAS, C (m x n) = A (m x k) B (k x n), rows contiguous. */
typedef void (*cblas_sgemm)(int, int, int, int64_t, int64_t, int64_t, float, const float *,
                            int64_t, const float *, int64_t, float, float *, int64_t);
double time_sgemm(cblas_sgemm gemm, int64_t m, int64_t n, int64_t k, const float *a,
                  const float *b, float *c, int64_t repeats) {
    const double start = seconds();
    for (int64_t i = 0; i < repeats; i++)
        gemm(101, 111, 111, m, n, k, 1, a, k, b, n, 0, c, n);
    return (seconds() - start) / (double)repeats;
}
