/* Noise of training: Gaussian noise, Gaussian dropout, alpha dropout.
 *
 * As with dropout, the noise is a function of seed, step, row and column, so it does not depend on
 * threads. What the input is multiplied by is kept for backward: to draw it again takes longer. Rows
 * are worked on in blocks of NOISE_COLUMNS. */

#define BLOCKS_OF(l, j) int64_t j = 0; j < (l)->inputs; j += NOISE_COLUMNS
#define VECTORS_IN_BLOCK(l, j, p)                                                                \
    int64_t p = (j); p < (j) + NOISE_COLUMNS && p < (l)->inputs; p += LANES

/* cos and sin of 2 pi u for 0 <= u < 1, by the nearest quarter turn and Taylor's series. */
INLINE void FN(turn)(vec u, vec *cosine, vec *sine) {
    static const REAL even[] = {1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800,
                                1.0 / 479001600, -1.0 / 87178291200.0};
    static const REAL odd[] = {1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                               1.0 / 6227020800.0, -1.0 / 1307674368000.0};
    const vec quarter = (4 * u + ROUND_MAGIC) - ROUND_MAGIC; /* 0 to 4 */
    const vec angle = (4 * u - quarter) * (REAL)1.5707963267948966, square = angle * angle;
    const int terms = REAL_IS_FLOAT ? 6 : COUNT(even);
    const vec c = FN(polynomial)(even, terms, square);
    const vec s = angle * FN(polynomial)(odd, terms, square);
    const ivec crosswise = (quarter == FN(splat)(1)) | (quarter == FN(splat)(3));
    const ivec c_negative = (quarter == FN(splat)(1)) | (quarter == FN(splat)(2));
    const ivec s_negative = (quarter == FN(splat)(2)) | (quarter == FN(splat)(3));
    *cosine = FN(select)(crosswise, s, c);
    *sine = FN(select)(crosswise, c, s);
    *cosine = FN(select)(c_negative, -*cosine, *cosine);
    *sine = FN(select)(s_negative, -*sine, *sine);
}

/* Normal variates for NOISE_COLUMNS columns of row i from j on, two of each two words' upper 24 bits:
 * G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates" (1958). */
INLINE void FN(normals)(const fnn_layer *l, int64_t i, int64_t j, REAL out[NOISE_COLUMNS]) {
    enum { PAIRS = NOISE_COLUMNS / 2 };
    uint32_t words[NOISE_COLUMNS];
    REAL uniform[PAIRS], turns[PAIRS], first[PAIRS], second[PAIRS];
    FN(random_words)(l->seed, l->step, l->first_row + i, j, words);
    for (int p = 0; p < PAIRS; p++) {
        uniform[p] = (REAL)(int32_t)((words[2 * p] >> 8) + 1) * (REAL)(1.0 / 16777216);
        turns[p] = (REAL)(int32_t)(words[2 * p + 1] >> 8) * (REAL)(1.0 / 16777216);
    }
    for (VECTORS(PAIRS, p)) {
        vec cosine, sine;
        FN(turn)(FN(load)(turns + p), &cosine, &sine);
        const vec radius = FN(sqrt)(-2 * FN(log)(FN(load)(uniform + p)));
        FN(store)(first + p, radius * cosine);
        FN(store)(second + p, radius * sine);
    }
    for (int p = 0; p < PAIRS; p++) {
        out[2 * p] = first[p];
        out[2 * p + 1] = second[p];
    }
}

/* Gaussian noise: y = x + stddev n. Options: stddev. */

static void FN(gaussian_noise)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    const REAL deviation = (REAL)l->options[0];
    REAL n[NOISE_COLUMNS];
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i);
        REAL *y = FN(y_of)(l, i);
        for (BLOCKS_OF(l, j)) {
            FN(normals)(l, i, j, n);
            for (VECTORS_IN_BLOCK(l, j, p)) {
                const vec v = FN(load_columns)(x + p, l->inputs - p);
                FN(store_columns)(y + p, v + deviation * FN(load)(n + p - j), l->inputs - p);
            }
        }
    }
}

static void FN(copy_gradients)(const fnn_layer *l) {
    for (ROWS_OF(l, i))
        memcpy(FN(input_gradient_of)(l, i), FN(gradient_of)(l, i),
               (size_t)l->inputs * sizeof(REAL));
}

static const fnn_layer_steps FN(gaussian_noise_steps) = {
    .name = "gaussian_noise", .options = "stddev", .forward = FN(gaussian_noise),
    .input_gradient = FN(copy_gradients), .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS,
};

/* What row i of the input is multiplied by. */
INLINE REAL *FN(factors_of)(const fnn_layer *l, int64_t i) { return (REAL *)l->room + i * l->inputs; }
static int64_t FN(factors_of_row)(const fnn_layer *l) { return l->inputs; }

static void FN(times_factors)(const fnn_layer *l) {
    for (ROWS_OF(l, i)) {
        const REAL *factors = FN(factors_of)(l, i), *g = FN(gradient_of)(l, i);
        REAL *out = FN(input_gradient_of)(l, i);
        for (VECTORS(l->inputs, j)) {
            const int64_t left = l->inputs - j;
            FN(store_columns)(out + j, FN(load_columns)(factors + j, left) *
                                           FN(load_columns)(g + j, left), left);
        }
    }
}

/* Gaussian dropout: y = x (1 + sqrt(rate / (1 - rate)) n). Options: rate. */

static void FN(gaussian_dropout_row)(const fnn_layer *l, int64_t i) {
    const REAL deviation = (REAL)sqrt(l->options[0] / (1 - l->options[0]));
    const REAL *x = FN(x_of)(l, i);
    REAL *y = FN(y_of)(l, i), *factors = FN(factors_of)(l, i), n[NOISE_COLUMNS];
    for (BLOCKS_OF(l, j)) {
        FN(normals)(l, i, j, n);
        for (VECTORS_IN_BLOCK(l, j, p)) {
            const int64_t left = l->inputs - p;
            const vec factor = 1 + deviation * FN(load)(n + p - j);
            FN(store_columns)(factors + p, factor, left);
            FN(store_columns)(y + p, FN(load_columns)(x + p, left) * factor, left);
        }
    }
}

static void FN(gaussian_dropout)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    for (ROWS_OF(l, i)) FN(gaussian_dropout_row)(l, i);
}

static const fnn_layer_steps FN(gaussian_dropout_steps) = {
    .name = "gaussian_dropout", .options = "rate", .forward = FN(gaussian_dropout),
    .input_gradient = FN(times_factors), .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS,
    .room_of_row = FN(factors_of_row),
};

/* Alpha dropout: y = a x + b, where x is kept, else a d + b, with d the negative saturation of selu
 * and a, b such that mean and variance stay. Options: rate. */

#define SELU_SATURATION (-1.7580993408473766)

static void FN(alpha_dropout_row)(const fnn_layer *l, int64_t i) {
    const double rate = l->options[0];
    const REAL scale =
        (REAL)(1 / sqrt((1 - rate) * (1 + rate * SELU_SATURATION * SELU_SATURATION)));
    const REAL offset = scale * (REAL)(-SELU_SATURATION * rate);
    const uint32_t threshold = FN(threshold)(rate);
    const REAL *x = FN(x_of)(l, i);
    REAL *y = FN(y_of)(l, i), *factors = FN(factors_of)(l, i);
    uint32_t words[NOISE_COLUMNS];
    INT kept[NOISE_COLUMNS];
    for (BLOCKS_OF(l, j)) {
        FN(random_words)(l->seed, l->step, l->first_row + i, j, words);
        FN(choose)(words, threshold, kept);
        for (VECTORS_IN_BLOCK(l, j, p)) {
            const int64_t left = l->inputs - p;
            const ivec lanes = FN(load_lanes)(kept + p - j);
            const vec v = FN(select)(lanes, FN(load_columns)(x + p, left),
                                     FN(splat)((REAL)SELU_SATURATION));
            FN(store_columns)(factors + p, FN(where)(lanes, FN(splat)(scale)), left);
            FN(store_columns)(y + p, scale * v + offset, left);
        }
    }
}

static void FN(alpha_dropout)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    for (ROWS_OF(l, i)) FN(alpha_dropout_row)(l, i);
}

static const fnn_layer_steps FN(alpha_dropout_steps) = {
    .name = "alpha_dropout", .options = "rate", .forward = FN(alpha_dropout),
    .input_gradient = FN(times_factors), .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS,
    .room_of_row = FN(factors_of_row),
};
