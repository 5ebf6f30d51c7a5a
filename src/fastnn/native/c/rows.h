/* The small passes around the products: gathering a batch, sums, penalties, clipping, dropout. */

/* Rows are read on, a few at a time, while their sums wait in memory. */
#define SUMMED_ROWS 8

INLINE void FN(add_rows_to)(int64_t columns, const REAL *x, int64_t x_row, REAL *out,
                            const int rows) {
    for (int64_t j = 0; j < columns; j += LANES) {
        vec sum = FN(load_columns)(out + j, columns - j);
        UNROLL
        for (int i = 0; i < rows; i++) sum += FN(load_columns)(x + i * x_row + j, columns - j);
        FN(store_columns)(out + j, sum, columns - j);
    }
}

static void FN(column_sums)(int64_t rows, int64_t columns, const void *x_, int64_t x_row,
                            void *out, int add) {
    const REAL *x = x_;
    if (!add) memset(out, 0, (size_t)columns * sizeof(REAL));
    for (; rows >= SUMMED_ROWS; rows -= SUMMED_ROWS, x += SUMMED_ROWS * x_row)
        FN(add_rows_to)(columns, x, x_row, out, SUMMED_ROWS);
    for (; rows > 0; rows--, x += x_row) FN(add_rows_to)(columns, x, x_row, out, 1);
}

/* Returns the bits of x - x, in which there are some if an element is not finite. */
INLINE ivec FN(copy_columns)(const REAL *x, int64_t columns, REAL *y) {
    ivec differences = {0};
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES) {
        const vec v = FN(load)(x + j);
        FN(store)(y + j, v);
        differences |= (ivec)(v - v);
    }
    if (j < columns) {
        const vec v = FN(load_part)(x + j, columns - j, (vec){0});
        FN(store_part)(y + j, columns - j, v);
        differences |= (ivec)(v - v);
    }
    return differences;
}

/* Rows of x, `x_row` apart, in the given order. They are scattered over memory, so the hardware's
 * prefetcher is of no use; asking for the lines of rows GATHER_AHEAD bytes ahead hides most of the
 * wait. */
#define GATHER_AHEAD 4096

INLINE void FN(ask_for)(const char *row, int64_t bytes) {
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(row + j);
}

static int FN(gather)(int64_t rows, int64_t columns, const void *x_, int64_t x_row,
                      const int64_t *order, void *out_, int64_t out_row) {
    const int64_t bytes = columns * (int64_t)sizeof(REAL);
    const int64_t ahead = 2 + GATHER_AHEAD / (bytes + 1);
    const REAL *x = x_;
    REAL *out = out_;
    ivec differences = {0};
    for (int64_t i = 0; i < ahead && i < rows; i++)
        FN(ask_for)((const char *)(x + order[i] * x_row), bytes);
    for (int64_t i = 0; i < rows; i++, out += out_row) {
        if (i + ahead < rows) FN(ask_for)((const char *)(x + order[i + ahead] * x_row), bytes);
        const REAL *row = x + order[i] * x_row;
        differences |= FN(copy_columns)(row, columns, out);
    }
    return FN(first_set)(differences != 0) == LANES;
}

/* Sums run in double, whatever the type, in eight interleaved parts. */
#define PARTS 8
#define DOUBLES ((int64_t)(VECTOR_BYTES / sizeof(double)))

typedef double FN(doubles) __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t FN(double_bits) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL FN(reals_in_memory) __attribute__((
    vector_size(VECTOR_BYTES / sizeof(double) * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

/* Add x^2 for power 2, |x| for power 1, of as many elements as there are parts. */
INLINE void FN(add_powers)(const REAL *x, const int power, FN(doubles) parts[PARTS / DOUBLES]) {
    UNROLL
    for (int64_t i = 0; i < PARTS / DOUBLES; i++) {
        const FN(doubles) v = __builtin_convertvector(
            ((const FN(reals_in_memory) *)x)[i], FN(doubles));
        parts[i] += power == 2 ? v * v : (FN(doubles))((FN(double_bits))v & INT64_MAX);
    }
}

INLINE double FN(sum_of_powers)(int64_t n, const REAL *x, const int power) {
    FN(doubles) parts[PARTS / DOUBLES] = {0};
    REAL rest[PARTS] = {0};
    int64_t i = 0;
    for (; i + PARTS <= n; i += PARTS) FN(add_powers)(x + i, power, parts);
    memcpy(rest, x + i, (size_t)(n - i) * sizeof(REAL));
    FN(add_powers)(rest, power, parts);
    double part[PARTS];
    memcpy(part, parts, sizeof part);
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

static double FN(sum_of_squares)(int64_t n, const void *x) { return FN(sum_of_powers)(n, x, 2); }
static double FN(sum_of_magnitudes)(int64_t n, const void *x) { return FN(sum_of_powers)(n, x, 1); }
#undef PARTS
#undef DOUBLES

static void FN(scale)(int64_t n, double factor, void *x_) {
    REAL *x = x_;
    for (int64_t i = 0; i < n; i++) x[i] *= (REAL)factor;
}

static void FN(clip)(int64_t n, double bound, void *x_) {
    REAL *x = x_;
    const REAL high = (REAL)bound, low = -high;
    for (int64_t i = 0; i < n; i++) {
        const REAL v = x[i] > high ? high : x[i];
        x[i] = v < low ? low : v;
    }
}

static void FN(penalise)(int64_t n, double l1, double l2, const void *x_, void *gradient) {
    const REAL *restrict x = x_;
    REAL *restrict g = gradient;
    const REAL a = (REAL)l1, b = (REAL)(2 * l2);
    for (int64_t i = 0; i < n; i++)
        g[i] += b * x[i] + (x[i] > 0 ? a : (REAL)0) - (x[i] < 0 ? a : (REAL)0);
}

/* Zero times anything else is NaN, and so are sums with it. Four places are read in turn, for what a
 * core sees coming of each is bounded: 13 GB/s from memory in place of 10 (Ice Lake). */
static int FN(all_finite)(int64_t n, const void *x_) {
    const REAL *x = x_;
    const vec zero = {0};
    vec sums[4] = {zero, zero, zero, zero};
    const int64_t quarter = n / (4 * LANES) * LANES;
    for (int64_t i = 0; i < quarter; i += LANES) {
        UNROLL
        for (int k = 0; k < 4; k++) sums[k] += FN(load)(x + k * quarter + i) * zero;
    }
    for (int64_t i = 4 * quarter; i < n; i += LANES)
        sums[0] += FN(load_columns)(x + i, n - i) * zero;
    const vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return FN(first_set)(sum != sum) == LANES;
}

static void FN(dropout)(const fnn_dropout *d) {
    const REAL factor = (REAL)(1 / (1 - d->rate));
    const uint32_t threshold = FN(threshold)(d->rate);
    uint32_t words[NOISE_COLUMNS];
    INT kept[NOISE_COLUMNS];
    for (int64_t i = 0; i < d->rows; i++) {
        const REAL *x = (const REAL *)d->x + i * d->x_row;
        REAL *y = (REAL *)d->y + i * d->y_row;
        REAL *factors = d->factors ? (REAL *)d->factors + i * d->y_row : NULL;
        for (int64_t j = 0; j < d->columns; j += NOISE_COLUMNS) {
            FN(random_words)(d->seed, d->step, d->first_row + i, j, words);
            FN(choose)(words, threshold, kept);
            for (int64_t p = j; p < d->columns && p < j + NOISE_COLUMNS; p += LANES) {
                const int64_t left = d->columns - p;
                const ivec lanes = FN(load_lanes)(kept + p - j);
                const vec v = FN(load_columns)(x + p, left) * factor;
                FN(store_columns)(y + p, FN(where)(lanes, v), left);
                if (factors)
                    FN(store_columns)(factors + p, FN(where)(lanes, FN(splat)(factor)), left);
            }
        }
    }
}
