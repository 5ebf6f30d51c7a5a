/* Random words for noise that is a function of seed, step, row and column, by Philox4x32-10: Salmon,
 * Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
 *
 * Four columns are a group, for the four words of a counter. Groups lie side by side in lanes of 64
 * bits, each word in the lower half of its lane: there the instruction for products of 32 bits finds
 * its factors, and it does not mind what is left in the upper half, so nothing has to be moved from
 * round to round. Dropout of 128 x 1024 elements takes 80 us so (AVX-512, Zen 4), and took 430 us
 * with loops over arrays of words. */

#define NOISE_GROUPS 16
#define NOISE_COLUMNS (4 * NOISE_GROUPS)
#define WORD 0xffffffffull
#define WIDE_LANES (VECTOR_BYTES / 8)
#define AT_ONCE 2 /* vectors of groups that stay in registers, with AVX2 and SSE too */

typedef uint64_t FN(wide) __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t FN(wide_in_memory)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(uint32_t)), may_alias));

/* Products of the lower halves of the lanes. */
INLINE FN(wide) FN(times)(FN(wide) a, uint32_t b) {
#if defined(__AVX512F__)
    return (FN(wide))_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((int64_t)b));
#elif defined(__AVX2__)
    return (FN(wide))_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((int64_t)b));
#elif defined(__SSE2__)
    return (FN(wide))_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((int64_t)b));
#else
    return (a & WORD) * (uint64_t)b;
#endif
}

INLINE void FN(philox_round)(FN(wide) c[4], uint32_t key0, uint32_t key1) {
    const FN(wide) first = FN(times)(c[0], 0xD2511F53u), second = FN(times)(c[2], 0xCD9E8D57u);
    c[0] = (second >> 32) ^ c[1] ^ (uint64_t)key0;
    c[1] = second;
    c[2] = (first >> 32) ^ c[3] ^ (uint64_t)key1;
    c[3] = first;
}

/* Two words in a lane, the first one at the lower address. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PAIR(first, second) (((first) & WORD) | (second) << 32)
#else
#define PAIR(first, second) (((second) & WORD) | (first) << 32)
#endif

/* Lanes of two vectors by turns, from one on. */
#define TURNS_1(lane) (lane), WIDE_LANES + (lane)
#define TURNS_2(lane) TURNS_1(lane), TURNS_1(lane + 1)
#define TURNS_4(lane) TURNS_2(lane), TURNS_2(lane + 2)
#if VECTOR_BYTES == 64
#define BY_TURNS TURNS_4
#elif VECTOR_BYTES == 32
#define BY_TURNS TURNS_2
#else
#define BY_TURNS TURNS_1
#endif

/* Write the words of WIDE_LANES groups in the order of the columns. */
INLINE void FN(store_groups)(const FN(wide) c[4], uint32_t *out) {
    const FN(wide) a = PAIR(c[0], c[1]), b = PAIR(c[2], c[3]);
    FN(wide_in_memory) *pairs = (FN(wide_in_memory) *)out;
#ifdef HAS_SHUFFLE
    pairs[0] = __builtin_shufflevector(a, b, BY_TURNS(0));
    pairs[1] = __builtin_shufflevector(a, b, BY_TURNS(WIDE_LANES / 2));
#else
    for (int i = 0; i < 2 * WIDE_LANES; i++)
        pairs[i / WIDE_LANES][i % WIDE_LANES] = i % 2 ? b[i / 2] : a[i / 2];
#endif
}

/* The counters of AT_ONCE vectors of groups, from group `first` of a row on. */
INLINE void FN(count_groups)(uint64_t step, int64_t row, int64_t first, FN(wide) c[AT_ONCE][4]) {
    FN(wide) number;
    UNROLL
    for (int i = 0; i < WIDE_LANES; i++) number[i] = i;
    UNROLL
    for (int v = 0; v < AT_ONCE; v++) {
        c[v][0] = number + (uint64_t)(first + v * WIDE_LANES);
        c[v][1] = (uint64_t)row - (FN(wide)){0};
        c[v][2] = step - (FN(wide)){0};
        c[v][3] = (step >> 32) - (FN(wide)){0};
    }
}

/* Words for columns j to j + NOISE_COLUMNS of a row; j is a multiple of four. */
INLINE void FN(random_words)(uint64_t seed, uint64_t step, int64_t row, int64_t j,
                             uint32_t out[NOISE_COLUMNS]) {
    for (int first = 0; first < NOISE_GROUPS; first += AT_ONCE * WIDE_LANES) {
        FN(wide) c[AT_ONCE][4];
        FN(count_groups)(step, row, j / 4 + first, c);
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < 10; round++) {
            UNROLL
            for (int v = 0; v < AT_ONCE; v++) FN(philox_round)(c[v], key0, key1);
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        UNROLL
        for (int v = 0; v < AT_ONCE; v++)
            FN(store_groups)(c[v], out + 4 * (first + v * WIDE_LANES));
    }
}

/* What a word has to be to be kept, where the share `rate` of all is dropped. */
INLINE uint32_t FN(threshold)(double rate) { return (uint32_t)(rate * 4294967296.0); }

/* Lanes set for the words that are kept. */
INLINE void FN(choose)(const uint32_t words[NOISE_COLUMNS], uint32_t threshold,
                       INT out[NOISE_COLUMNS]) {
    for (int i = 0; i < NOISE_COLUMNS; i++) out[i] = words[i] >= threshold ? -1 : 0;
}

INLINE ivec FN(load_lanes)(const INT *p) {
    ivec v;
    memcpy(&v, p, sizeof v);
    return v;
}

#undef WORD
#undef WIDE_LANES
#undef AT_ONCE
#undef TURNS_1
#undef TURNS_2
#undef TURNS_4
#undef BY_TURNS
#undef PAIR
