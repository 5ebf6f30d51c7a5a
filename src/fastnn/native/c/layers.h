/* Layers that work on each row, or each element, by itself: PReLU, maxout, embeddings, rescaling,
 * penalties on activities.
 *
 * A layer is a few steps (`fnn_layer_steps`); each reads the fields of `fnn_layer` that it needs.
 * Those shared out by rows work on rows `first` to `first + count`, those by columns likewise on
 * columns. */

#define ROWS_OF(l, i) int64_t i = (l)->first, i##_end = (l)->first + (l)->count; i < i##_end; i++
#define VECTORS_OF(l, j) int64_t j = (l)->first; j < (l)->first + (l)->count; j += LANES
#define VECTORS(columns, j) int64_t j = 0; j < (columns); j += LANES

INLINE const REAL *FN(weight)(const fnn_layer *l, int i) { return l->weights[i]; }
INLINE const REAL *FN(x_of)(const fnn_layer *l, int64_t i) {
    return (const REAL *)l->x + i * l->x_row;
}
INLINE REAL *FN(y_of)(const fnn_layer *l, int64_t i) { return (REAL *)l->y + i * l->y_row; }
INLINE const REAL *FN(gradient_of)(const fnn_layer *l, int64_t i) {
    return (const REAL *)l->gradient + i * l->gradient_row;
}
INLINE REAL *FN(input_gradient_of)(const fnn_layer *l, int64_t i) {
    return (REAL *)l->input_gradient + i * l->input_gradient_row;
}
/* The columns of this step from j on, of which a vector may hold the first few. */
INLINE int64_t FN(columns_from)(const fnn_layer *l, int64_t j) { return l->first + l->count - j; }

/* Store the gradient of a weight's columns from j on, or add it. */
INLINE void FN(give)(const fnn_layer *l, int weight, int64_t j, vec sum) {
    REAL *out = (REAL *)l->weight_gradients[weight];
    if (!out) return;
    const int64_t columns = FN(columns_from)(l, j);
    if (l->add) sum += FN(load_columns)(out + j, columns);
    FN(store_columns)(out + j, sum, columns);
}

/* For columns that are multiplied and added to, each by numbers of its own: y = (x - centre) scale +
 * offset, for as many columns at a time as the first-level cache has room for their numbers. One
 * vector of columns at a time comes to each page of memory once for every vector: for 128 x 1024
 * elements it took 66 us, and in blocks of 64 vectors it takes 18 us (AVX-512, Zen 4). */
#define BLOCK_VECTORS 64
#define BLOCKS_OF_COLUMNS(l, j)                                                                  \
    int64_t j = (l)->first; j < (l)->first + (l)->count; j += BLOCK_VECTORS * LANES
#define VECTORS_OF_BLOCK(l, j, v)                                                                \
    int v = 0; v < BLOCK_VECTORS && FN(columns_from)(l, (j) + v * LANES) > 0; v++

typedef struct {
    vec centre, scale, offset;
} FN(line);

static void FN(move_columns)(const fnn_layer *l, int64_t j, const FN(line) line[BLOCK_VECTORS],
                             const void *x_, int64_t x_row, void *y_, int64_t y_row) {
    const REAL *x = (const REAL *)x_ + j;
    REAL *y = (REAL *)y_ + j;
    const int64_t columns = FN(columns_from)(l, j);
    for (int64_t i = 0; i < l->rows; i++, x += x_row, y += y_row)
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = v * LANES, n = columns - p;
            const vec d = FN(load_columns)(x + p, n) - line[v].centre;
            FN(store_columns)(y + p, d * line[v].scale + line[v].offset, n);
        }
}

static void FN(add_matrices)(int64_t rows, int64_t columns, const void *a_, int64_t a_row,
                             const void *b_, int64_t b_row, void *y_, int64_t y_row) {
    const REAL *a = a_, *b = b_;
    REAL *y = y_;
    for (int64_t i = 0; i < rows; i++, a += a_row, b += b_row, y += y_row)
        for (VECTORS(columns, j))
            FN(store_columns)(y + j, FN(load_columns)(a + j, columns - j) +
                                         FN(load_columns)(b + j, columns - j), columns - j);
}

/* PReLU: y = x where x > 0, slope x elsewhere. Weights: slope, one for each column. */

static void FN(prelu)(const fnn_layer *l) {
    const REAL *slope = FN(weight)(l, 0);
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i);
        REAL *y = FN(y_of)(l, i);
        for (VECTORS(l->inputs, j)) {
            const int64_t n = l->inputs - j;
            const vec v = FN(load_columns)(x + j, n), s = FN(load_columns)(slope + j, n);
            FN(store_columns)(y + j, FN(select)(v > (vec){0}, v, s * v), n);
        }
    }
}

static void FN(prelu_weight_gradients)(const fnn_layer *l) {
    for (VECTORS_OF(l, j)) {
        const int64_t n = FN(columns_from)(l, j);
        vec sum = {0};
        for (int64_t i = 0; i < l->rows; i++) {
            const vec x = FN(load_columns)(FN(x_of)(l, i) + j, n);
            const vec g = FN(load_columns)(FN(gradient_of)(l, i) + j, n);
            sum += FN(select)(x > (vec){0}, (vec){0}, g * x);
        }
        FN(give)(l, 0, j, sum);
    }
}

static void FN(prelu_input_gradient)(const fnn_layer *l) {
    const REAL *slope = FN(weight)(l, 0);
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i), *g = FN(gradient_of)(l, i);
        REAL *out = FN(input_gradient_of)(l, i);
        for (VECTORS(l->inputs, j)) {
            const int64_t n = l->inputs - j;
            const vec v = FN(load_columns)(g + j, n), s = FN(load_columns)(slope + j, n);
            const ivec positive = FN(load_columns)(x + j, n) > (vec){0};
            FN(store_columns)(out + j, FN(select)(positive, v, s * v), n);
        }
    }
}

static const fnn_layer_steps FN(prelu_steps) = {
    .name = "prelu", .forward = FN(prelu), .weight_gradients = FN(prelu_weight_gradients),
    .input_gradient = FN(prelu_input_gradient), .forward_by = FNN_BY_ROWS,
    .weights_by = FNN_BY_COLUMNS, .input_by = FNN_BY_ROWS,
};

/* Maxout: column u of y is the largest of columns u, u + outputs, u + 2 outputs, ... of x. The
 * gradient goes to the first of the largest. */

static void FN(maxout)(const fnn_layer *l) {
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i);
        REAL *y = FN(y_of)(l, i);
        for (VECTORS(l->outputs, j)) {
            const int64_t n = l->outputs - j;
            vec largest = FN(load_columns)(x + j, n);
            for (int64_t piece = l->outputs; piece < l->inputs; piece += l->outputs) {
                const vec v = FN(load_columns)(x + piece + j, n);
                largest = FN(select)((v > largest) | (v != v), v, largest);
            }
            FN(store_columns)(y + j, largest, n);
        }
    }
}

static void FN(maxout_input_gradient)(const fnn_layer *l) {
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i), *y = FN(y_of)(l, i), *g = FN(gradient_of)(l, i);
        REAL *out = FN(input_gradient_of)(l, i);
        for (VECTORS(l->outputs, j)) {
            const int64_t n = l->outputs - j;
            const vec largest = FN(load_columns)(y + j, n);
            vec left = FN(load_columns)(g + j, n);
            for (int64_t piece = 0; piece < l->inputs; piece += l->outputs) {
                const ivec chosen = FN(load_columns)(x + piece + j, n) == largest;
                FN(store_columns)(out + piece + j, FN(where)(chosen, left), n);
                left = FN(where)(~chosen, left);
            }
        }
    }
}

static const fnn_layer_steps FN(maxout_steps) = {
    .name = "maxout", .options = "pieces", .forward = FN(maxout),
    .input_gradient = FN(maxout_input_gradient), .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS,
};

/* Embedding: each column of x is either passed on, or holds row numbers of a table, and that row
 * takes its place. Options, for each column: number of its table or -1, rows and columns of it
 * (columns 1 without a table). Weights: the tables. A number beyond a table gives NaN, and has no
 * gradient. */

#define COLUMN_OPTIONS 3

typedef struct {
    int table; /* -1: none */
    int64_t rows, width;
} FN(column);

INLINE FN(column) FN(column_of)(const fnn_layer *l, int64_t j) {
    const double *o = l->options + COLUMN_OPTIONS * j;
    return (FN(column)){(int)o[0], (int64_t)o[1], (int64_t)o[2]};
}

/* The row of the table that x stands for; -1 if there is none. */
INLINE int64_t FN(row_number)(FN(column) column, REAL x) {
    return x >= 0 && x < (REAL)column.rows ? (int64_t)x : -1;
}

INLINE int FN(find_row_numbers)(int64_t count, const REAL *x, int64_t step, REAL table_rows) {
    int wrong = 0;
    for (int64_t i = 0; i < count; i++) {
        const REAL v = x[i * step], from_zero = v > 0 ? v : 0;
        const INT row = (INT)(from_zero < table_rows ? from_zero : 0);
        wrong |= (REAL)row != v;
    }
    return !wrong;
}

static int FN(are_row_numbers)(int64_t count, const void *x, int64_t step, int64_t table_rows) {
    return step == 1 ? FN(find_row_numbers)(count, x, 1, (REAL)table_rows)
                     : FN(find_row_numbers)(count, x, step, (REAL)table_rows);
}

INLINE void FN(embed_column)(const fnn_layer *l, FN(column) column, int64_t j, int64_t offset) {
    const REAL *table = FN(weight)(l, column.table);
    for (ROWS_OF(l, i)) {
        const int64_t row = FN(row_number)(column, FN(x_of)(l, i)[j]);
        REAL *y = FN(y_of)(l, i) + offset;
        if (row >= 0)
            FN(copy_columns)(table + row * column.width, column.width, y);
        else
            for (int64_t p = 0; p < column.width; p++) y[p] = NAN;
    }
}

/* Column by column, so that what is known of one is looked up once. */
static void FN(embedding)(const fnn_layer *l) {
    int64_t offset = 0;
    for (int64_t j = 0; j < l->inputs; j++) {
        const FN(column) column = FN(column_of)(l, j);
        if (column.table >= 0)
            FN(embed_column)(l, column, j, offset);
        else
            for (ROWS_OF(l, i)) FN(y_of)(l, i)[offset] = FN(x_of)(l, i)[j];
        offset += column.width;
    }
}

INLINE void FN(add_to_seen_rows)(const fnn_layer *l, FN(column) column, int64_t j, int64_t offset) {
    REAL *out = (REAL *)l->weight_gradients[column.table];
    for (int64_t i = 0; out && i < l->rows; i++) {
        const int64_t row = FN(row_number)(column, FN(x_of)(l, i)[j]);
        if (row < 0) continue;
        const REAL *g = FN(gradient_of)(l, i) + offset;
        FN(add_rows_to)(column.width, g, 0, out + row * column.width, 1);
    }
}

/* Zero, but for the rows seen. Several columns may share a table. */
static void FN(embedding_weight_gradients)(const fnn_layer *l) {
    int64_t offset = 0;
    for (int64_t j = 0; !l->add && j < l->inputs; j++) {
        const FN(column) column = FN(column_of)(l, j);
        REAL *out = column.table < 0 ? NULL : (REAL *)l->weight_gradients[column.table];
        if (out) memset(out, 0, (size_t)(column.rows * column.width) * sizeof(REAL));
    }
    for (int64_t j = 0; j < l->inputs; j++) {
        const FN(column) column = FN(column_of)(l, j);
        if (column.table >= 0) FN(add_to_seen_rows)(l, column, j, offset);
        offset += column.width;
    }
}

static int64_t FN(embedded_row)(const fnn_layer *l, int64_t i, int64_t j, int *table) {
    const FN(column) column = FN(column_of)(l, j);
    *table = column.table;
    return FN(row_number)(column, FN(x_of)(l, i)[j]);
}

static void FN(embedding_input_gradient)(const fnn_layer *l) {
    for (ROWS_OF(l, i)) {
        const REAL *g = FN(gradient_of)(l, i);
        REAL *out = FN(input_gradient_of)(l, i);
        for (int64_t j = 0; j < l->inputs; j++) {
            const FN(column) column = FN(column_of)(l, j);
            out[j] = column.table < 0 ? *g : 0;
            g += column.width;
        }
    }
}

static const fnn_layer_steps FN(embedding_steps) = {
    .name = "embedding", .options = "columns", .forward = FN(embedding),
    .weight_gradients = FN(embedding_weight_gradients),
    .input_gradient = FN(embedding_input_gradient), .named_row = FN(embedded_row),
    .forward_by = FNN_BY_ROWS, .weights_by = FNN_WHOLE, .input_by = FNN_BY_ROWS,
};

/* Rescaling: y = scale x + offset. Options: the scales of all columns, then their offsets. */

INLINE vec FN(options_from)(const double *options, int64_t n) {
    vec v = {0};
    for (int64_t i = 0; i < LANES && i < n; i++) v[i] = (REAL)options[i];
    return v;
}

static void FN(rescaling)(const fnn_layer *l) {
    for (BLOCKS_OF_COLUMNS(l, j)) {
        FN(line) line[BLOCK_VECTORS];
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = j + v * LANES, n = FN(columns_from)(l, p);
            line[v].centre = (vec){0};
            line[v].scale = FN(options_from)(l->options + p, n);
            line[v].offset = FN(options_from)(l->options + l->inputs + p, n);
        }
        FN(move_columns)(l, j, line, l->x, l->x_row, l->y, l->y_row);
    }
}

static void FN(rescaling_input_gradient)(const fnn_layer *l) {
    for (BLOCKS_OF_COLUMNS(l, j)) {
        FN(line) line[BLOCK_VECTORS];
        for (VECTORS_OF_BLOCK(l, j, v)) {
            const int64_t p = j + v * LANES;
            line[v] = (FN(line)){.scale = FN(options_from)(l->options + p, FN(columns_from)(l, p))};
        }
        FN(move_columns)(l, j, line, l->gradient, l->gradient_row, l->input_gradient,
                         l->input_gradient_row);
    }
}

static const fnn_layer_steps FN(rescaling_steps) = {
    .name = "rescaling", .options = "scale offset", .forward = FN(rescaling),
    .input_gradient = FN(rescaling_input_gradient), .forward_by = FNN_BY_COLUMNS,
    .input_by = FNN_BY_COLUMNS,
};

/* Activity regularization: y = x, and a penalty l1 |x| + l2 x^2. Options: l1, l2. */

static void FN(copy_rows)(const fnn_layer *l) {
    for (ROWS_OF(l, i)) memcpy(FN(y_of)(l, i), FN(x_of)(l, i), (size_t)l->inputs * sizeof(REAL));
}

/* That of some columns of a row, few enough for sums in REAL. */
INLINE double FN(penalty_of)(const fnn_layer *l, int64_t columns, const REAL *x) {
    vec magnitudes = {0}, squares = {0};
    for (VECTORS(columns, j)) {
        const vec v = FN(load_columns)(x + j, columns - j);
        magnitudes += FN(abs)(v);
        squares += v * v;
    }
    const double penalty = l->options[0] != 0 ? l->options[0] * (double)FN(sum)(magnitudes) : 0;
    return l->options[1] != 0 ? penalty + l->options[1] * (double)FN(sum)(squares) : penalty;
}

static double FN(activity_penalty)(const fnn_layer *l) {
    const int64_t most = BLOCK_VECTORS * LANES;
    double penalty = 0;
    for (int64_t i = 0; i < l->rows; i++)
        for (int64_t j = 0; j < l->inputs; j += most) {
            const int64_t left = l->inputs - j;
            penalty += FN(penalty_of)(l, left < most ? left : most, FN(x_of)(l, i) + j);
        }
    return penalty;
}

static void FN(activity_input_gradient)(const fnn_layer *l) {
    const REAL l1 = (REAL)(l->scale * l->options[0]), l2 = (REAL)(l->scale * l->options[1] * 2);
    for (ROWS_OF(l, i)) {
        const REAL *x = FN(x_of)(l, i), *g = FN(gradient_of)(l, i);
        REAL *out = FN(input_gradient_of)(l, i);
        for (VECTORS(l->inputs, j)) {
            const vec v = FN(load_columns)(x + j, l->inputs - j);
            const vec sign = FN(where)(v != (vec){0}, FN(with_sign)(FN(splat)(l1), v));
            const vec slope = FN(load_columns)(g + j, l->inputs - j) + sign + l2 * v;
            FN(store_columns)(out + j, slope, l->inputs - j);
        }
    }
}

static const fnn_layer_steps FN(activity_regularization_steps) = {
    .name = "activity_regularization", .options = "l1 l2", .forward = FN(copy_rows),
    .penalty = FN(activity_penalty), .input_gradient = FN(activity_input_gradient),
    .forward_by = FNN_BY_ROWS, .input_by = FNN_BY_ROWS,
};
