/* Losses with their gradients, row by row in one pass, and the sums behind metrics.
 *
 * A row's value is the mean over its columns, or for the categorical kinds the sum. Everything
 * that needs a logarithm of a probability takes it from the logits where they are known. */

#define PROBABILITY_FLOOR ((REAL)1e-7)

typedef struct {
    const REAL *p;        /* predictions */
    const REAL *t;        /* targets, NULL for the sparse kind */
    int64_t label;        /* of the sparse kind */
    REAL *g;              /* gradient, or NULL */
    REAL *probabilities;  /* or NULL */
    int64_t columns;
    int64_t readable;     /* elements of p, and as many storable ones of probabilities */
    int64_t storable;     /* elements of g */
    REAL factor;          /* of the gradient */
    REAL delta;
    REAL target_scale, target_shift; /* label smoothing */
} FN(loss_row);

/* y, but NaN where x is. */
INLINE vec FN(nan_or)(vec x, vec y) { return FN(select)(x == x, y, x); }

/* Value and gradient of one element of the kinds that go column by column. */
INLINE vec FN(element_loss)(const fnn_loss kind, const int from_logits, const FN(loss_row) *r,
                            vec p, vec t, vec *g) {
    const vec zero = {0}, one = FN(splat)(1);
    switch (kind) {
    case FNN_MEAN_SQUARED_ERROR: {
        const vec e = p - t;
        *g = e + e;
        return e * e;
    }
    case FNN_MEAN_ABSOLUTE_ERROR: {
        const vec e = p - t;
        *g = FN(nan_or)(e, FN(select)(e == zero, zero, FN(with_sign)(one, e)));
        return FN(abs)(e);
    }
    case FNN_HUBER: {
        const vec e = p - t, size = FN(abs)(e), delta = FN(splat)(r->delta);
        const ivec inside = size <= delta;
        *g = FN(nan_or)(e, FN(select)(inside, e, FN(with_sign)(delta, e)));
        return FN(select)(inside, (REAL)0.5 * e * e, delta * (size - (REAL)0.5 * delta));
    }
    case FNN_HINGE: {
        const vec sign = FN(select)(t > zero, one, -one), margin = 1 - sign * p;
        *g = FN(nan_or)(p, FN(select)(margin > zero, -sign, zero));
        return FN(relu)(margin);
    }
    default: break;
    }
    /* Binary cross-entropy. */
    t = t * r->target_scale + r->target_shift;
    if (from_logits) {
        *g = FN(sigmoid)(p) - t;
        return FN(relu)(p) - p * t + FN(log1p)(FN(exp)(-FN(abs)(p)));
    }
    const vec q = FN(at_most)(FN(at_least)(p, PROBABILITY_FLOOR), 1 - PROBABILITY_FLOOR);
    *g = FN(nan_or)(p, FN(select)(q == p, (q - t) / (q * (1 - q)), zero));
    return -(t * FN(log)(q) + (1 - t) * FN(log)(1 - q));
}

INLINE REAL FN(columnwise_loss)(const fnn_loss kind, const int from_logits,
                                const FN(loss_row) *r) {
    const REAL factor = r->factor / (REAL)r->columns;
    vec sum = {0};
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        vec g;
        const vec value = FN(element_loss)(kind, from_logits, r, p, t, &g);
        sum += left >= LANES ? value : FN(keep_lanes)(left, value);
        if (r->g) FN(store_columns)(r->g + j, g * factor, left);
        if (from_logits && r->probabilities)
            FN(store_columns)(r->probabilities + j, FN(sigmoid)(p), left);
    }
    return FN(sum)(sum) / (REAL)r->columns;
}

/* The smoothed target of columns j onwards. */
INLINE vec FN(targets)(const FN(loss_row) *r, int64_t j) {
    return FN(load_columns)(r->t + j, r->columns - j) * r->target_scale + r->target_shift;
}

/* The loss of one row from its logits z is weight * log(total) - inner, with
 * total = sum exp(z - max), inner = sum t (z - max) and weight = sum t. The logarithms are taken
 * later, a vector of rows at a time. */
typedef struct {
    REAL total[LANES], inner[LANES], weight[LANES];
} FN(logit_rows);

/* Column sums of the targets and of their products with z - max. */
INLINE void FN(weigh_logits)(const FN(loss_row) *r, REAL largest, REAL *inner, REAL *weight) {
    vec sum = {0}, weights = {0};
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        vec t = FN(targets)(r, j);
        if (left < LANES) t = FN(keep_lanes)(left, t);
        weights += t;
        sum += t * (FN(load_columns)(r->p + j, left) - largest);
    }
    *inner = FN(sum)(sum);
    *weight = FN(sum)(weights);
}

/* A row of one vector at most, of which `storable` lanes can be written: as a whole if it may be,
 * for what a masked store has written has to go through the cache before it can be read. */
INLINE void FN(store_row)(REAL *p, vec v, int64_t columns, int64_t storable) {
    if (storable >= LANES)
        FN(store)(p, v);
    else
        FN(store_columns)(p, v, columns);
}

/* As categorical_from_logits, for row i of narrow ones, of which the exponentials are there. */
INLINE void FN(narrow_from_logits)(const FN(loss_row) *r, const FN(narrow_rows) *narrow,
                                   REAL inverse, FN(logit_rows) *rows, int64_t i) {
    REAL weight = 1;
    vec target;
    if (r->t) {
        FN(weigh_logits)(r, narrow->largest[i], &rows->inner[i], &weight);
        target = FN(keep_lanes)(r->columns, FN(targets)(r, 0));
    } else {
        rows->inner[i] = r->p[r->label] - narrow->largest[i];
        target = FN(where)(FN(lane)(r->label), FN(splat)(1));
    }
    const vec p = narrow->e[i] * inverse;
    rows->weight[i] = weight;
    if (r->probabilities) FN(store_row)(r->probabilities, p, r->columns, r->readable);
    if (r->g) FN(store_row)(r->g, (p * weight - target) * r->factor, r->columns, r->storable);
}

/* Fill place i of `rows`; write the gradient p weight - t with p = exp(z - max) / total. */
INLINE void FN(categorical_from_logits)(const FN(loss_row) *r, FN(logit_rows) *rows, int64_t i) {
    const REAL largest = FN(row_max)(r->p, r->columns);
    REAL weight = 1;
    rows->inner[i] = r->t ? 0 : r->p[r->label] - largest;
    if (r->t) FN(weigh_logits)(r, largest, &rows->inner[i], &weight);
    rows->weight[i] = weight;
    /* The exponentials wait where their multiples will be; the logits are not needed any more. */
    REAL *e = r->probabilities ? r->probabilities : r->g;
    const REAL total = FN(row_exp)(r->p, largest, e, r->columns);
    rows->total[i] = total;
    if (!e) return;
    const REAL scale = 1 / total;
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(e + j, left) * scale;
        if (r->probabilities) FN(store_columns)(r->probabilities + j, p, left);
        if (!r->g) continue;
        vec g = p * weight;
        if (r->t) g -= FN(targets)(r, j);
        FN(store_columns)(r->g + j, g * r->factor, left);
    }
    if (r->g && !r->t) r->g[r->label] -= r->factor;
}

/* q = p / sum(p), clipped; -sum t log q. The gradient goes through the division and is zero
 * where the clip acts. */
INLINE REAL FN(categorical_from_probabilities)(const FN(loss_row) *r) {
    REAL total = 0, value = 0, inner = 0;
    for (int64_t j = 0; j < r->columns; j++) total += r->p[j];
    for (int64_t j = 0; j < r->columns; j++) {
        const REAL t = r->t ? r->t[j] * r->target_scale + r->target_shift : j == r->label;
        const REAL q = r->p[j] / total;
        REAL clipped = q < PROBABILITY_FLOOR ? PROBABILITY_FLOOR : q;
        clipped = clipped > 1 - PROBABILITY_FLOOR ? 1 - PROBABILITY_FLOOR : clipped;
        /* A zero target contributes nothing, not 0 * log; NaN must still show. */
        if (t != 0 || clipped != clipped) value -= t * FN(scalar_log)(clipped);
        const REAL slope = clipped == q ? -t / clipped : 0;
        inner += slope * q;
        if (r->g) r->g[j] = slope;
    }
    if (r->g)
        for (int64_t j = 0; j < r->columns; j++)
            r->g[j] = (r->g[j] - inner) / total * r->factor;
    return value;
}

INLINE REAL FN(row_value)(fnn_loss kind, int from_logits, const FN(loss_row) *r) {
    switch (kind) {
    case FNN_MEAN_SQUARED_ERROR: return FN(columnwise_loss)(FNN_MEAN_SQUARED_ERROR, 0, r);
    case FNN_MEAN_ABSOLUTE_ERROR: return FN(columnwise_loss)(FNN_MEAN_ABSOLUTE_ERROR, 0, r);
    case FNN_HUBER: return FN(columnwise_loss)(FNN_HUBER, 0, r);
    case FNN_HINGE: return FN(columnwise_loss)(FNN_HINGE, 0, r);
    case FNN_BINARY_CROSSENTROPY:
        return from_logits ? FN(columnwise_loss)(FNN_BINARY_CROSSENTROPY, 1, r)
                           : FN(columnwise_loss)(FNN_BINARY_CROSSENTROPY, 0, r);
    default: return FN(categorical_from_probabilities)(r);
    }
}

/* Row i of the arguments; the first members are set already. */
INLINE void FN(point_to_row)(const fnn_loss_args *args, int64_t i, FN(loss_row) *r) {
    const REAL weight = args->weights ? ((const REAL *)args->weights)[i] : 1;
    r->factor = (REAL)args->scale * weight;
    r->p = (const REAL *)args->predictions + i * args->predictions_row;
    r->t = args->targets ? (const REAL *)args->targets + i * args->targets_row : NULL;
    r->readable = args->predictions_row;
    r->storable = args->gradient_row;
    r->label = args->labels ? args->labels[i] : 0;
    r->g = args->gradient ? (REAL *)args->gradient + i * args->gradient_row : NULL;
    r->probabilities = args->probabilities
                           ? (REAL *)args->probabilities + i * args->probabilities_row
                           : NULL;
}

/* The same for `count` rows from `first` on, LANES at most. */
INLINE void FN(narrow_block)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, FN(logit_rows) *rows) {
    FN(narrow_rows) narrow;
    REAL inverses[LANES];
    FN(fill_rows)(count, args->columns,
                  (const REAL *)args->predictions + first * args->predictions_row,
                  args->predictions_row, &narrow);
    FN(store)(inverses, 1 / FN(load)(narrow.total));
    memcpy(rows->total, narrow.total, sizeof(rows->total));
    for (int64_t i = 0; i < count; i++) {
        FN(point_to_row)(args, first + i, r);
        FN(narrow_from_logits)(r, &narrow, inverses[i], rows, i);
    }
}

/* `values` of the `count` rows from `first` on, of cross-entropies from logits. */
INLINE void FN(logit_values)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, REAL *values) {
    FN(logit_rows) rows;
    memset(&rows, 0, sizeof(rows));
    FN(store)(rows.total, FN(splat)(1)); /* whose logarithm is taken in places without a row */
    if (r->columns <= LANES) {
        FN(narrow_block)(args, r, first, count, &rows);
    } else {
        for (int64_t i = 0; i < count; i++) {
            FN(point_to_row)(args, first + i, r);
            FN(categorical_from_logits)(r, &rows, i);
        }
    }
    FN(store)(values, FN(load)(rows.weight) * FN(log)(FN(load)(rows.total)) - FN(load)(rows.inner));
}

/* `values` of the `count` rows from `first` on. */
INLINE void FN(block_values)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, REAL *values) {
    if (args->from_logits && (args->kind == FNN_CATEGORICAL_CROSSENTROPY ||
                              args->kind == FNN_SPARSE_CATEGORICAL_CROSSENTROPY)) {
        FN(logit_values)(args, r, first, count, values);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        FN(point_to_row)(args, first + i, r);
        values[i] = FN(row_value)(args->kind, args->from_logits, r);
    }
}

static double FN(loss)(const fnn_loss_args *args) {
    const int64_t classes = args->kind == FNN_BINARY_CROSSENTROPY ? 2 : args->columns;
    FN(loss_row) r = {
        .columns = args->columns,
        .delta = (REAL)args->delta,
        .target_scale = (REAL)(1 - args->label_smoothing),
        .target_shift = (REAL)(args->label_smoothing / (double)classes),
    };
    const REAL *weights = args->weights;
    double total = 0;
    REAL values[LANES];
    for (int64_t first = 0; first < args->rows; first += LANES) {
        const int64_t left = args->rows - first, count = left < LANES ? left : LANES;
        FN(block_values)(args, &r, first, count, values);
        for (int64_t i = 0; i < count; i++)
            total += (weights ? (double)weights[first + i] : 1.0) * (double)values[i];
        if (args->values)
            memcpy((REAL *)args->values + first, values, (size_t)count * sizeof(REAL));
    }
    return total;
}

/* The first of the largest; NaN counts as larger than any number, as in NumPy. */
INLINE int64_t FN(argmax)(const REAL *x, int64_t columns) {
    const REAL largest = FN(row_max_or_nan)(x, columns);
    if (largest != largest) {
        for (int64_t j = 0; j < columns; j++)
            if (x[j] != x[j]) return j;
    }
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES) {
        const int64_t lane = FN(first_set)(FN(load)(x + j) == largest);
        if (lane < LANES) return j + lane;
    }
    return j + FN(first_set)(FN(load_part)(x + j, columns - j, FN(splat)(largest)) == largest);
}

/* Sum over the columns of one row, or for the categorical kinds 1 or 0. */
INLINE double FN(metric_row)(const fnn_metric_args *args, int64_t i) {
    const REAL *p = (const REAL *)args->predictions + i * args->predictions_row;
    const REAL *t = args->targets ? (const REAL *)args->targets + i * args->targets_row : NULL;
    const int64_t columns = args->columns;
    double sum = 0;
    switch (args->kind) {
    case FNN_METRIC_SQUARED_ERROR:
        for (int64_t j = 0; j < columns; j++) sum += (double)((p[j] - t[j]) * (p[j] - t[j]));
        return sum / (double)columns;
    case FNN_METRIC_ABSOLUTE_ERROR:
        for (int64_t j = 0; j < columns; j++) sum += fabs((double)(p[j] - t[j]));
        return sum / (double)columns;
    case FNN_METRIC_BINARY_ACCURACY:
        for (int64_t j = 0; j < columns; j++) sum += t[j] == (p[j] > (REAL)args->threshold);
        return sum / (double)columns;
    case FNN_METRIC_CATEGORICAL_ACCURACY:
        return FN(argmax)(t, columns) == FN(argmax)(p, columns);
    default: return args->labels[i] == FN(argmax)(p, columns);
    }
}

static double FN(metric)(const fnn_metric_args *args) {
    double total = 0;
    for (int64_t i = 0; i < args->rows; i++) {
        const double value = FN(metric_row)(args, i);
        if (args->values) ((REAL *)args->values)[i] = (REAL)value;
        total += value;
    }
    return total;
}
