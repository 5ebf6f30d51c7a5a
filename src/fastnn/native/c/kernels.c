/* All kernels of one instruction set, for both float types.
 *
 * This file is compiled once per instruction set, with FASTNN_ISA set to its name and the
 * compiler told that it may use it. The code is the same for all: the compiler's macros say how
 * wide registers are and how many there are. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "fastnn.h"

#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__) /* which ignores GCC's pragma, and then keeps the tiles in memory */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) /* in GCC from version 12 on */
#define HAS_SHUFFLE
#endif
#endif

#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define FN(name) JOIN(name, REAL_SUFFIX, FASTNN_ISA)

/* Rows of a tile: two vectors each, plus two for B and one for A, must fit the registers. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 14
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#elif defined(__aarch64__) /* of 12 rows GCC 12 and Clang 16 hold sums or addresses on the stack */
#define VECTOR_BYTES 16
#define TILE_ROWS 10
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#endif

#if TILE_ROWS == 14
#define FOR_EACH_TILE_ROWS(X)                                                                    \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif TILE_ROWS == 10
#define FOR_EACH_TILE_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10)
#else
#define FOR_EACH_TILE_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

#include "float32.h"
#include "kernels.h"

#include "float64.h"
#include "kernels.h"
