/* Normalisations: of rows (layer, root mean square, unit length), and of columns (batch, and by a
 * mean and variance that are given). */

/* Of rows: y = (x - mean) r scale + offset.
 *
 * Layer:  mean of the row, r = 1 / sqrt(variance + epsilon); options: epsilon; weights: scale,
 *         offset.
 * RMS:    mean 0, r = 1 / sqrt(mean of squares + epsilon); options: epsilon; weights: scale.
 * Unit:   mean 0, r = 1 / sqrt(sum of squares), at most UNIT_LIMIT; no options, no weights.
 *
 * Room: mean and r of each row. */

#define UNIT_LIMIT 1e12

typedef enum { FN(LAYER), FN(RMS), FN(UNIT) } FN(row_norm);

INLINE vec FN(weight_from)(const fnn_layer *l, int weight, int64_t j, int64_t n, REAL otherwise) {
    const REAL *w = FN(weight)(l, weight);
    return w ? FN(load_columns)(w + j, n) : FN(splat)(otherwise);
}

/* v without the lanes that have no column. */
INLINE vec FN(keep_columns)(int64_t columns, vec v) {
    return columns >= LANES ? v : FN(keep_lanes)(columns, v);
}

INLINE REAL FN(mean_of)(const REAL *x, int64_t columns) {
    vec sum = {0};
    for (VECTORS(columns, j)) sum += FN(load_columns)(x + j, columns - j);
    return FN(sum)(sum) / (REAL)columns;
}

INLINE REAL FN(squares_about)(const REAL *x, int64_t columns, REAL centre) {
    vec sum = {0};
    for (VECTORS(columns, j)) {
        const vec d = FN(keep_columns)(columns - j, FN(load_columns)(x + j, columns - j) - centre);
        sum += d * d;
    }
    return FN(sum)(sum);
}

INLINE REAL FN(row_factor)(const fnn_layer *l, const FN(row_norm) norm, const REAL *x, REAL mean) {
    const REAL squares = FN(squares_about)(x, l->inputs, mean);
    if (norm != FN(UNIT))
        return 1 / REAL_SQRT(squares / (REAL)l->inputs + (REAL)l->options[0]);
    const REAL r = 1 / REAL_SQRT(squares);
    return r > (REAL)UNIT_LIMIT ? (REAL)UNIT_LIMIT : r;
}

INLINE void FN(normalise_rows)(const fnn_layer *l, const FN(row_norm) norm) {
    REAL *room = l->room;
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i);
        REAL *y = FN(y_of)(l, i);
        const REAL mean = norm == FN(LAYER) ? FN(mean_of)(x, l->inputs) : 0;
        const REAL r = FN(row_factor)(l, norm, x, mean);
        room[2 * i] = mean;
        room[2 * i + 1] = r;
        for (VECTORS(l->inputs, j)) {
            const int64_t n = l->inputs - j;
            vec v = (FN(load_columns)(x + j, n) - mean) * r;
            if (norm != FN(UNIT)) v *= FN(weight_from)(l, 0, j, n, 1);
            if (norm == FN(LAYER)) v += FN(weight_from)(l, 1, j, n, 0);
            FN(store_columns)(y + j, v, n);
        }
    }
}

/* The normalised x of a row, from column j on. */
INLINE vec FN(normalised)(const fnn_layer *l, int64_t i, int64_t j, int64_t n) {
    const REAL *room = l->room;
    return (FN(load_columns)(FN(x_of)(l, i) + j, n) - room[2 * i]) * room[2 * i + 1];
}

INLINE void FN(row_norm_weight_gradients)(const fnn_layer *l, const FN(row_norm) norm) {
    for (VECTORS_OF(l, j)) {
        const int64_t n = FN(columns_from)(l, j);
        vec scale = {0}, offset = {0};
        for (int64_t i = 0; i < l->rows; i++) {
            const vec g = FN(load_columns)(FN(gradient_of)(l, i) + j, n);
            scale += g * FN(normalised)(l, i, j, n);
            offset += g;
        }
        FN(give)(l, 0, j, scale);
        if (norm == FN(LAYER)) FN(give)(l, 1, j, offset);
    }
}

/* r (g - mean(g) - z mean(g z)), with g the gradient times the scale and z the normalised x; for
 * unit length sums in place of means, and nothing but r g where r is at its limit. */
INLINE void FN(row_norm_input_gradient)(const fnn_layer *l, const FN(row_norm) norm) {
    for (ROWS_OF(l, i)) {
        const REAL *gradient = FN(gradient_of)(l, i), r = ((const REAL *)l->room)[2 * i + 1];
        REAL *out = FN(input_gradient_of)(l, i);
        vec sum = {0}, product = {0};
        for (VECTORS(l->inputs, j)) {
            const int64_t n = l->inputs - j;
            vec g = FN(load_columns)(gradient + j, n);
            if (norm != FN(UNIT)) g *= FN(weight_from)(l, 0, j, n, 1);
            sum += g;
            product += FN(keep_columns)(n, g * FN(normalised)(l, i, j, n));
        }
        const REAL count = norm == FN(UNIT) ? 1 : (REAL)l->inputs;
        const REAL mean = norm == FN(LAYER) ? FN(sum)(sum) / count : 0;
        const int limited = norm == FN(UNIT) && r == (REAL)UNIT_LIMIT;
        const REAL slope = limited ? 0 : FN(sum)(product) / count;
        for (VECTORS(l->inputs, j)) {
            const int64_t n = l->inputs - j;
            vec g = FN(load_columns)(gradient + j, n);
            if (norm != FN(UNIT)) g *= FN(weight_from)(l, 0, j, n, 1);
            FN(store_columns)(out + j, r * (g - mean - slope * FN(normalised)(l, i, j, n)), n);
        }
    }
}

static int64_t FN(two)(const fnn_layer *l) {
    (void)l;
    return 2;
}

static void FN(layer_norm)(const fnn_layer *l) { FN(normalise_rows)(l, FN(LAYER)); }
static void FN(layer_norm_weights)(const fnn_layer *l) {
    FN(row_norm_weight_gradients)(l, FN(LAYER));
}
static void FN(layer_norm_input)(const fnn_layer *l) { FN(row_norm_input_gradient)(l, FN(LAYER)); }
static void FN(rms_norm)(const fnn_layer *l) { FN(normalise_rows)(l, FN(RMS)); }
static void FN(rms_norm_weights)(const fnn_layer *l) { FN(row_norm_weight_gradients)(l, FN(RMS)); }
static void FN(rms_norm_input)(const fnn_layer *l) { FN(row_norm_input_gradient)(l, FN(RMS)); }
static void FN(unit_norm)(const fnn_layer *l) { FN(normalise_rows)(l, FN(UNIT)); }
static void FN(unit_norm_input)(const fnn_layer *l) { FN(row_norm_input_gradient)(l, FN(UNIT)); }

static const fnn_layer_steps FN(layer_normalization_steps) = {
    .name = "layer_normalization", .options = "epsilon", .forward = FN(layer_norm),
    .weight_gradients = FN(layer_norm_weights), .input_gradient = FN(layer_norm_input),
    .forward_by = FNN_BY_ROWS, .weights_by = FNN_BY_COLUMNS, .input_by = FNN_BY_ROWS,
    .room_of_row = FN(two),
};
static const fnn_layer_steps FN(rms_normalization_steps) = {
    .name = "rms_normalization", .options = "epsilon", .forward = FN(rms_norm),
    .weight_gradients = FN(rms_norm_weights), .input_gradient = FN(rms_norm_input),
    .forward_by = FNN_BY_ROWS, .weights_by = FNN_BY_COLUMNS, .input_by = FNN_BY_ROWS,
    .room_of_row = FN(two),
};
static const fnn_layer_steps FN(unit_normalization_steps) = {
    .name = "unit_normalization", .forward = FN(unit_norm), .input_gradient = FN(unit_norm_input),
    .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS, .room_of_row = FN(two),
};

/* Of columns: y = (x - mean) r scale + offset.
 *
 * Batch: r = 1 / sqrt(variance + epsilon), with mean and variance those of the batch's column in
 *        training and the moving ones otherwise. Options: momentum, epsilon. Weights: scale,
 *        offset, moving mean, moving variance. Room: mean, variance, r, the gradient's sum and its
 *        product with the normalised x, of each column. */

#define COLUMN_SUMS 5

INLINE REAL *FN(column_room)(const fnn_layer *l, int number) {
    return (REAL *)l->room + number * l->inputs;
}

static int64_t FN(batch_norm_room)(const fnn_layer *l) { return COLUMN_SUMS * l->inputs; }

INLINE void FN(find_moments)(const fnn_layer *l, int64_t j, int64_t n, vec *mean, vec *variance) {
    vec sum = {0}, squares = {0};
    for (int64_t i = 0; i < l->rows; i++) sum += FN(load_columns)(FN(x_of)(l, i) + j, n);
    *mean = sum / (REAL)l->rows;
    for (int64_t i = 0; i < l->rows; i++) {
        const vec d = FN(load_columns)(FN(x_of)(l, i) + j, n) - *mean;
        squares += d * d;
    }
    *variance = squares / (REAL)l->rows;
}

/* Mean, variance and r of n columns from j on, kept for the steps to come. */
INLINE FN(line) FN(batch_norm_line)(const fnn_layer *l, int64_t j, int64_t n) {
    vec mean, variance;
    if (l->training) {
        FN(find_moments)(l, j, n, &mean, &variance);
    } else {
        mean = FN(load_columns)(FN(weight)(l, 2) + j, n);
        variance = FN(load_columns)(FN(weight)(l, 3) + j, n);
    }
    const vec r = 1 / FN(sqrt)(variance + (REAL)l->options[1]);
    FN(store_columns)(FN(column_room)(l, 0) + j, mean, n);
    FN(store_columns)(FN(column_room)(l, 1) + j, variance, n);
    FN(store_columns)(FN(column_room)(l, 2) + j, r, n);
    const vec scale = r * FN(weight_from)(l, 0, j, n, 1);
    return (FN(line)){mean, scale, FN(weight_from)(l, 1, j, n, 0)};
}

static void FN(batch_norm)(const fnn_layer *l) {
    for (BLOCKS_OF_COLUMNS(l, j)) {
        FN(line) line[BLOCK_VECTORS];
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = j + v * LANES;
            line[v] = FN(batch_norm_line)(l, p, FN(columns_from)(l, p));
        }
        FN(move_columns)(l, j, line, l->x, l->x_row, l->y, l->y_row);
    }
}

static void FN(batch_norm_weights)(const fnn_layer *l) {
    for (VECTORS_OF(l, j)) {
        const int64_t n = FN(columns_from)(l, j);
        const vec mean = FN(load_columns)(FN(column_room)(l, 0) + j, n);
        const vec r = FN(load_columns)(FN(column_room)(l, 2) + j, n);
        vec sum = {0}, product = {0};
        for (int64_t i = 0; i < l->rows; i++) {
            const vec g = FN(load_columns)(FN(gradient_of)(l, i) + j, n);
            sum += g;
            product += g * (FN(load_columns)(FN(x_of)(l, i) + j, n) - mean);
        }
        product *= r;
        FN(store_columns)(FN(column_room)(l, 3) + j, sum, n);
        FN(store_columns)(FN(column_room)(l, 4) + j, product, n);
        FN(give)(l, 0, j, product);
        FN(give)(l, 1, j, sum);
    }
}

/* In training, mean and variance depend on x too: their part is taken off. */
static void FN(batch_norm_input)(const fnn_layer *l) {
    const REAL share = l->training ? 1 / (REAL)l->rows : 0;
    for (VECTORS_OF(l, j)) {
        const int64_t n = FN(columns_from)(l, j);
        const vec mean = FN(load_columns)(FN(column_room)(l, 0) + j, n);
        const vec r = FN(load_columns)(FN(column_room)(l, 2) + j, n);
        const vec sum = share * FN(load_columns)(FN(column_room)(l, 3) + j, n);
        const vec slope = share * r * FN(load_columns)(FN(column_room)(l, 4) + j, n);
        const vec scale = r * FN(weight_from)(l, 0, j, n, 1);
        for (int64_t i = 0; i < l->rows; i++) {
            const vec g = FN(load_columns)(FN(gradient_of)(l, i) + j, n);
            const vec d = FN(load_columns)(FN(x_of)(l, i) + j, n) - mean;
            FN(store_columns)(FN(input_gradient_of)(l, i) + j, scale * (g - sum - slope * d), n);
        }
    }
}

INLINE void FN(follow)(const fnn_layer *l, int weight, const REAL *now) {
    const REAL momentum = (REAL)l->options[0];
    REAL *moving = (REAL *)l->weights[weight];
    for (int64_t j = 0; j < l->inputs; j++)
        moving[j] = momentum * moving[j] + (1 - momentum) * now[j];
}

static void FN(batch_norm_renew)(const fnn_layer *l) {
    if (!l->training) return;
    FN(follow)(l, 2, FN(column_room)(l, 0));
    FN(follow)(l, 3, FN(column_room)(l, 1));
}

static const fnn_layer_steps FN(batch_normalization_steps) = {
    .name = "batch_normalization", .options = "momentum epsilon", .forward = FN(batch_norm),
    .weight_gradients = FN(batch_norm_weights), .input_gradient = FN(batch_norm_input),
    .renew = FN(batch_norm_renew), .forward_by = FNN_BY_COLUMNS, .weights_by = FNN_BY_COLUMNS,
    .input_by = FNN_BY_COLUMNS, .room_besides = FN(batch_norm_room),
};

/* By a given mean and variance: r = 1 / max(sqrt(variance), epsilon). Options: epsilon. Weights:
 * mean, variance. */

INLINE vec FN(given_factor)(const fnn_layer *l, int64_t j, int64_t n) {
    const vec variance = FN(load_columns)(FN(weight)(l, 1) + j, n);
    return 1 / FN(at_least)(FN(sqrt)(variance), (REAL)l->options[0]);
}

static void FN(normalization)(const fnn_layer *l) {
    for (BLOCKS_OF_COLUMNS(l, j)) {
        FN(line) line[BLOCK_VECTORS];
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = j + v * LANES, n = FN(columns_from)(l, p);
            const vec mean = FN(load_columns)(FN(weight)(l, 0) + p, n);
            line[v] = (FN(line)){.centre = mean, .scale = FN(given_factor)(l, p, n)};
        }
        FN(move_columns)(l, j, line, l->x, l->x_row, l->y, l->y_row);
    }
}

static void FN(normalization_input)(const fnn_layer *l) {
    for (BLOCKS_OF_COLUMNS(l, j)) {
        FN(line) line[BLOCK_VECTORS];
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = j + v * LANES;
            line[v] = (FN(line)){.scale = FN(given_factor)(l, p, FN(columns_from)(l, p))};
        }
        FN(move_columns)(l, j, line, l->gradient, l->gradient_row, l->input_gradient,
                         l->input_gradient_row);
    }
}

static const fnn_layer_steps FN(normalization_steps) = {
    .name = "normalization", .options = "epsilon", .forward = FN(normalization),
    .input_gradient = FN(normalization_input), .forward_by = FNN_BY_COLUMNS,
    .input_by = FNN_BY_COLUMNS,
};
