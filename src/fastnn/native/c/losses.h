/* Losses with their gradients, row by row in one pass, and the sums behind metrics.
 *
 * A row's value is the mean over its columns, or for the categorical kinds the sum, but for the
 * few kinds that are a function of the whole row. Everything that needs a logarithm of a
 * probability takes it from the logits where they are known. The formulas are those of
 * reference/losses.py; see there for what is clipped, and what the gradient is then. */

#define PROBABILITY_FLOOR ((REAL)1e-7)
#define HALF_LOG_TWO_PI 0.91893853320467274178

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
    REAL target_scale, target_shift; /* label smoothing */
    REAL weight_scale, weight_shift; /* class balancing: weight of a target t */
    REAL delta, quantile, power, alpha, gamma;
    REAL constant;        /* of the value */
    /* For rows of one column that are worked on side by side, in place of a row's columns: */
    const REAL *factors;  /* of the gradients, or NULL */
    REAL *values;
} FN(loss_row);

/* y, but NaN where x is. */
INLINE vec FN(nan_or)(vec x, vec y) { return FN(select)(x == x, y, x); }

/* Tweedie's for a mean m of this logarithm: m^(2 - power) and t m^(1 - power), 0 for t = 0. */
INLINE vec FN(tweedie_terms)(const FN(loss_row) *r, vec t, vec log_mean, vec *pull) {
    const vec zero = {0};
    *pull = FN(select)(t == zero, zero, t * FN(exp)((1 - r->power) * log_mean));
    return FN(exp)((2 - r->power) * log_mean);
}

INLINE vec FN(tweedie)(const int log_link, const FN(loss_row) *r, vec p, vec t, vec *g) {
    const vec zero = {0};
    const vec mean = log_link ? p : FN(at_least)(p, PROBABILITY_FLOOR);
    vec pull;
    const vec mass = FN(tweedie_terms)(r, t, log_link ? p : FN(log_of_any)(mean), &pull);
    *g = mass - pull;
    if (!log_link) *g = FN(nan_or)(p, FN(select)(mean == p, *g / mean, zero));
    return mass * (1 / (2 - r->power)) - pull * (1 / (1 - r->power));
}

/* The cross-entropy of a target that is smoothed already. What is given to the right answer is q
 * for t = 1 and rest = 1 - q for t = 0, and *slope is the gradient at the prediction. */
INLINE vec FN(binary)(const int from_logits, vec p, vec t, vec *q, vec *rest, vec *slope) {
    if (from_logits) {
        const vec e = FN(exp)(-FN(abs)(p)), larger = 1 / (1 + e), smaller = e * larger;
        const ivec negative = p < (vec){0};
        *q = FN(select)(negative, smaller, larger);
        *rest = FN(select)(negative, larger, smaller);
        *slope = *q - t;
        return FN(relu)(p) - p * t + FN(log1p)(e);
    }
    *q = FN(at_most)(FN(at_least)(p, PROBABILITY_FLOOR), 1 - PROBABILITY_FLOOR);
    *rest = 1 - *q;
    *slope = (*q - t) / (*q * *rest);
    return -(t * FN(log)(*q) + (1 - t) * FN(log)(*rest));
}

/* The same times weight * miss^gamma, miss being what is given to the wrong answer. */
INLINE vec FN(binary_focal)(const int from_logits, const FN(loss_row) *r, vec p, vec t, vec *g) {
    vec q, rest, slope;
    const vec value = FN(binary)(from_logits, p, t, &q, &rest, &slope);
    const vec miss = FN(at_least)(t * rest + (1 - t) * q, REAL_TINY);
    const vec weight = t * r->weight_scale + r->weight_shift;
    const vec factor = weight * FN(exp)(r->gamma * FN(log)(miss));
    const vec slope_of_log_miss = (from_logits ? q * rest : FN(splat)(1)) * (1 - 2 * t) / miss;
    *g = factor * (slope + r->gamma * slope_of_log_miss * value);
    if (!from_logits) *g = FN(nan_or)(p, FN(select)(q == p, *g, (vec){0}));
    return factor * value;
}

/* Value and gradient of one element of the kinds that go column by column. `linked` predictions
 * are what goes into the sigmoid, or for Tweedie's into the exponential. */
INLINE vec FN(element_loss)(const fnn_loss kind, const int linked, const FN(loss_row) *r, vec p,
                            vec t, vec *g) {
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
    case FNN_MEAN_ABSOLUTE_PERCENTAGE_ERROR: {
        const vec e = p - t, scale = 100 / FN(at_least)(FN(abs)(t), PROBABILITY_FLOOR);
        *g = FN(nan_or)(e, FN(select)(e == zero, zero, FN(with_sign)(scale, e)));
        return FN(abs)(e) * scale;
    }
    case FNN_MEAN_SQUARED_LOGARITHMIC_ERROR: {
        const vec q = FN(at_least)(p, PROBABILITY_FLOOR);
        const vec e = FN(log1p_of_any)(q) - FN(log1p_of_any)(FN(at_least)(t, PROBABILITY_FLOOR));
        *g = FN(nan_or)(p, FN(select)(q == p, 2 * e / (1 + q), zero));
        return e * e;
    }
    case FNN_HUBER: {
        const vec e = p - t, size = FN(abs)(e), delta = FN(splat)(r->delta);
        const ivec inside = size <= delta;
        *g = FN(nan_or)(e, FN(select)(inside, e, FN(with_sign)(delta, e)));
        return FN(select)(inside, (REAL)0.5 * e * e, delta * (size - (REAL)0.5 * delta));
    }
    case FNN_LOG_COSH: {
        /* Both from exp(-2|e|) - 1; tanh |e| is -m / (2 + m). */
        vec rest;
        const vec e = p - t, size = FN(abs)(e), m = FN(expm1_below_zero)(-2 * size, &rest);
        *g = FN(with_sign)(-m / (2 + m), e);
        return size + FN(log1p)((REAL)0.5 * m);
    }
    case FNN_QUANTILE_LOSS: {
        const vec e = p - t;
        const vec slope = FN(select)(e > zero, 1 - FN(splat)(r->quantile), -FN(splat)(r->quantile));
        *g = FN(nan_or)(e, FN(select)(e == zero, zero, slope));
        return slope * e;
    }
    case FNN_POISSON: {
        const vec q = p + PROBABILITY_FLOOR;
        *g = 1 - t / q;
        return p - t * FN(log_of_any)(q);
    }
    case FNN_TWEEDIE: return FN(tweedie)(linked, r, p, t, g);
    case FNN_HINGE: {
        const vec sign = FN(select)(t > zero, one, -one), margin = 1 - sign * p;
        *g = FN(nan_or)(p, FN(select)(margin > zero, -sign, zero));
        return FN(relu)(margin);
    }
    case FNN_SQUARED_HINGE: {
        const vec sign = FN(select)(t > zero, one, -one), missing = FN(relu)(1 - sign * p);
        *g = -2 * sign * missing;
        return missing * missing;
    }
    case FNN_PERCEPTRON_LOSS: {
        const vec sign = FN(select)(t > zero, one, -one), missing = -sign * p;
        *g = FN(nan_or)(p, FN(select)(missing >= zero, -sign, zero));
        return FN(relu)(missing);
    }
    case FNN_KL_DIVERGENCE: {
        const vec q = FN(at_most)(FN(at_least)(p, PROBABILITY_FLOOR), 1);
        const vec share = FN(at_most)(FN(at_least)(t, PROBABILITY_FLOOR), 1) / q;
        *g = FN(nan_or)(p, FN(select)(q == p, -share, zero));
        return share * q * FN(log)(share);
    }
    case FNN_BINARY_FOCAL_CROSSENTROPY:
        return FN(binary_focal)(linked, r, p, t * r->target_scale + r->target_shift, g);
    default: break;
    }
    /* Binary cross-entropy. */
    vec q, rest;
    const vec value = FN(binary)(linked, p, t * r->target_scale + r->target_shift, &q, &rest, g);
    if (!linked) *g = FN(nan_or)(p, FN(select)(q == p, *g, zero));
    return value;
}

INLINE REAL FN(columnwise_loss)(const fnn_loss kind, const int linked, const int side_by_side,
                                const FN(loss_row) *r) {
    const REAL parts = kind == FNN_KL_DIVERGENCE || side_by_side ? 1 : (REAL)r->columns;
    vec sum = {0}, factor = FN(splat)(r->factor / parts);
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        vec g;
        const vec value = FN(element_loss)(kind, linked, r, p, t, &g);
        sum += left >= LANES ? value : FN(keep_lanes)(left, value);
        if (side_by_side) {
            FN(store_columns)(r->values + j, value, left);
            factor = FN(load_columns)(r->factors + j, left);
        }
        if (r->g) FN(store_columns)(r->g + j, g * factor, left);
        if (linked && r->probabilities)
            FN(store_columns)(r->probabilities + j, FN(sigmoid)(p), left);
    }
    return FN(sum)(sum) / parts;
}

/* The kind is known to the compiler for the most frequent one only: a loop of its own for each of all
 * would be 100 kB of code, and the others ask for it a vector at a time. */
static __attribute__((noinline)) REAL FN(any_columnwise_loss)(fnn_loss kind, int linked,
                                                              const FN(loss_row) *row) {
    const FN(loss_row) r = *row; /* for all that the compiler knows, a store could change it */
    return FN(columnwise_loss)(kind, linked, r.values != NULL, &r);
}

/* Minus the cosine of the angle between p and t. */
INLINE REAL FN(cosine_similarity)(const FN(loss_row) *r) {
    vec of_p = {0}, of_t = {0}, of_both = {0};
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        of_p += p * p;
        of_t += t * t;
        of_both += p * t;
    }
    /* Comparisons that keep NaN. */
    REAL p_norm = REAL_SQRT(FN(sum)(of_p)), t_norm = REAL_SQRT(FN(sum)(of_t));
    const int is_short = p_norm <= PROBABILITY_FLOOR;
    p_norm = is_short ? PROBABILITY_FLOOR : p_norm;
    t_norm = t_norm < PROBABILITY_FLOOR ? PROBABILITY_FLOOR : t_norm;
    const REAL cosine = FN(sum)(of_both) / p_norm / t_norm;
    const REAL of_direction = is_short ? 0 : cosine / p_norm / p_norm * r->factor;
    const REAL of_target = is_short ? 0 : 1 / p_norm / t_norm * r->factor;
    for (int64_t j = 0; r->g && j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        FN(store_columns)(r->g + j, p * of_direction - t * of_target, left);
    }
    return -cosine;
}

/* The first half of the predictions are means, the second logarithms of variances. */
INLINE REAL FN(gaussian_nll)(const FN(loss_row) *r) {
    const int64_t columns = r->columns / 2;
    const REAL factor = r->factor / (REAL)columns;
    vec sum = {0};
    for (int64_t j = 0; j < columns; j += LANES) {
        const int64_t left = columns - j;
        const vec mean = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        const vec log_variance = FN(load_columns)(r->p + columns + j, left);
        const vec e = mean - t, precision = FN(exp)(-log_variance), square = e * e * precision;
        const vec value = log_variance + square;
        sum += left >= LANES ? value : FN(keep_lanes)(left, value);
        if (!r->g) continue;
        FN(store_columns)(r->g + j, e * precision * factor, left);
        FN(store_columns)(r->g + columns + j, (1 - square) * ((REAL)0.5 * factor), left);
    }
    return (REAL)0.5 * FN(sum)(sum) / (REAL)columns + r->constant;
}

/* By how much sum(t p), for one-hot targets the right column, fails to be 1 above the largest
 * (1 - t) p. The gradient of the maximum goes to the first column that has it. */
INLINE REAL FN(categorical_hinge)(const FN(loss_row) *r) {
    const vec nothing = FN(splat)(-INFINITY);
    vec right = {0}, not_finite = {0}, largest = nothing;
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = FN(load_columns)(r->p + j, left), t = FN(load_columns)(r->t + j, left);
        const vec wrong = (1 - t) * p;
        right += t * p;
        not_finite += p - p; /* the maximum would lose it */
        largest = FN(larger)(
            largest, left >= LANES ? wrong : FN(select)(FN(first_lanes)(left), wrong, nothing));
    }
    const REAL wrong = FN(max)(largest);
    const REAL excess = wrong - FN(sum)(right) + 1 + FN(sum)(not_finite);
    const REAL factor = excess > 0 ? r->factor : excess == excess ? 0 : excess;
    int found = 0;
    for (int64_t j = 0; r->g && j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec t = FN(load_columns)(r->t + j, left);
        vec slope = -t;
        if (!found) {
            const vec p = FN(load_columns)(r->p + j, left);
            ivec is_largest = (1 - t) * p == wrong;
            if (left < LANES) is_largest &= FN(first_lanes)(left);
            const int64_t lane = FN(first_set)(is_largest);
            found = lane < LANES;
            if (found) slope += FN(where)(FN(lane)(lane), 1 - t);
        }
        FN(store_columns)(r->g + j, slope * factor, left);
    }
    return excess > 0 ? excess : excess == excess ? 0 : excess;
}

/* The smoothed target of columns j onwards. */
INLINE vec FN(targets)(const FN(loss_row) *r, int64_t j) {
    return FN(load_columns)(r->t + j, r->columns - j) * r->target_scale + r->target_shift;
}

/* The same, but zero in lanes without a column. */
INLINE vec FN(used_targets)(const FN(loss_row) *r, int64_t j) {
    const vec t = FN(targets)(r, j);
    return r->columns - j < LANES ? FN(keep_lanes)(r->columns - j, t) : t;
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
        const vec t = FN(used_targets)(r, j);
        weights += t;
        /* A class of weight zero may be impossible, with a logit of minus infinity. */
        sum += FN(where)(t != (vec){0}, t * (FN(load_columns)(r->p + j, left) - largest));
    }
    *inner = FN(sum)(sum);
    *weight = FN(sum)(weights);
}

/* One vector at most, of which `storable` lanes can be written: as a whole if it may be, for what a
 * masked store has written has to go through the cache before it can be read. */
INLINE void FN(store_row)(REAL *p, vec v, int64_t columns, int64_t storable) {
    if (storable >= LANES)
        FN(store)(p, v);
    else
        FN(store_columns)(p, v, columns);
}

/* As categorical_from_logits, for row i of narrow ones, of which the exponentials are there. */
INLINE void FN(narrow_from_logits)(const FN(loss_row) *r, const FN(narrow_rows) *narrow,
                                   const int vectors, REAL inverse, FN(logit_rows) *rows,
                                   int64_t i) {
    REAL weight = 1;
    if (r->t)
        FN(weigh_logits)(r, narrow->largest[i], &rows->inner[i], &weight);
    else
        rows->inner[i] = r->p[r->label] - narrow->largest[i];
    rows->weight[i] = weight;
    UNROLL
    for (int64_t j = 0; j < vectors * LANES; j += LANES) {
        const int64_t left = r->columns - j;
        const vec p = narrow->e[i][j / LANES] * inverse;
        const vec target = r->t ? FN(used_targets)(r, j)
                                : FN(where)(FN(lane)(r->label - j), FN(splat)(1));
        if (r->probabilities) FN(store_row)(r->probabilities + j, p, left, r->readable - j);
        if (r->g)
            FN(store_row)(r->g + j, (p * weight - target) * r->factor, left, r->storable - j);
    }
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

/* -t (1 - q)^gamma log q of columns j onwards, and its gradient by log q. */
INLINE vec FN(focal_terms)(const FN(loss_row) *r, int64_t j, vec q, vec log_q, vec *slope) {
    const int64_t left = r->columns - j;
    const vec t = FN(targets)(r, j), rest = FN(at_least)(1 - q, REAL_TINY);
    const vec weight = t * FN(exp)(r->gamma * FN(log)(rest));
    ivec counts = t != (vec){0};
    if (left < LANES) counts &= FN(first_lanes)(left);
    *slope = FN(where)(counts, weight * (r->gamma * q * log_q / rest - 1));
    return FN(where)(counts, -weight * log_q);
}

INLINE REAL FN(focal_from_logits)(const FN(loss_row) *r) {
    const REAL largest = FN(row_max)(r->p, r->columns), factor = r->factor * r->alpha;
    const REAL log_total = FN(scalar_log)(FN(row_exp)(r->p, largest, NULL, r->columns));
    vec sum = {0}, slopes = {0}, slope;
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const vec log_q = FN(load_columns)(r->p + j, r->columns - j) - largest - log_total;
        sum += FN(focal_terms)(r, j, FN(exp)(log_q), log_q, &slope);
        slopes += slope;
    }
    const REAL all_slopes = FN(sum)(slopes);
    if (!r->g && !r->probabilities) return FN(sum)(sum) * r->alpha;
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec log_q = FN(load_columns)(r->p + j, left) - largest - log_total;
        const vec q = FN(exp)(log_q);
        FN(focal_terms)(r, j, q, log_q, &slope);
        if (r->g) FN(store_columns)(r->g + j, (slope - q * all_slopes) * factor, left);
        if (r->probabilities) FN(store_columns)(r->probabilities + j, q, left);
    }
    return FN(sum)(sum) * r->alpha;
}

/* As categorical_from_probabilities. */
INLINE REAL FN(focal_from_probabilities)(const FN(loss_row) *r) {
    vec sum = {0}, inner = {0};
    for (int64_t j = 0; j < r->columns; j += LANES)
        sum += FN(load_columns)(r->p + j, r->columns - j);
    const REAL total = FN(sum)(sum), factor = r->factor * r->alpha / total;
    sum = (vec){0};
    for (int64_t j = 0; j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec given = FN(load_columns)(r->p + j, left) / total;
        const vec q = FN(at_most)(FN(at_least)(given, PROBABILITY_FLOOR), 1 - PROBABILITY_FLOOR);
        vec slope;
        sum += FN(focal_terms)(r, j, q, FN(log)(q), &slope);
        slope = FN(where)(q == given, slope);
        inner += slope;
        if (r->g) FN(store_columns)(r->g + j, slope / q, left);
    }
    const REAL through_total = FN(sum)(inner);
    for (int64_t j = 0; r->g && j < r->columns; j += LANES) {
        const int64_t left = r->columns - j;
        const vec g = FN(load_columns)(r->g + j, left);
        FN(store_columns)(r->g + j, (g - through_total) * factor, left);
    }
    return FN(sum)(sum) * r->alpha;
}

INLINE REAL FN(row_value)(fnn_loss kind, int linked, const FN(loss_row) *r) {
    switch (kind) {
    case FNN_MEAN_SQUARED_ERROR: return FN(columnwise_loss)(FNN_MEAN_SQUARED_ERROR, 0, 0, r);
    case FNN_COSINE_SIMILARITY: return FN(cosine_similarity)(r);
    case FNN_GAUSSIAN_NLL: return FN(gaussian_nll)(r);
    case FNN_CATEGORICAL_HINGE: return FN(categorical_hinge)(r);
    case FNN_CATEGORICAL_FOCAL_CROSSENTROPY:
        return linked ? FN(focal_from_logits)(r) : FN(focal_from_probabilities)(r);
    case FNN_CATEGORICAL_CROSSENTROPY:
    case FNN_SPARSE_CATEGORICAL_CROSSENTROPY: return FN(categorical_from_probabilities)(r);
    default: return FN(any_columnwise_loss)(kind, linked, r);
    }
}

/* The targets of row i in some order. Such rows lie scattered over memory: the next one is asked for,
 * to be there in time. */
static __attribute__((noinline)) const REAL *FN(ordered_row)(
    const REAL *targets, int64_t row, const int64_t *order, int64_t i, int64_t rows) {
    if (i + 1 < rows)
        FN(ask_for)((const char *)(targets + order[i + 1] * row), row * (int64_t)sizeof(REAL));
    return targets + order[i] * row;
}

/* The targets of row i, or NULL where there are labels. */
INLINE const REAL *FN(target_row)(const void *targets, int64_t row, const int64_t *order,
                                  int64_t i, int64_t rows) {
    if (order) return FN(ordered_row)(targets, row, order, i, rows);
    return targets ? (const REAL *)targets + i * row : NULL;
}

/* Row i of the arguments; the first members are set already. */
INLINE void FN(point_to_row)(const fnn_loss_args *args, int64_t i, FN(loss_row) *r) {
    const REAL weight = args->weights ? ((const REAL *)args->weights)[i] : 1;
    r->factor = (REAL)args->scale * weight;
    r->p = (const REAL *)args->predictions + i * args->predictions_row;
    r->t = FN(target_row)(args->targets, args->targets_row, args->order, i, args->rows);
    r->readable = args->predictions_row;
    r->storable = args->gradient_row;
    r->label = args->labels ? args->labels[i] : 0;
    r->g = args->gradient ? (REAL *)args->gradient + i * args->gradient_row : NULL;
    r->probabilities = args->probabilities
                           ? (REAL *)args->probabilities + i * args->probabilities_row
                           : NULL;
}

/* The same for `count` narrow rows from `first` on, LANES at most. */
INLINE void FN(narrow_block)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, const int vectors, FN(logit_rows) *rows) {
    FN(narrow_rows) narrow;
    REAL inverses[LANES];
    FN(fill_rows)(count, args->columns,
                  (const REAL *)args->predictions + first * args->predictions_row,
                  args->predictions_row, &narrow);
    FN(store)(inverses, 1 / FN(load)(narrow.total));
    memcpy(rows->total, narrow.total, sizeof(rows->total));
    for (int64_t i = 0; i < count; i++) {
        FN(point_to_row)(args, first + i, r);
        FN(narrow_from_logits)(r, &narrow, vectors, inverses[i], rows, i);
    }
}

/* `values` of the `count` rows from `first` on, of cross-entropies from logits. */
INLINE void FN(logit_values)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, REAL *values) {
    FN(logit_rows) rows;
    memset(&rows, 0, sizeof(rows));
    FN(store)(rows.total, FN(splat)(1)); /* whose logarithm is taken in places without a row */
    if (r->columns <= LANES) {
        FN(narrow_block)(args, r, first, count, 1, &rows);
    } else if (r->columns <= NARROW_COLUMNS) {
        FN(narrow_block)(args, r, first, count, 2, &rows);
    } else {
        for (int64_t i = 0; i < count; i++) {
            FN(point_to_row)(args, first + i, r);
            FN(categorical_from_logits)(r, &rows, i);
        }
    }
    FN(store)(values, FN(load)(rows.weight) * FN(log)(FN(load)(rows.total)) - FN(load)(rows.inner));
}

/* Every row's first element. */
INLINE void FN(store_column)(void *out, int64_t row, int64_t first, int64_t count, const REAL *x) {
    for (int64_t i = 0; i < count; i++) ((REAL *)out)[(first + i) * row] = x[i];
}

/* `values` of rows of one column, as in regression and in decisions between two. */
static void FN(column_values)(const fnn_loss_args *args, int linked, FN(loss_row) *r, int64_t first,
                              int64_t count, REAL *values) {
    REAL p[LANES], t[LANES], factors[LANES], gradients[LANES], probabilities[LANES];
    for (int64_t i = 0; i < count; i++) {
        FN(point_to_row)(args, first + i, r);
        p[i] = *r->p;
        t[i] = *r->t;
        factors[i] = r->factor;
    }
    FN(loss_row) column = *r;
    column.p = p;
    column.t = t;
    column.columns = count;
    column.factors = factors;
    column.values = values;
    column.g = args->gradient ? gradients : NULL;
    column.probabilities = args->probabilities ? probabilities : NULL;
    FN(any_columnwise_loss)(args->kind, linked, &column);
    if (args->gradient)
        FN(store_column)(args->gradient, args->gradient_row, first, count, gradients);
    if (linked && args->probabilities)
        FN(store_column)(args->probabilities, args->probabilities_row, first, count, probabilities);
}

/* `values` of the `count` rows from `first` on. */
INLINE void FN(block_values)(const fnn_loss_args *args, FN(loss_row) *r, int64_t first,
                             int64_t count, REAL *values) {
    const fnn_loss_options *options = &args->options;
    if (options->from_logits && (args->kind == FNN_CATEGORICAL_CROSSENTROPY ||
                                 args->kind == FNN_SPARSE_CATEGORICAL_CROSSENTROPY)) {
        FN(logit_values)(args, r, first, count, values);
        return;
    }
    const int linked = options->from_logits || options->log_link;
    if (r->columns == 1 && args->kind <= FNN_BINARY_FOCAL_CROSSENTROPY) {
        FN(column_values)(args, linked, r, first, count, values);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        FN(point_to_row)(args, first + i, r);
        values[i] = FN(row_value)(args->kind, linked, r);
    }
}

/* What the rows have in common. */
INLINE FN(loss_row) FN(row_options)(const fnn_loss_args *args) {
    const fnn_loss_options *o = &args->options;
    const int binary = args->kind <= FNN_BINARY_FOCAL_CROSSENTROPY;
    return (FN(loss_row)){
        .columns = args->columns,
        .target_scale = (REAL)(1 - o->label_smoothing),
        .target_shift = (REAL)(o->label_smoothing / (binary ? 2.0 : (double)args->columns)),
        .weight_scale = (REAL)(o->apply_class_balancing ? 2 * o->alpha - 1 : 0),
        .weight_shift = (REAL)(o->apply_class_balancing ? 1 - o->alpha : 1),
        .delta = (REAL)o->delta,
        .quantile = (REAL)o->quantile,
        .power = (REAL)o->power,
        .alpha = (REAL)o->alpha,
        .gamma = (REAL)o->gamma,
        .constant = (REAL)(o->full ? HALF_LOG_TWO_PI : 0),
    };
}

static double FN(loss)(const fnn_loss_args *args) {
    FN(loss_row) r = FN(row_options)(args);
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
    const REAL *t = FN(target_row)(args->targets, args->targets_row, args->order, i, args->rows);
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
