/* Noise of training: Gaussian noise, Gaussian dropout, alpha dropout.
 *
 * As with dropout, the noise is a function of seed, step, row and column: backward draws it again,
 * and it does not depend on threads. Rows are worked on in blocks of NOISE_COLUMNS. */

#define NOISE_COLUMNS (4 * DROPOUT_GROUPS)

/* Random words for columns j to j + NOISE_COLUMNS of a row: column j + 4 g + w has words[w][g]. */
INLINE void FN(words_of)(const fnn_layer *l, int64_t i, int64_t j,
                         uint32_t words[4][DROPOUT_GROUPS]) {
    for (int group = 0; group < DROPOUT_GROUPS; group++) {
        words[0][group] = (uint32_t)(j / 4 + group);
        words[1][group] = (uint32_t)(l->first_row + i);
        words[2][group] = (uint32_t)l->step;
        words[3][group] = (uint32_t)(l->step >> 32);
    }
    FN(philox)(words, l->seed);
}

/* cos and sin of 2 pi u for 0 <= u < 1, by the nearest quarter turn and Taylor's series. */
INLINE void FN(turn)(vec u, vec *cosine, vec *sine) {
    static const REAL even[] = {1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800,
                                1.0 / 479001600, -1.0 / 87178291200.0};
    static const REAL odd[] = {1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                               1.0 / 6227020800.0, -1.0 / 1307674368000.0};
    const vec quarter = (4 * u + ROUND_MAGIC) - ROUND_MAGIC; /* 0 to 4 */
    const vec angle = (4 * u - quarter) * (REAL)1.5707963267948966, square = angle * angle;
    const vec c = FN(polynomial)(even, COUNT(even), square);
    const vec s = angle * FN(polynomial)(odd, COUNT(odd), square);
    const ivec crosswise = (quarter == FN(splat)(1)) | (quarter == FN(splat)(3));
    const ivec c_negative = (quarter == FN(splat)(1)) | (quarter == FN(splat)(2));
    const ivec s_negative = (quarter == FN(splat)(2)) | (quarter == FN(splat)(3));
    *cosine = FN(select)(crosswise, s, c);
    *sine = FN(select)(crosswise, c, s);
    *cosine = FN(select)(c_negative, -*cosine, *cosine);
    *sine = FN(select)(s_negative, -*sine, *sine);
}

/* Normal variates for NOISE_COLUMNS columns, two of each two words' upper 24 bits: G. E. P. Box and
 * M. E. Muller, "A note on the generation of random normal deviates" (1958). */
INLINE void FN(normals)(uint32_t words[4][DROPOUT_GROUPS], REAL out[NOISE_COLUMNS]) {
    REAL radius[DROPOUT_GROUPS], turns[DROPOUT_GROUPS], first[DROPOUT_GROUPS],
        second[DROPOUT_GROUPS];
    for (int pair = 0; pair < 4; pair += 2) {
        for (int g = 0; g < DROPOUT_GROUPS; g++) {
            radius[g] = (REAL)((words[pair][g] >> 8) + 1) * (REAL)(1.0 / 16777216);
            turns[g] = (REAL)(words[pair + 1][g] >> 8) * (REAL)(1.0 / 16777216);
        }
        for (int g = 0; g < DROPOUT_GROUPS; g += LANES) {
            vec c, s;
            FN(turn)(FN(load)(turns + g), &c, &s);
            vec r = -2 * FN(log)(FN(load)(radius + g));
            UNROLL
            for (int lane = 0; lane < LANES; lane++) r[lane] = REAL_SQRT(r[lane]);
            FN(store)(first + g, r * c);
            FN(store)(second + g, r * s);
        }
        for (int g = 0; g < DROPOUT_GROUPS; g++) {
            out[4 * g + pair] = first[g];
            out[4 * g + pair + 1] = second[g];
        }
    }
}

INLINE int64_t FN(noise_width)(const fnn_layer *l, int64_t j) {
    return l->inputs - j < NOISE_COLUMNS ? l->inputs - j : NOISE_COLUMNS;
}

/* Gaussian noise: y = x + stddev n. Options: stddev. */

static void FN(gaussian_noise)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    const REAL deviation = (REAL)l->options[0];
    uint32_t words[4][DROPOUT_GROUPS];
    REAL n[NOISE_COLUMNS];
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i);
        REAL *y = FN(y_of)(l, i);
        for (int64_t j = 0; j < l->inputs; j += NOISE_COLUMNS) {
            FN(words_of)(l, i, j, words);
            FN(normals)(words, n);
            for (int64_t p = 0; p < FN(noise_width)(l, j); p++) y[j + p] = x[j + p] + deviation * n[p];
        }
    }
}

static void FN(copy_gradients)(const fnn_layer *l) {
    for (ROWS_OF(l, i))
        memcpy(FN(input_gradient_of)(l, i), FN(gradient_of)(l, i),
               (size_t)l->inputs * sizeof(REAL));
}

#define GAUSSIAN_NOISE_STEPS                                                                     \
    {.forward = FN(gaussian_noise), .input_gradient = FN(copy_gradients),                        \
     .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS}

/* Gaussian dropout: y = x (1 + sqrt(rate / (1 - rate)) n). Options: rate. */

INLINE void FN(gaussian_factors)(const fnn_layer *l, int64_t i, const REAL *x, REAL *y) {
    const REAL deviation = (REAL)sqrt(l->options[0] / (1 - l->options[0]));
    uint32_t words[4][DROPOUT_GROUPS];
    REAL n[NOISE_COLUMNS];
    for (int64_t j = 0; j < l->inputs; j += NOISE_COLUMNS) {
        FN(words_of)(l, i, j, words);
        FN(normals)(words, n);
        for (int64_t p = 0; p < FN(noise_width)(l, j); p++)
            y[j + p] = x[j + p] * (1 + deviation * n[p]);
    }
}

static void FN(gaussian_dropout)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    for (ROWS_OF(l, i)) FN(gaussian_factors)(l, i, FN(x_of)(l, i), FN(y_of)(l, i));
}

static void FN(gaussian_dropout_input_gradient)(const fnn_layer *l) {
    for (ROWS_OF(l, i))
        FN(gaussian_factors)(l, i, FN(gradient_of)(l, i), FN(input_gradient_of)(l, i));
}

#define GAUSSIAN_DROPOUT_STEPS                                                                   \
    {.forward = FN(gaussian_dropout), .input_gradient = FN(gaussian_dropout_input_gradient),     \
     .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS}

/* Alpha dropout: y = a x + b, where x is kept, else a d + b, with d the negative saturation of selu
 * and a, b such that mean and variance stay. Options: rate. */

#define SELU_SATURATION (-1.7580993408473766)

INLINE void FN(alpha_row)(const fnn_layer *l, int64_t i, const REAL *x, REAL *y, REAL dropped,
                          REAL offset) {
    const double rate = l->options[0];
    const REAL scale =
        (REAL)(1 / sqrt((1 - rate) * (1 + rate * SELU_SATURATION * SELU_SATURATION)));
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    uint32_t words[4][DROPOUT_GROUPS];
    for (int64_t j = 0; j < l->inputs; j += NOISE_COLUMNS) {
        FN(words_of)(l, i, j, words);
        for (int64_t p = 0; p < FN(noise_width)(l, j); p++) {
            const REAL kept = words[p % 4][p / 4] >= threshold ? x[j + p] : dropped;
            y[j + p] = scale * kept + scale * offset;
        }
    }
}

static void FN(alpha_dropout)(const fnn_layer *l) {
    if (!l->training) {
        FN(copy_rows)(l);
        return;
    }
    const REAL offset = (REAL)(-SELU_SATURATION * l->options[0]);
    for (ROWS_OF(l, i))
        FN(alpha_row)(l, i, FN(x_of)(l, i), FN(y_of)(l, i), (REAL)SELU_SATURATION, offset);
}

static void FN(alpha_dropout_input_gradient)(const fnn_layer *l) {
    for (ROWS_OF(l, i))
        FN(alpha_row)(l, i, FN(gradient_of)(l, i), FN(input_gradient_of)(l, i), 0, 0);
}

#define ALPHA_DROPOUT_STEPS                                                                      \
    {.forward = FN(alpha_dropout), .input_gradient = FN(alpha_dropout_input_gradient),           \
     .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS}
