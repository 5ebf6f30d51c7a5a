/* Constraints on weights, and the passes of the orthogonal penalty around its two products.
 *
 * Norms are summed in double, whatever the type. Plain loops: the compiler makes vectors of them. */

#define NORM_COLUMNS 64
#define NORM_EPSILON 1e-7 /* added to norms before they divide */
#define LEAST_NORM 1e-7   /* shorter vectors are divided by this */

static void FN(min_max_norm)(int64_t rows, int64_t columns, int64_t x_row, double low, double high,
                             double rate, void *x_) {
    REAL *x = x_;
    for (int64_t first = 0; first < columns; first += NORM_COLUMNS, x += NORM_COLUMNS) {
        const int64_t left = columns - first, width = left < NORM_COLUMNS ? left : NORM_COLUMNS;
        double squares[NORM_COLUMNS] = {0};
        REAL factors[NORM_COLUMNS];
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < width; j++)
                squares[j] += (double)x[i * x_row + j] * (double)x[i * x_row + j];
        for (int64_t j = 0; j < width; j++) {
            const double norm = sqrt(squares[j]);
            const double bounded = norm < low ? low : norm > high ? high : norm; /* NaN stays */
            factors[j] = (REAL)((rate * bounded + (1 - rate) * norm) / (NORM_EPSILON + norm));
        }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < width; j++) x[i * x_row + j] *= factors[j];
    }
}

static void FN(non_neg)(int64_t n, void *x_) {
    REAL *x = x_;
    for (int64_t i = 0; i < n; i++) x[i] = x[i] < 0 ? 0 : x[i];
}

static void FN(unit_vectors)(const fnn_vectors *v) {
    for (int64_t i = 0; i < v->count; i++) {
        const REAL *w = (const REAL *)v->w + i * v->vector;
        REAL *unit = (REAL *)v->units + i * v->units_row;
        double squares = 0;
        for (int64_t p = 0; p < v->length; p++)
            squares += (double)w[p * v->element] * (double)w[p * v->element];
        const double norm = v->norms[i] = sqrt(squares);
        const double divisor = norm < LEAST_NORM ? LEAST_NORM : norm;
        for (int64_t p = 0; p < v->length; p++) unit[p] = (REAL)(w[p * v->element] / divisor);
    }
}

/* The sum of the magnitudes of some rows of the Gram matrix, which begin with number `first`, but
 * for the diagonal; each element gives way to its sign, those of the diagonal to 0. */
static double FN(pair_signs)(int64_t first, int64_t rows, int64_t count, void *gram,
                             int64_t gram_row) {
    double total = 0;
    for (int64_t i = 0; i < rows; i++) {
        REAL *g = (REAL *)gram + i * gram_row;
        g[first + i] *= 0; /* NaN stays */
        double sum = 0;
        for (int64_t j = 0; j < count; j++) {
            sum += fabs((double)g[j]);
            g[j] = g[j] > 0 ? (REAL)1 : g[j] < 0 ? (REAL)-1 : g[j];
        }
        total += sum;
    }
    return total;
}

/* gradient += scale * (slope - (slope unit) unit) / norm for some of the vectors; `slopes` has
 * their rows alone. */
static void FN(orthogonal_gradient)(const fnn_vectors *v, int64_t first, int64_t rows,
                                    double scale, const void *slopes, void *gradient) {
    for (int64_t i = first; i < first + rows; i++) {
        const REAL *slope = (const REAL *)slopes + (i - first) * v->units_row;
        const REAL *unit = (const REAL *)v->units + i * v->units_row;
        REAL *g = (REAL *)gradient + i * v->vector;
        const double norm = v->norms[i];
        double along = 0;
        if (!(norm <= LEAST_NORM))
            for (int64_t p = 0; p < v->length; p++) along += (double)slope[p] * (double)unit[p];
        const double factor = scale / (norm < LEAST_NORM ? LEAST_NORM : norm);
        for (int64_t p = 0; p < v->length; p++)
            g[p * v->element] += (REAL)(factor * (slope[p] - along * unit[p]));
    }
}
