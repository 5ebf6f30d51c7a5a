/* Activations and their derivatives, element by element and, where whole rows matter, row by row. */

#define SELU_SCALE ((REAL)1.0507009873554805)
#define SELU_SCALED_ALPHA ((REAL)1.7580993408473769)

/* x without its infinities, for formulas in which they would meet a zero or one another. */
INLINE vec FN(finite)(vec x) { return FN(at_least)(FN(at_most)(x, REAL_MAX), -REAL_MAX); }

/* scale x above zero, alpha (exp(x) - 1) below. */
INLINE vec FN(exp_below_zero)(vec x, REAL scale, REAL alpha, vec *slope) {
    const ivec above = x > (vec){0};
    vec exp;
    const vec below = FN(expm1_below_zero)(FN(at_most)(x, 0), &exp);
    *slope = FN(select)(above, FN(splat)(scale), alpha * exp);
    return FN(select)(above, scale * x, alpha * below);
}

INLINE vec FN(celu)(vec x, REAL alpha, vec *slope) {
    const ivec above = x > (vec){0};
    vec exp;
    const vec below = FN(expm1_below_zero)(FN(at_most)(x, 0) / alpha, &exp);
    *slope = FN(select)(above, FN(splat)(1), exp);
    return FN(select)(above, x, alpha * below);
}

/* The options of an activation, in the order that fastnn.h gives. */
typedef struct {
    REAL first, second, third;
} FN(options);

INLINE FN(options) FN(read_options)(const fnn_activation kind, const double *numbers) {
    switch (kind) {
    case FNN_LEAKY_RELU:
    case FNN_ELU:
    case FNN_CELU:
    case FNN_SOFT_SHRINK:
    case FNN_HARD_SHRINK: return (FN(options)){.first = (REAL)numbers[0]};
    case FNN_THRESHOLD: return (FN(options)){(REAL)numbers[0], (REAL)numbers[1]};
    case FNN_BOUNDED_RELU:
        return (FN(options)){(REAL)numbers[0], (REAL)numbers[1], (REAL)numbers[2]};
    case FNN_SQUAREPLUS: { /* what is needed of b: its root, b / 4 and 4 / b */
        const REAL root = (REAL)sqrt(numbers[0]);
        const REAL quarter = (REAL)(numbers[0] / 4);
        return (FN(options)){root > REAL_TINY ? root : REAL_TINY, quarter,
                             quarter > REAL_TINY ? 1 / quarter : 0};
    }
    default: return (FN(options)){0};
    }
}

/* Where the slope is 0, so is the limit at minus infinity. */
INLINE vec FN(bounded_relu)(FN(options) options, vec x) {
    const vec beyond = x - options.third;
    const vec below = options.first != 0 ? options.first * beyond : FN(at_most)(FN(relu)(beyond), 0);
    return FN(select)(x > FN(splat)(options.third), FN(at_most)(x, options.second), below);
}

/* sqrt(x^2 + b), without overflow: it is never less than |x| or sqrt(b), and |x| itself where the
 * square of x would be infinite, unless b is about as large. */
INLINE vec FN(squareplus_root)(FN(options) options, vec x) {
    const vec a = FN(abs)(x), least = FN(at_least)(a, options.first);
    if (options.first < ROOT_HIGHEST / 65536) {
        const vec root = FN(at_most)(a, ROOT_HIGHEST);
        return FN(larger)(FN(sqrt)(root * root + 4 * options.second), least);
    }
    const vec ratio = FN(at_most)(a, options.first) / least;
    return least * FN(sqrt)(1 + ratio * ratio);
}

/* Half the sum of |x| and the root; below zero b / 4 divided by it, which loses no digits. What
 * the sum lost by rounding is put right in the quotient. */
INLINE vec FN(squareplus_from_root)(FN(options) options, vec x, vec root) {
    const vec a = (REAL)0.5 * FN(abs)(x), r = (REAL)0.5 * root, sum = a + r;
    const vec lost = FN(where)(sum <= FN(splat)(REAL_MAX), a - (sum - r));
    const vec quotient = options.second / sum;
    const vec below = quotient - quotient * quotient * (lost * options.third);
    return FN(select)(x < (vec){0}, below, sum);
}

/* x held between two bounds, neither of which is an infinity. */
INLINE vec FN(within)(vec x, REAL low, REAL high) { return FN(at_most)(FN(at_least)(x, low), high); }

INLINE vec FN(hard_sigmoid)(vec x) { return FN(within)(x / 6 + (REAL)0.5, 0, 1); }
INLINE vec FN(sparse_sigmoid)(vec x) { return (REAL)0.5 * (FN(within)(x, -1, 1) + 1); }
INLINE vec FN(sparse_plus)(vec x) {
    const vec beyond = FN(within)(x, -1, 1) + 1;
    return FN(select)(x >= FN(splat)(1), x, (REAL)0.25 * beyond * beyond);
}

/* 1 where the condition holds, else 0. */
INLINE vec FN(one_where)(ivec condition) { return FN(where)(condition, FN(splat)(1)); }

/* `kind` is a constant where these are inlined. */

/* The functions whose `fnn_saves_slope` is 1; any other kind as if it were linear. */
INLINE vec FN(with_slope)(const fnn_activation kind, FN(options) options, vec x, vec *slope) {
    switch (kind) {
    case FNN_ELU: return FN(exp_below_zero)(x, 1, options.first, slope);
    case FNN_SELU: return FN(exp_below_zero)(x, SELU_SCALE, SELU_SCALED_ALPHA, slope);
    case FNN_CELU: return FN(celu)(x, options.first, slope);
    case FNN_SILU: return FN(silu)(x, slope);
    case FNN_GELU: return FN(gelu)(x, slope);
    case FNN_MISH: return FN(mish)(x, slope);
    case FNN_SOFTPLUS: return FN(softplus)(x, slope);
    default: *slope = FN(splat)(1); return x;
    }
}

INLINE vec FN(activation)(const fnn_activation kind, FN(options) options, vec x) {
    vec slope;
    switch (kind) {
    case FNN_RELU: return FN(relu)(x);
    case FNN_LEAKY_RELU: return FN(select)(x > (vec){0}, x, options.first * x);
    case FNN_SIGMOID: return FN(sigmoid)(x);
    case FNN_TANH: return FN(tanh)(x);
    case FNN_SOFTSIGN: x = FN(finite)(x); return x / (1 + FN(abs)(x));
    case FNN_HARD_SIGMOID: return FN(hard_sigmoid)(x);
    case FNN_EXPONENTIAL: return FN(exp)(x);
    case FNN_STEP: return FN(one_where)(x >= (vec){0});
    case FNN_BOUNDED_RELU: return FN(bounded_relu)(options, x);
    case FNN_RELU6: return FN(within)(x, 0, 6);
    case FNN_HARD_TANH: return FN(within)(x, -1, 1);
    case FNN_HARD_SILU: return FN(at_least)(x, -REAL_MAX) * FN(hard_sigmoid)(x);
    case FNN_LOG_SIGMOID: return FN(log_sigmoid)(x);
    case FNN_SQUAREPLUS:
        return FN(squareplus_from_root)(options, x, FN(squareplus_root)(options, x));
    case FNN_TANH_SHRINK: return FN(tanh_shrink)(x);
    case FNN_SOFT_SHRINK: return x - FN(within)(x, -options.first, options.first);
    case FNN_HARD_SHRINK:
        return FN(select)(FN(abs)(x) <= FN(splat)(options.first), (vec){0}, x);
    case FNN_THRESHOLD:
        return FN(select)(x <= FN(splat)(options.first), FN(splat)(options.second), x);
    case FNN_SPARSE_PLUS: return FN(sparse_plus)(x);
    case FNN_SPARSE_SIGMOID: return FN(sparse_sigmoid)(x);
    default: return FN(with_slope)(kind, options, x, &slope);
    }
}

/* The derivative, from the input or the output, whichever `fnn_saves_input` says. */
INLINE vec FN(derivative)(const fnn_activation kind, FN(options) options, vec saved) {
    const vec zero = {0}, one = FN(splat)(1);
    vec slope;
    switch (kind) {
    case FNN_RELU: return FN(one_where)(saved > zero);
    case FNN_LEAKY_RELU: return FN(select)(saved > zero, one, FN(splat)(options.first));
    case FNN_SIGMOID: return saved * (1 - saved);
    case FNN_TANH: return 1 - saved * saved;
    case FNN_SOFTSIGN: {
        const vec d = 1 / (1 + FN(abs)(saved));
        return d * d;
    }
    case FNN_HARD_SIGMOID:
        return FN(select)(FN(abs)(saved) < FN(splat)(3), FN(splat)((REAL)(1.0 / 6)), zero);
    case FNN_EXPONENTIAL: return saved;
    case FNN_BOUNDED_RELU: {
        const int limited = options.second < (REAL)INFINITY;
        const vec above = limited ? FN(one_where)(saved < FN(splat)(options.second)) : one;
        return FN(select)(saved > FN(splat)(options.third), above, FN(splat)(options.first));
    }
    case FNN_RELU6: return FN(one_where)((saved > zero) & (saved < FN(splat)(6)));
    case FNN_HARD_TANH: return FN(one_where)(FN(abs)(saved) < one);
    case FNN_HARD_SILU: {
        const vec inside = FN(within)(saved, -3, 3) / 3 + (REAL)0.5;
        const vec outside = FN(one_where)(saved > zero);
        return FN(select)(FN(abs)(saved) < FN(splat)(3), inside, outside);
    }
    case FNN_LOG_SIGMOID: return FN(sigmoid)(-saved);
    case FNN_SQUAREPLUS: {
        const vec x = FN(finite)(saved), root = FN(squareplus_root)(options, x);
        return FN(squareplus_from_root)(options, x, root) / root;
    }
    case FNN_TANH_SHRINK: {
        const vec t = FN(tanh)(saved);
        return t * t;
    }
    case FNN_SOFT_SHRINK:
    case FNN_HARD_SHRINK: return FN(one_where)(saved != zero);
    case FNN_THRESHOLD: return FN(one_where)(saved > FN(splat)(options.first));
    case FNN_SPARSE_PLUS: return FN(sparse_sigmoid)(saved);
    case FNN_SPARSE_SIGMOID:
        return FN(where)(FN(abs)(saved) < one, FN(splat)((REAL)0.5));
    default: FN(with_slope)(kind, options, saved, &slope); return slope;
    }
}

/* n is a number of whole vectors. */
INLINE void FN(map)(const fnn_activation kind, const double *numbers, int64_t n, const REAL *x,
                    REAL *y) {
    const FN(options) options = FN(read_options)(kind, numbers);
    for (int64_t i = 0; i < n; i += LANES)
        FN(store)(y + i, FN(activation)(kind, options, FN(load)(x + i)));
}

INLINE void FN(map_with_slope)(const fnn_activation kind, const double *numbers, int64_t n,
                               const REAL *x, REAL *y, REAL *slopes) {
    const FN(options) options = FN(read_options)(kind, numbers);
    for (int64_t i = 0; i < n; i += LANES) {
        vec slope;
        FN(store)(y + i, FN(with_slope)(kind, options, FN(load)(x + i), &slope));
        FN(store)(slopes + i, slope);
    }
}

INLINE void FN(map_gradient)(const fnn_activation kind, const double *numbers, int64_t n,
                             const REAL *gradient, const REAL *saved, REAL *out) {
    const FN(options) options = FN(read_options)(kind, numbers);
    for (int64_t i = 0; i < n; i += LANES)
        FN(store)(out + i, FN(load)(gradient + i) *
                               FN(derivative)(kind, options, FN(load)(saved + i)));
}

#define FOR_EACH_WITH_SLOPE(X)                                                                   \
    X(FNN_ELU) X(FNN_SELU) X(FNN_CELU) X(FNN_SILU) X(FNN_GELU) X(FNN_MISH) X(FNN_SOFTPLUS)
#define FOR_EACH_ELEMENTWISE(X)                                                                  \
    FOR_EACH_WITH_SLOPE(X)                                                                       \
    X(FNN_LINEAR) X(FNN_RELU) X(FNN_LEAKY_RELU) X(FNN_SIGMOID) X(FNN_TANH) X(FNN_SOFTSIGN)       \
    X(FNN_HARD_SIGMOID) X(FNN_EXPONENTIAL) X(FNN_STEP) X(FNN_BOUNDED_RELU) X(FNN_RELU6)          \
    X(FNN_HARD_TANH) X(FNN_HARD_SILU) X(FNN_LOG_SIGMOID) X(FNN_SQUAREPLUS) X(FNN_TANH_SHRINK)    \
    X(FNN_SOFT_SHRINK) X(FNN_HARD_SHRINK) X(FNN_THRESHOLD) X(FNN_SPARSE_PLUS)                    \
    X(FNN_SPARSE_SIGMOID)

static void FN(activate_vectors)(fnn_activation kind, const double *options, int64_t n,
                                 const REAL *x, REAL *y) {
    switch (kind) {
#define CASE(k) case k: FN(map)(k, options, n, x, y); break;
        FOR_EACH_ELEMENTWISE(CASE)
#undef CASE
    default: break;
    }
}

static void FN(activate_vectors_with_slope)(fnn_activation kind, const double *options, int64_t n,
                                            const REAL *x, REAL *y, REAL *slopes) {
    switch (kind) {
#define CASE(k) case k: FN(map_with_slope)(k, options, n, x, y, slopes); break;
        FOR_EACH_WITH_SLOPE(CASE)
#undef CASE
    default: break;
    }
}

static void FN(activate_vectors_gradient)(fnn_activation kind, const double *options, int64_t n,
                                          const REAL *gradient, const REAL *saved, REAL *out) {
    switch (kind) {
#define CASE(k) case k: FN(map_gradient)(k, options, n, gradient, saved, out); break;
        FOR_EACH_ELEMENTWISE(CASE)
#undef CASE
    default: break;
    }
}
#undef FOR_EACH_WITH_SLOPE
#undef FOR_EACH_ELEMENTWISE

/* What is left after the whole vectors is made one, so that each function is compiled once. */
static void FN(activate)(fnn_activation kind, const double *options, int64_t n, const void *x_,
                         void *y_) {
    const REAL *x = x_;
    REAL *y = y_, rest[LANES];
    const int64_t whole = n / LANES * LANES, left = n - whole;
    if (whole) FN(activate_vectors)(kind, options, whole, x, y);
    if (!left) return;
    FN(store)(rest, FN(load_part)(x + whole, left, (vec){0}));
    FN(activate_vectors)(kind, options, LANES, rest, rest);
    FN(store_part)(y + whole, left, FN(load)(rest));
}

static void FN(activate_gradient)(fnn_activation kind, const double *options, int64_t n,
                                  const void *gradient, const void *saved_, void *out_) {
    const REAL *g = gradient, *saved = saved_;
    REAL *out = out_, rest_of_g[LANES], rest[LANES];
    const int64_t whole = n / LANES * LANES, left = n - whole;
    if (whole) FN(activate_vectors_gradient)(kind, options, whole, g, saved, out);
    if (!left) return;
    FN(store)(rest_of_g, FN(load_part)(g + whole, left, (vec){0}));
    FN(store)(rest, FN(load_part)(saved + whole, left, (vec){0}));
    FN(activate_vectors_gradient)(kind, options, LANES, rest_of_g, rest, rest);
    FN(store_part)(out + whole, left, FN(load)(rest));
}

static void FN(activate_with_slope)(fnn_activation kind, const double *options, int64_t n,
                                    const void *x_, void *y_, void *slopes_) {
    const REAL *x = x_;
    REAL *y = y_, *slopes = slopes_, rest[LANES], slopes_of_rest[LANES];
    const int64_t whole = n / LANES * LANES, left = n - whole;
    if (whole) FN(activate_vectors_with_slope)(kind, options, whole, x, y, slopes);
    if (!left) return;
    FN(store)(rest, FN(load_part)(x + whole, left, (vec){0}));
    FN(activate_vectors_with_slope)(kind, options, LANES, rest, rest, slopes_of_rest);
    FN(store_part)(y + whole, left, FN(load)(rest));
    FN(store_part)(slopes + whole, left, FN(load)(slopes_of_rest));
}

INLINE REAL FN(row_max)(const REAL *x, int64_t columns) {
    vec largest = FN(splat)(-INFINITY);
    for (int64_t j = 0; j < columns; j += LANES) {
        const vec v = columns - j >= LANES ? FN(load)(x + j)
                                           : FN(load_part)(x + j, columns - j, largest);
        largest = FN(larger)(largest, v);
    }
    return FN(max)(largest);
}

/* As row_max, but NaN if there is any in the row. */
INLINE REAL FN(row_max_or_nan)(const REAL *x, int64_t columns) {
    vec unordered = {0};
    for (int64_t j = 0; j < columns; j += LANES) {
        const vec v = FN(load_columns)(x + j, columns - j);
        unordered = FN(select)(v == v, unordered, FN(splat)(1));
    }
    return FN(max)(unordered) > 0 ? (REAL)NAN : FN(row_max)(x, columns);
}

/* e = exp(x - shift), whose sum is returned; e may be NULL or x. */
INLINE REAL FN(row_exp)(const REAL *x, REAL shift, REAL *e, int64_t columns) {
    vec sum = {0};
    for (int64_t j = 0; j < columns; j += LANES) {
        const int64_t left = columns - j;
        vec v = FN(exp)(FN(load_columns)(x + j, left) - shift);
        if (e) FN(store_columns)(e + j, v, left);
        sum += left >= LANES ? v : FN(keep_lanes)(left, v);
    }
    return FN(sum)(sum);
}

/* y = x * factor; y may be x. */
INLINE void FN(row_scale)(const REAL *x, REAL factor, REAL *y, int64_t columns) {
    for (int64_t j = 0; j < columns; j += LANES)
        FN(store_columns)(y + j, FN(load_columns)(x + j, columns - j) * factor, columns - j);
}

/* y = (x - first) - second; y may be x. */
INLINE void FN(row_subtract)(const REAL *x, REAL first, REAL second, REAL *y, int64_t columns) {
    for (int64_t j = 0; j < columns; j += LANES)
        FN(store_columns)(y + j, (FN(load_columns)(x + j, columns - j) - first) - second,
                          columns - j);
}

INLINE REAL FN(scalar_log)(REAL x) { return FN(log)(FN(splat)(x))[0]; }

/* One logarithm for many exponentials: its code is not wanted everywhere. */
static __attribute__((noinline)) vec FN(rare_log)(vec x) { return FN(log)(x); }

/* Rows of one or two vectors are narrow: LANES of them are reduced together, and the exponentials wait
 * beside the array, for what part of a vector has been stored to must not be read soon. */
#define NARROW_VECTORS 2
#define NARROW_COLUMNS (NARROW_VECTORS * LANES)

/* What a softmax of up to LANES narrow rows is made of: e = exp(x - largest) and total = sum(e), 1
 * where there is no row. */
typedef struct {
    vec e[LANES][NARROW_VECTORS];
    REAL largest[LANES], total[LANES];
} FN(narrow_rows);

/* Vector j of a row of as many, all of them full but the last. */
INLINE vec FN(load_narrow)(const REAL *x, int64_t columns, int64_t readable, int j,
                           const int vectors, vec rest) {
    if (j < vectors - 1) return FN(load)(x + j * LANES);
    return FN(load_row)(x + j * LANES, columns - j * LANES, readable - j * LANES, rest);
}

INLINE vec FN(narrow_max)(const REAL *x, int64_t columns, int64_t readable, const int vectors) {
    const vec lowest = FN(splat)(-INFINITY);
    vec largest = FN(load_narrow)(x, columns, readable, 0, vectors, lowest);
    UNROLL
    for (int j = 1; j < vectors; j++)
        largest = FN(larger)(largest, FN(load_narrow)(x, columns, readable, j, vectors, lowest));
    return largest;
}

/* Lanes without a column take exp(0) and are cleared then: exp of minus infinity would pass
 * through subnormal numbers, at 50 ns a row. */
INLINE vec FN(exponentials)(vec x, REAL largest, ivec used) {
    return FN(where)(used, FN(exp)(FN(where)(used, x - largest)));
}

/* Those of a row; their sum lane by lane. */
INLINE vec FN(narrow_exp)(const REAL *x, REAL largest, int64_t columns, int64_t readable,
                          const int vectors, vec *e) {
    const int last = vectors - 1;
    vec sum = {0};
    UNROLL
    for (int j = 0; j < vectors; j++) {
        const vec v = FN(load_narrow)(x, columns, readable, j, vectors, (vec){0});
        e[j] = j < last ? FN(exp)(v - largest)
                        : FN(exponentials)(v, largest, FN(first_lanes)(columns - last * LANES));
        sum = j > 0 ? sum + e[j] : e[j];
    }
    return sum;
}

/* LANES rows, reduced together; x is read twice, which takes less than to keep it. */
INLINE void FN(fill_block)(int64_t columns, const REAL *x, int64_t x_row, const int vectors,
                           FN(narrow_rows) *rows) {
    vec v[LANES];
    UNROLL
    for (int64_t i = 0; i < LANES; i++) v[i] = FN(narrow_max)(x + i * x_row, columns, x_row, vectors);
    FN(store)(rows->largest, FN(max_each)(v));
    for (int64_t i = 0; i < LANES; i++)
        v[i] = FN(narrow_exp)(x + i * x_row, rows->largest[i], columns, x_row, vectors, rows->e[i]);
    FN(store)(rows->total, FN(sum_each)(v));
}

/* Fewer rows, one by one. */
INLINE void FN(fill_rest)(int64_t count, int64_t columns, const REAL *x, int64_t x_row,
                          const int vectors, FN(narrow_rows) *rows) {
    FN(store)(rows->total, FN(splat)(1));
    for (int64_t i = 0; i < count; i++, x += x_row) {
        rows->largest[i] = FN(max)(FN(narrow_max)(x, columns, x_row, vectors));
        rows->total[i] = FN(sum)(
            FN(narrow_exp)(x, rows->largest[i], columns, x_row, vectors, rows->e[i]));
    }
}

/* Compiled once for each number of vectors, whoever asks. */
static __attribute__((noinline)) void FN(fill_rows)(int64_t count, int64_t columns, const REAL *x,
                                                    int64_t x_row, FN(narrow_rows) *rows) {
    if (columns <= LANES && count == LANES)
        FN(fill_block)(columns, x, x_row, 1, rows);
    else if (columns <= LANES)
        FN(fill_rest)(count, columns, x, x_row, 1, rows);
    else if (count == LANES)
        FN(fill_block)(columns, x, x_row, 2, rows);
    else
        FN(fill_rest)(count, columns, x, x_row, 2, rows);
}

/* Store narrow rows, each times its factor, one after the other. Where they follow close upon each
 * other, whole vectors may reach into the rows to come, which overwrite what was too much. */
INLINE void FN(store_narrow)(int64_t count, int64_t columns, const int vectors,
                             const FN(narrow_rows) *rows, const REAL *factors, REAL *y,
                             int64_t y_row) {
    const int64_t reach = vectors * LANES;
    const int64_t within = y_row == columns ? count - (reach + columns - 1) / columns : -1;
    for (int64_t i = 0; i < count; i++, y += y_row)
        UNROLL
        for (int j = 0; j < vectors; j++)
            FN(store_columns)(y + j * LANES, rows->e[i][j] * factors[i],
                              i <= within ? LANES : columns - j * LANES);
}

static void FN(narrow_softmax)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                               int64_t y_row, int logarithm) {
    const int vectors = NARROW_VECTORS;
    FN(narrow_rows) block;
    REAL logs[LANES], factors[LANES];
    for (int64_t first = 0; first < rows; first += LANES, x += LANES * x_row, y += LANES * y_row) {
        const int64_t count = rows - first < LANES ? rows - first : LANES;
        FN(fill_rows)(count, columns, x, x_row, &block);
        const vec totals = FN(load)(block.total);
        FN(store)(factors, logarithm ? FN(splat)(1) : 1 / totals);
        if (logarithm) {
            FN(store)(logs, FN(rare_log)(totals));
            for (int64_t i = 0; i < count; i++)
                UNROLL
                for (int j = 0; j < vectors; j++) {
                    const vec v = FN(load_narrow)(x + i * x_row, columns, x_row, j, vectors,
                                                  (vec){0});
                    block.e[i][j] = (v - block.largest[i]) - logs[i];
                }
        }
        FN(store_narrow)(count, columns, vectors, &block, factors, y, y_row);
    }
}

/* So few numbers are summed up one after the other. */
#define FEW_COLUMNS (LANES / 2)

/* Sums in the order that rows of as many columns have. */
static __attribute__((noinline)) vec FN(sum_of_columns)(int64_t count, const vec *x) {
    vec total = {0}, all[LANES];
    if (count > FEW_COLUMNS) {
        UNROLL
        for (int j = 0; j < LANES; j++) all[j] = j < count ? x[j] : (vec){0};
        return FN(sum_vectors)(all);
    }
    for (int64_t j = 0; j < count; j++) total += x[j];
    return total;
}

/* Some vectors of columns of x, which has up to LANES rows: in place, and with the bits that these
 * columns have as rows. They wait less for one another than each for itself. */
#define VECTORS_AT_ONCE (VECTOR_BYTES / 16)

INLINE void FN(softmax_of_vectors)(int64_t rows, REAL *x, int64_t x_row, const int vectors,
                                   int logarithm) {
    vec largest[VECTORS_AT_ONCE], e[VECTORS_AT_ONCE][LANES], of_column[VECTORS_AT_ONCE];
    UNROLL
    for (int v = 0; v < vectors; v++) largest[v] = FN(load)(x + v * LANES);
    for (int64_t j = 1; j < rows; j++)
        UNROLL
        for (int v = 0; v < vectors; v++)
            largest[v] = FN(larger)(largest[v], FN(load)(x + j * x_row + v * LANES));
    for (int64_t j = 0; j < rows; j++)
        UNROLL
        for (int v = 0; v < vectors; v++)
            e[v][j] = FN(exp)(FN(load)(x + j * x_row + v * LANES) - largest[v]);
    for (int v = 0; v < vectors; v++) {
        const vec total = FN(sum_of_columns)(rows, e[v]);
        of_column[v] = logarithm ? FN(rare_log)(total) : 1 / total;
    }
    for (int64_t j = 0; j < rows; j++)
        UNROLL
        for (int v = 0; v < vectors; v++) {
            REAL *p = x + j * x_row + v * LANES;
            FN(store)(p, logarithm ? (FN(load)(p) - largest[v]) - of_column[v]
                                   : e[v][j] * of_column[v]);
        }
}

static void FN(softmax_columns)(int64_t rows, int64_t columns, void *x_, int64_t x_row,
                                int logarithm) {
    REAL *x = x_;
    int64_t i = 0;
    for (; i + VECTORS_AT_ONCE * LANES <= columns; i += VECTORS_AT_ONCE * LANES)
        FN(softmax_of_vectors)(rows, x + i, x_row, VECTORS_AT_ONCE, logarithm);
    for (; i < columns; i += LANES) FN(softmax_of_vectors)(rows, x + i, x_row, 1, logarithm);
}

/* Rows of up to LANES columns go side by side, a row in each lane, so that an exponential serves
 * LANES rows: 4096 rows of 3 take 43 us one after the other, and 15 us so. */
static void FN(short_softmax)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                              int64_t y_row, int logarithm) {
    const int64_t most = VECTORS_AT_ONCE * LANES;
    REAL side[LANES * VECTORS_AT_ONCE * LANES] __attribute__((aligned(64)));
    for (int64_t first = 0; first < rows; first += most, x += most * x_row, y += most * y_row) {
        const int64_t count = rows - first < most ? rows - first : most;
        const int64_t whole = (count + LANES - 1) / LANES * LANES;
        FN(transpose_matrix)(count, columns, x, x_row, side, most, whole);
        FN(softmax_columns)(columns, whole, side, most, logarithm);
        FN(transpose_matrix)(columns, count, side, most, y, y_row, columns);
    }
}

INLINE REAL FN(sum_in_order)(int64_t count, vec x) {
    REAL total = 0;
    for (int64_t j = 0; j < count; j++) total += x[j];
    return total;
}

/* Few rows of one vector at most, with the bits that they have side by side. */
#define LONELY_ROWS (LANES / 4)

static void FN(softmax_one_by_one)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row,
                                   REAL *y, int64_t y_row, int logarithm) {
    const ivec used = FN(first_lanes)(columns);
    for (int64_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        const vec v = FN(load_row)(x, columns, x_row, FN(splat)(-INFINITY));
        const vec shifted = FN(where)(used, v - FN(max)(v)), e = FN(where)(used, FN(exp)(shifted));
        const REAL total = columns <= FEW_COLUMNS ? FN(sum_in_order)(columns, e) : FN(sum)(e);
        const vec result = logarithm ? shifted - FN(rare_log)(FN(splat)(total)) : e * (1 / total);
        FN(store_columns)(y, result, columns);
    }
}

static void FN(wide_softmax)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                             int64_t y_row, int logarithm) {
    for (int64_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        const REAL largest = FN(row_max)(x, columns);
        const REAL sum = FN(row_exp)(x, largest, logarithm ? NULL : y, columns);
        if (logarithm)
            FN(row_subtract)(x, largest, FN(rare_log)(FN(splat)(sum))[0], y, columns);
        else
            FN(row_scale)(y, 1 / sum, y, columns);
    }
}

static void FN(softmax)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                        int64_t y_row, int logarithm) {
    if (columns <= LANES && (rows == 1 || rows <= LONELY_ROWS))
        FN(softmax_one_by_one)(rows, columns, x, x_row, y, y_row, logarithm);
    else if (columns <= LANES)
        FN(short_softmax)(rows, columns, x, x_row, y, y_row, logarithm);
    else if (columns <= NARROW_COLUMNS)
        FN(narrow_softmax)(rows, columns, x, x_row, y, y_row, logarithm);
    else
        FN(wide_softmax)(rows, columns, x, x_row, y, y_row, logarithm);
}
/* softmax: out = y (g - sum(g y)); log_softmax: out = g - exp(y) sum(g). */
static void FN(softmax_gradient)(int64_t rows, int64_t columns, const REAL *g, int64_t g_row,
                                 const REAL *y, int64_t y_row, REAL *out, int64_t out_row,
                                 int logarithm) {
    for (int64_t i = 0; i < rows; i++, g += g_row, y += y_row, out += out_row) {
        vec sum = {0};
        for (int64_t j = 0; j < columns; j += LANES) {
            const vec gj = FN(load_columns)(g + j, columns - j);
            sum += logarithm ? gj : gj * FN(load_columns)(y + j, columns - j);
        }
        const REAL total = FN(sum)(sum);
        for (int64_t j = 0; j < columns; j += LANES) {
            const vec gj = FN(load_columns)(g + j, columns - j);
            const vec yj = FN(load_columns)(y + j, columns - j);
            const vec v = logarithm ? gj - FN(exp)(yj) * total : yj * (gj - total);
            FN(store_columns)(out + j, v, columns - j);
        }
    }
}

/* The t for which the positive ones of x - largest - t add up to 1: their sum less 1, divided by
 * their number. At first all that may be positive are taken for it, and as long as there are fewer
 * of them above the new t than before, it rises; a few times, as a rule. So the row need not be
 * sorted (Michelot, 1986, "A finite algorithm for finding the projection of a point onto the
 * canonical simplex of R^n"). */
INLINE REAL FN(sparsemax_threshold)(const REAL *x, REAL largest, int64_t columns) {
    REAL threshold = -1, count, before = (REAL)columns + 1;
    for (;; before = count) {
        vec total = {0}, ones = {0};
        for (int64_t j = 0; j < columns; j += LANES) {
            const vec rest = FN(splat)(-INFINITY);
            const vec v = FN(load_row)(x + j, columns - j, 0, rest) - largest;
            const ivec above = v > FN(splat)(threshold);
            total += FN(where)(above, v);
            ones += FN(one_where)(above);
        }
        count = FN(sum)(ones);
        if (count >= before) return threshold;
        threshold = (FN(sum)(total) - 1) / count;
    }
}

static void FN(sparsemax)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                          int64_t y_row) {
    for (int64_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        const REAL largest = FN(row_max_or_nan)(x, columns);
        const REAL threshold = FN(sparsemax_threshold)(x, largest, columns);
        for (int64_t j = 0; j < columns; j += LANES) {
            const vec v = (FN(load_columns)(x + j, columns - j) - largest) - threshold;
            FN(store_columns)(y + j, FN(relu)(v), columns - j);
        }
    }
}

/* Where y > 0, the gradient less its mean there; 0 elsewhere. */
static void FN(sparsemax_gradient)(int64_t rows, int64_t columns, const REAL *g, int64_t g_row,
                                   const REAL *y, int64_t y_row, REAL *out, int64_t out_row) {
    for (int64_t i = 0; i < rows; i++, g += g_row, y += y_row, out += out_row) {
        vec total = {0}, ones = {0};
        for (int64_t j = 0; j < columns; j += LANES) {
            const ivec above = FN(load_columns)(y + j, columns - j) > (vec){0};
            total += FN(where)(above, FN(load_columns)(g + j, columns - j));
            ones += FN(one_where)(above);
        }
        const REAL mean = FN(sum)(total) / FN(sum)(ones);
        for (int64_t j = 0; j < columns; j += LANES) {
            const ivec above = FN(load_columns)(y + j, columns - j) > (vec){0};
            const vec v = FN(load_columns)(g + j, columns - j) - mean;
            FN(store_columns)(out + j, FN(where)(above, v), columns - j);
        }
    }
}

/* y = a sigmoid(b), where a and b are the two halves of a row of x. */
static void FN(glu)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row, REAL *y,
                    int64_t y_row) {
    const int64_t half = columns / 2;
    for (int64_t i = 0; i < rows; i++, x += x_row, y += y_row)
        for (int64_t j = 0; j < half; j += LANES) {
            const vec a = FN(load_columns)(x + j, half - j);
            const vec b = FN(load_columns)(x + half + j, half - j);
            FN(store_columns)(y + j, a * FN(sigmoid)(b), half - j);
        }
}

static void FN(glu_gradient)(int64_t rows, int64_t columns, const REAL *g, int64_t g_row,
                             const REAL *x, int64_t x_row, REAL *out, int64_t out_row) {
    const int64_t half = columns / 2;
    for (int64_t i = 0; i < rows; i++, g += g_row, x += x_row, out += out_row)
        for (int64_t j = 0; j < half; j += LANES) {
            const vec gj = FN(load_columns)(g + j, half - j);
            const vec a = FN(load_columns)(x + j, half - j);
            const vec s = FN(sigmoid)(FN(load_columns)(x + half + j, half - j));
            FN(store_columns)(out + j, gj * s, half - j);
            FN(store_columns)(out + half + j, gj * a * s * (1 - s), half - j);
        }
}

static void FN(activate_rows)(fnn_activation kind, int64_t rows, int64_t columns, const void *x,
                              int64_t x_row, void *y, int64_t y_row) {
    switch (kind) {
    case FNN_SOFTMAX: FN(softmax)(rows, columns, x, x_row, y, y_row, 0); break;
    case FNN_LOG_SOFTMAX: FN(softmax)(rows, columns, x, x_row, y, y_row, 1); break;
    case FNN_SPARSEMAX: FN(sparsemax)(rows, columns, x, x_row, y, y_row); break;
    case FNN_GLU: FN(glu)(rows, columns, x, x_row, y, y_row); break;
    default: break;
    }
}

static void FN(activate_rows_gradient)(fnn_activation kind, int64_t rows, int64_t columns,
                                       const void *gradient, int64_t gradient_row,
                                       const void *saved, int64_t saved_row, void *out,
                                       int64_t out_row) {
    switch (kind) {
    case FNN_SOFTMAX:
        FN(softmax_gradient)(rows, columns, gradient, gradient_row, saved, saved_row, out,
                             out_row, 0);
        break;
    case FNN_LOG_SOFTMAX:
        FN(softmax_gradient)(rows, columns, gradient, gradient_row, saved, saved_row, out,
                             out_row, 1);
        break;
    case FNN_SPARSEMAX:
        FN(sparsemax_gradient)(rows, columns, gradient, gradient_row, saved, saved_row, out,
                               out_row);
        break;
    case FNN_GLU:
        FN(glu_gradient)(rows, columns, gradient, gradient_row, saved, saved_row, out, out_row);
        break;
    default: break;
    }
}
