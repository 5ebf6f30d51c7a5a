/* Vectors of REAL, as wide as the instruction set's registers.
 *
 * Included once per float type with REAL, INT (the integer of its size) and FN defined. The
 * arithmetic is GCC's and Clang's vector extension: a * b + c contracts to a fused multiply-add
 * where the target has one. Only what the extension lacks is written per target: minimum and
 * maximum, scaling by powers of two, loads and stores of part of a vector. */

#define LANES ((int64_t)(VECTOR_BYTES / sizeof(REAL)))

typedef REAL FN(vec) __attribute__((vector_size(VECTOR_BYTES)));
typedef INT FN(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#if REAL_IS_FLOAT
typedef uint32_t FN(uvec) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef uint64_t FN(uvec) __attribute__((vector_size(VECTOR_BYTES)));
#endif
typedef REAL FN(vec_in_memory)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#define vec FN(vec)
#define ivec FN(ivec)

INLINE vec FN(load)(const REAL *p) { return *(const FN(vec_in_memory) *)p; }
INLINE void FN(store)(REAL *p, vec v) { *(FN(vec_in_memory) *)p = v; }
INLINE vec FN(splat)(REAL x) { return x - (vec){0}; }

/* A product that is not fused with a sum, whatever the compiler thinks of it: where one path has whole
 * vectors and another parts, both then give the same bits. */
INLINE vec FN(rounded)(vec x) {
#if defined(__x86_64__)
    __asm__("" : "+x"(x));
#elif defined(__aarch64__)
    __asm__("" : "+w"(x));
#endif
    return x;
}

INLINE vec FN(select)(ivec condition, vec yes, vec no) {
    return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}
INLINE vec FN(where)(ivec condition, vec x) { return (vec)(condition & (ivec)x); }
INLINE vec FN(abs)(vec x) { return (vec)((ivec)x & SIGN_FREE); }
/* The sign of `sign` on the magnitude x >= 0. */
INLINE vec FN(with_sign)(vec x, vec sign) { return (vec)((ivec)x | ((ivec)sign & ~SIGN_FREE)); }

/* y where it is the larger, or the smaller, of both, else x: so NaN in x stays NaN, and a zero keeps
 * its sign. That is what the instructions do with their operands exchanged. */
#if defined(__AVX512F__) && REAL_IS_FLOAT
INLINE vec FN(larger)(vec x, vec y) { return _mm512_max_ps(y, x); }
INLINE vec FN(smaller)(vec x, vec y) { return _mm512_min_ps(y, x); }
#elif defined(__AVX512F__)
INLINE vec FN(larger)(vec x, vec y) { return _mm512_max_pd(y, x); }
INLINE vec FN(smaller)(vec x, vec y) { return _mm512_min_pd(y, x); }
#elif defined(__AVX2__) && REAL_IS_FLOAT
INLINE vec FN(larger)(vec x, vec y) { return _mm256_max_ps(y, x); }
INLINE vec FN(smaller)(vec x, vec y) { return _mm256_min_ps(y, x); }
#elif defined(__AVX2__)
INLINE vec FN(larger)(vec x, vec y) { return _mm256_max_pd(y, x); }
INLINE vec FN(smaller)(vec x, vec y) { return _mm256_min_pd(y, x); }
#else
INLINE vec FN(larger)(vec x, vec y) { return FN(select)(x < y, y, x); }
INLINE vec FN(smaller)(vec x, vec y) { return FN(select)(x > y, y, x); }
#endif
INLINE vec FN(at_least)(vec x, REAL bound) { return FN(larger)(x, FN(splat)(bound)); }
INLINE vec FN(at_most)(vec x, REAL bound) { return FN(smaller)(x, FN(splat)(bound)); }
INLINE vec FN(relu)(vec x) { return FN(at_least)(x, 0); }

#if defined(__AVX512F__) && REAL_IS_FLOAT
INLINE vec FN(sqrt)(vec x) { return _mm512_sqrt_ps(x); }
#elif defined(__AVX512F__)
INLINE vec FN(sqrt)(vec x) { return _mm512_sqrt_pd(x); }
#elif defined(__AVX2__) && REAL_IS_FLOAT
INLINE vec FN(sqrt)(vec x) { return _mm256_sqrt_ps(x); }
#elif defined(__AVX2__)
INLINE vec FN(sqrt)(vec x) { return _mm256_sqrt_pd(x); }
#else
INLINE vec FN(sqrt)(vec x) {
    for (int64_t i = 0; i < LANES; i++) x[i] = REAL_SQRT(x[i]);
    return x;
}
#endif

/* What x * x, rounded to `square`, has lost. */
#if defined(__AVX512F__) && REAL_IS_FLOAT
INLINE vec FN(lost_by_square)(vec x, vec square) { return _mm512_fmsub_ps(x, x, square); }
#elif defined(__AVX512F__)
INLINE vec FN(lost_by_square)(vec x, vec square) { return _mm512_fmsub_pd(x, x, square); }
#elif defined(__AVX2__) && REAL_IS_FLOAT
INLINE vec FN(lost_by_square)(vec x, vec square) { return _mm256_fmsub_ps(x, x, square); }
#elif defined(__AVX2__)
INLINE vec FN(lost_by_square)(vec x, vec square) { return _mm256_fmsub_pd(x, x, square); }
#else
INLINE vec FN(lost_by_square)(vec x, vec square) {
    const vec leading = (vec)((ivec)x & LEADING_HALF);
    return (x - leading) * (x + leading) - (square - leading * leading);
}
#endif

/* 2^n for an integer n and a normal result. Adding the magic number leaves n + bias in the low
 * bits; the shift drops what is above them. */
INLINE vec FN(power_of_two)(vec n) {
    return (vec)((ivec)(n + (ROUND_MAGIC + EXPONENT_BIAS)) << EXPONENT_SHIFT);
}

/* m (1 + z) 2^n for an integer n. */
#if defined(__AVX512F__) && REAL_IS_FLOAT
INLINE vec FN(scaled)(vec m, vec z, vec n) { return _mm512_scalef_ps(m + m * z, n); }
#elif defined(__AVX512F__)
INLINE vec FN(scaled)(vec m, vec z, vec n) { return _mm512_scalef_pd(m + m * z, n); }
#else
/* 2^n in two factors, so that a result below the normal range is reached by the last product. */
INLINE vec FN(scaled)(vec m, vec z, vec n) {
    const FN(uvec) sum = (FN(uvec))(n + (ROUND_MAGIC + 2 * EXPONENT_BIAS)), half = sum >> 1;
    m *= (vec)(half << EXPONENT_SHIFT);
    return (m + m * z) * (vec)((sum - half) << EXPONENT_SHIFT);
}
#endif

/* A window into this table, LANES - n before its middle, has the first n lanes set. */
static const INT FN(lane_table)[2 * LANES] = {[0 ... LANES - 1] = -1};
INLINE ivec FN(first_lanes)(int64_t n) {
    typedef INT ivec_in_memory
        __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(INT)), may_alias));
    return *(const ivec_in_memory *)(FN(lane_table) + (LANES - n));
}
INLINE vec FN(keep_lanes)(int64_t n, vec v) { return FN(where)(FN(first_lanes)(n), v); }

/* Lane n set alone; none if there is no such lane. */
INLINE ivec FN(lane)(int64_t n) {
    const int64_t before = n < 0 ? 0 : n > LANES ? LANES : n;
    const int64_t with = n < -1 ? 0 : n >= LANES ? LANES : n + 1;
    return FN(first_lanes)(with) & ~FN(first_lanes)(before);
}

/* The first n lanes; the others are `rest` (load) or left alone (store). A store takes some lanes,
 * not all; a load any number of them. */
#if defined(__AVX512F__)
#if REAL_IS_FLOAT
INLINE vec FN(load_part)(const REAL *p, int64_t n, vec rest) {
    return _mm512_mask_loadu_ps(rest, (__mmask16)((1u << n) - 1), p);
}
INLINE void FN(store_part)(REAL *p, int64_t n, vec v) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
#else
INLINE vec FN(load_part)(const REAL *p, int64_t n, vec rest) {
    return _mm512_mask_loadu_pd(rest, (__mmask8)((1u << n) - 1), p);
}
INLINE void FN(store_part)(REAL *p, int64_t n, vec v) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), v);
}
#endif
#elif defined(__AVX2__)
#if REAL_IS_FLOAT
INLINE vec FN(load_part)(const REAL *p, int64_t n, vec rest) {
    const ivec lanes = FN(first_lanes)(n);
    return FN(select)(lanes, _mm256_maskload_ps(p, (__m256i)lanes), rest);
}
INLINE void FN(store_part)(REAL *p, int64_t n, vec v) {
    __m128 part = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
}
#else
INLINE vec FN(load_part)(const REAL *p, int64_t n, vec rest) {
    const ivec lanes = FN(first_lanes)(n);
    return FN(select)(lanes, _mm256_maskload_pd(p, (__m256i)lanes), rest);
}
INLINE void FN(store_part)(REAL *p, int64_t n, vec v) {
    __m128d part = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, part);
}
#endif
#else
INLINE vec FN(load_part)(const REAL *p, int64_t n, vec rest) {
    for (int64_t i = 0; i < n; i++) rest[i] = p[i];
    return rest;
}
INLINE void FN(store_part)(REAL *p, int64_t n, vec v) {
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
}
#endif

/* Lane i of vector j becomes lane j of vector i: blocks that lie across the diagonal from each other
 * change places, first single lanes, then pairs, and so on. */
#ifdef HAS_SHUFFLE
#define LOWER(lane, d) ((lane) & (d) ? LANES + (lane) - (d) : (lane))
#define UPPER(lane, d) ((lane) & (d) ? LANES + (lane) : (lane) + (d))
#define OF_2(F, i, d) F(i, d), F(i + 1, d)
#define OF_4(F, i, d) OF_2(F, i, d), OF_2(F, i + 2, d)
#define OF_8(F, i, d) OF_4(F, i, d), OF_4(F, i + 4, d)
#define OF_16(F, i, d) OF_8(F, i, d), OF_8(F, i + 8, d)
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
#define OF_LANES OF_16
#elif VECTOR_BYTES == 64 || VECTOR_BYTES == 32 && REAL_IS_FLOAT
#define OF_LANES OF_8
#elif VECTOR_BYTES == 32 || REAL_IS_FLOAT
#define OF_LANES OF_4
#else
#define OF_LANES OF_2
#endif
#define EXCHANGE(d)                                                                              \
    UNROLL                                                                                       \
    for (int i = 0; i < LANES && d < LANES; i++) {                                               \
        if (i & d) continue;                                                                     \
        const vec a = x[i], b = x[i + d];                                                        \
        x[i] = __builtin_shufflevector(a, b, OF_LANES(LOWER, 0, (d % LANES)));                   \
        x[i + d] = __builtin_shufflevector(a, b, OF_LANES(UPPER, 0, (d % LANES)));               \
    }
INLINE void FN(transpose)(vec x[LANES]) { EXCHANGE(1) EXCHANGE(2) EXCHANGE(4) EXCHANGE(8) }
/* The same, in an order in which there is less to do if only the first few vectors are used then. */
INLINE void FN(transpose_to_few)(vec x[LANES]) { EXCHANGE(8) EXCHANGE(4) EXCHANGE(2) EXCHANGE(1) }
#undef EXCHANGE
#undef LOWER
#undef UPPER
#else
INLINE void FN(transpose)(vec x[LANES]) {
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) {
            const REAL kept = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = kept;
        }
}
INLINE void FN(transpose_to_few)(vec x[LANES]) { FN(transpose)(x); }
#endif

/* Sums and maxima over the lanes, in an order that is fixed: of one vector, or of LANES vectors at
 * once, which takes a third of the instructions. Both give the same bits. REDUCED_LANES says how far
 * apart are the lanes that are added to one another, step by step. */
#if defined(__AVX512F__) && REAL_IS_FLOAT
#define REDUCED_LANES {2, 1, 4, 8}
#define SHUFFLED(a, b, lanes) ((vec)_mm512_shuffle_f32x4(a, b, lanes))
#define REDUCE(x, op)                                                                            \
    x = op(x, _mm512_permute_ps(x, 0x4e));                                                       \
    x = op(x, _mm512_permute_ps(x, 0xb1));                                                       \
    x = op(x, SHUFFLED(x, x, 0xb1));                                                             \
    x = op(x, SHUFFLED(x, x, 0x4e));
/* Halves within four lanes, then neighbours, then groups of four, as above. */
#define REDUCE_EACH(x, op)                                                                       \
    UNROLL                                                                                       \
    for (int i = 0; i < 8; i++)                                                                  \
        x[i] = op((vec)_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]),                               \
                  (vec)_mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));                              \
    UNROLL                                                                                       \
    for (int i = 0; i < 4; i++)                                                                  \
        x[i] = op((vec)_mm512_unpacklo_pd((__m512d)x[2 * i], (__m512d)x[2 * i + 1]),             \
                  (vec)_mm512_unpackhi_pd((__m512d)x[2 * i], (__m512d)x[2 * i + 1]));            \
    UNROLL                                                                                       \
    for (int i = 0; i < 2; i++)                                                                  \
        x[i] = op(SHUFFLED(x[2 * i], x[2 * i + 1], 0x88), SHUFFLED(x[2 * i], x[2 * i + 1], 0xdd)); \
    x[0] = op(SHUFFLED(x[0], x[1], 0x88), SHUFFLED(x[0], x[1], 0xdd));
#elif defined(__AVX512F__)
#define REDUCED_LANES {1, 2, 4}
#define SHUFFLED(a, b, lanes) ((vec)_mm512_shuffle_f64x2(a, b, lanes))
#define REDUCE(x, op)                                                                            \
    x = op(x, _mm512_permute_pd(x, 0x55));                                                       \
    x = op(x, SHUFFLED(x, x, 0xb1));                                                             \
    x = op(x, SHUFFLED(x, x, 0x4e));
#define REDUCE_EACH(x, op)                                                                       \
    UNROLL                                                                                       \
    for (int i = 0; i < 4; i++)                                                                  \
        x[i] = op((vec)_mm512_unpacklo_pd(x[2 * i], x[2 * i + 1]),                               \
                  (vec)_mm512_unpackhi_pd(x[2 * i], x[2 * i + 1]));                              \
    UNROLL                                                                                       \
    for (int i = 0; i < 2; i++)                                                                  \
        x[i] = op(SHUFFLED(x[2 * i], x[2 * i + 1], 0x88), SHUFFLED(x[2 * i], x[2 * i + 1], 0xdd)); \
    x[0] = op(SHUFFLED(x[0], x[1], 0x88), SHUFFLED(x[0], x[1], 0xdd));
#elif defined(__AVX2__) && REAL_IS_FLOAT
#define REDUCED_LANES {4, 2, 1}
#define HALVES(a, b, lanes) ((vec)_mm256_permute2f128_ps(a, b, lanes))
#define REDUCE(x, op)                                                                            \
    x = op(x, HALVES(x, x, 0x01));                                                               \
    x = op(x, _mm256_permute_ps(x, 0x4e));                                                       \
    x = op(x, _mm256_permute_ps(x, 0xb1));
#define REDUCE_EACH(x, op)                                                                       \
    UNROLL                                                                                       \
    for (int i = 0; i < 4; i++)                                                                  \
        x[i] = op(HALVES(x[i], x[i + 4], 0x20), HALVES(x[i], x[i + 4], 0x31));                   \
    UNROLL                                                                                       \
    for (int i = 0; i < 2; i++)                                                                  \
        x[i] = op((vec)_mm256_unpacklo_pd((__m256d)x[2 * i], (__m256d)x[2 * i + 1]),             \
                  (vec)_mm256_unpackhi_pd((__m256d)x[2 * i], (__m256d)x[2 * i + 1]));            \
    x[0] = op((vec)_mm256_shuffle_ps(x[0], x[1], 0x88), (vec)_mm256_shuffle_ps(x[0], x[1], 0xdd));
#elif defined(__AVX2__)
#define REDUCED_LANES {2, 1}
#define HALVES(a, b, lanes) ((vec)_mm256_permute2f128_pd(a, b, lanes))
#define REDUCE(x, op)                                                                            \
    x = op(x, HALVES(x, x, 0x01));                                                               \
    x = op(x, _mm256_permute_pd(x, 0x5));
#define REDUCE_EACH(x, op)                                                                       \
    UNROLL                                                                                       \
    for (int i = 0; i < 2; i++)                                                                  \
        x[i] = op(HALVES(x[i], x[i + 2], 0x20), HALVES(x[i], x[i + 2], 0x31));                   \
    x[0] = op((vec)_mm256_unpacklo_pd(x[0], x[1]), (vec)_mm256_unpackhi_pd(x[0], x[1]));
#else
#define REDUCED_LANES {8, 4, 2, 1}
#ifdef HAS_SHUFFLE
#define ROTATED(lane, d) ((lane) + (d))
#define FOLD(x, op, d)                                                                           \
    if (d < LANES) x = op(x, __builtin_shufflevector(x, x, OF_LANES(ROTATED, 0, (d % LANES))));
#define REDUCE(x, op) FOLD(x, op, 8) FOLD(x, op, 4) FOLD(x, op, 2) FOLD(x, op, 1)
#else
#define REDUCE(x, op)                                                                            \
    for (int64_t half = LANES / 2; half > 0; half /= 2) {                                        \
        REAL lanes[2 * LANES];                                                                   \
        FN(store)(lanes, x);                                                                     \
        FN(store)(lanes + LANES, x);                                                             \
        x = op(x, FN(load)(lanes + half));                                                       \
    }
#endif
#define REDUCE_EACH(x, op)                                                                       \
    FN(transpose)(x);                                                                            \
    UNROLL                                                                                       \
    for (int64_t half = LANES / 2; half > 0; half /= 2)                                          \
        UNROLL                                                                                   \
        for (int64_t i = 0; i < half; i++) x[i] = op(x[i], x[i + half]);
#endif
INLINE vec FN(plus)(vec a, vec b) { return a + b; }
INLINE REAL FN(sum)(vec x) {
    REDUCE(x, FN(plus))
    return x[0];
}
INLINE REAL FN(max)(vec x) {
    REDUCE(x, FN(larger))
    return x[0];
}
/* Lane i is the sum, or the maximum, of x[i], which is destroyed. */
INLINE vec FN(sum_each)(vec x[LANES]) {
    REDUCE_EACH(x, FN(plus))
    return x[0];
}
INLINE vec FN(max_each)(vec x[LANES]) {
    REDUCE_EACH(x, FN(larger))
    return x[0];
}
/* The sum of vectors, which are destroyed, in the order in which `sum` takes lanes. */
INLINE vec FN(sum_vectors)(vec x[LANES]) {
    const int distances[] = REDUCED_LANES;
    int done = 0;
    UNROLL
    for (size_t step = 0; step < sizeof distances / sizeof *distances; step++) {
        const int distance = distances[step];
        if (distance >= LANES) continue;
        done |= distance;
        UNROLL
        for (int i = 0; i < LANES; i++)
            if (!(i & done)) x[i] += x[i + distance];
    }
    return x[0];
}
#undef REDUCED_LANES
#undef SHUFFLED
#undef HALVES
#undef FOLD
#undef ROTATED
#undef REDUCE
#undef REDUCE_EACH
#undef OF_LANES
#undef OF_2
#undef OF_4
#undef OF_8
#undef OF_16

/* Number of the first lane that is set, LANES if none is. */
INLINE int64_t FN(first_set)(ivec condition) {
#if defined(__AVX512F__) && REAL_IS_FLOAT
    const unsigned lanes = _mm512_movepi32_mask((__m512i)condition);
    return lanes ? __builtin_ctz(lanes) : LANES;
#elif defined(__AVX512F__)
    const unsigned lanes = _mm512_movepi64_mask((__m512i)condition);
    return lanes ? __builtin_ctz(lanes) : LANES;
#elif defined(__AVX2__) && REAL_IS_FLOAT
    const int lanes = _mm256_movemask_ps((__m256)condition);
    return lanes ? __builtin_ctz((unsigned)lanes) : LANES;
#elif defined(__AVX2__)
    const int lanes = _mm256_movemask_pd((__m256d)condition);
    return lanes ? __builtin_ctz((unsigned)lanes) : LANES;
#else
    int64_t lane = 0;
    while (lane < LANES && !condition[lane]) lane++;
    return lane;
#endif
}

/* A vector of which only `columns` lanes, if fewer than all, belong to the array. */
INLINE vec FN(load_columns)(const REAL *p, int64_t columns) {
    return columns >= LANES ? FN(load)(p) : FN(load_part)(p, columns, (vec){0});
}
/* As load_columns, from a row that can be read for `readable` elements; `rest` fills the lanes
 * without a column. A whole load can take what a store has just written straight from the store
 * buffer; one of part of a vector has to wait until it is in the cache. */
INLINE vec FN(load_row)(const REAL *p, int64_t columns, int64_t readable, vec rest) {
    if (columns >= LANES) return FN(load)(p);
    if (readable >= LANES) return FN(select)(FN(first_lanes)(columns), FN(load)(p), rest);
    return FN(load_part)(p, columns, rest);
}
INLINE void FN(store_columns)(REAL *p, vec v, int64_t columns) {
    if (columns >= LANES)
        FN(store)(p, v);
    else
        FN(store_part)(p, columns, v);
}
