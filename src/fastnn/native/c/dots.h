/* Products of rows with rows: c[i][j] = sum over p of a[i][p] b[j][p], both read as they lie.
 *
 * The gradient of a layer's input is such a product, of the gradient's rows with the kernel's. To
 * pack the transposed kernel, as the tiles of gemm.h want it, takes as long as the products of some
 * ten rows. Here a vector holds neighbours of p, sums run within the lanes, and the lanes are
 * summed up once, at the end: that pays where there are few rows and p goes far. */

#define DOT_ROWS 4
#define DOT_COLUMNS (TILE_ROWS > 6 ? 6 : 3)
#define DOT_SUMS (DOT_ROWS * DOT_COLUMNS)
#define DOT_BYTES (256 * 1024) /* of A at a time */
#define DOT_GROUPS ((DOT_SUMS + LANES - 1) / LANES)

INLINE void FN(dots_step)(const REAL *const *a, const REAL *const *b, int64_t p, int64_t lanes,
                          vec *sums) {
    vec bj[DOT_COLUMNS];
    UNROLL
    for (int j = 0; j < DOT_COLUMNS; j++) bj[j] = FN(load_columns)(b[j] + p, lanes);
    UNROLL
    for (int i = 0; i < DOT_ROWS; i++) {
        const vec ai = FN(load_columns)(a[i] + p, lanes);
        UNROLL
        for (int j = 0; j < DOT_COLUMNS; j++) sums[i * DOT_COLUMNS + j] += ai * bj[j];
    }
}

/* All products of DOT_ROWS rows of A with DOT_COLUMNS rows of B, row by row. */
INLINE void FN(dots_tile)(int64_t k, const REAL *const *a, const REAL *const *b, REAL *out) {
    vec sums[DOT_GROUPS * LANES];
    UNROLL
    for (int i = 0; i < DOT_GROUPS * LANES; i++) sums[i] = (vec){0};
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) FN(dots_step)(a, b, p, LANES, sums);
    if (p < k) FN(dots_step)(a, b, p, k - p, sums);
    UNROLL
    for (int i = 0; i < DOT_GROUPS; i++)
        FN(store)(out + i * LANES, FN(sum_each)(sums + i * LANES));
}

/* Rows of A, `a_row` apart, with all rows of B. Where those of a tile run out, the last one stands in
 * for the missing. */
static void FN(dots_of_block)(const fnn_dots *d, const REAL *a, int64_t a_row, int64_t m, REAL *c) {
    for (int64_t column = 0; column < d->n; column += DOT_COLUMNS) {
        const int64_t columns = d->n - column < DOT_COLUMNS ? d->n - column : DOT_COLUMNS;
        const REAL *b_rows[DOT_COLUMNS];
        for (int64_t j = 0; j < DOT_COLUMNS; j++)
            b_rows[j] = (const REAL *)d->b + (column + (j < columns ? j : columns - 1)) * d->b_row;
        for (int64_t row = 0; row < m; row += DOT_ROWS) {
            const int64_t rows = m - row < DOT_ROWS ? m - row : DOT_ROWS;
            const REAL *a_rows[DOT_ROWS];
            for (int64_t i = 0; i < DOT_ROWS; i++)
                a_rows[i] = a + (row + (i < rows ? i : rows - 1)) * a_row;
            REAL out[DOT_GROUPS * LANES];
            FN(dots_tile)(d->k, a_rows, b_rows, out);
            for (int64_t i = 0; i < rows; i++)
                memcpy(c + (row + i) * d->c_row + column, out + i * DOT_COLUMNS,
                       (size_t)columns * sizeof(REAL));
        }
    }
}

/* Rows of A come from the second-level cache for each tile, so they are copied to where they begin
 * with a cache line and do not compete for the same ones: 2.5 ms instead of 3.1 for 128 rows of
 * 1024 with 1024 in an array that begins elsewhere. Without memory for that they stay. */
static void FN(dots_of_rows)(const fnn_dots *d) {
    const int64_t copied_row = (d->k / LANES + 2) * LANES;
    const int64_t tiles = DOT_BYTES / (copied_row * DOT_ROWS * (int64_t)sizeof(REAL));
    const int64_t block = DOT_ROWS * (tiles > 1 ? tiles : 1);
    REAL *copy = fnn_scratch((size_t)(block * copied_row) * sizeof(REAL));
    for (int64_t row = 0; row < d->m; row += block) {
        const int64_t rows = d->m - row < block ? d->m - row : block;
        const REAL *a = (const REAL *)d->a + row * d->a_row;
        REAL *c = (REAL *)d->c + row * d->c_row;
        for (int64_t i = 0; copy && i < rows; i++)
            memcpy(copy + i * copied_row, a + i * d->a_row, (size_t)d->k * sizeof(REAL));
        FN(dots_of_block)(d, copy ? copy : a, copy ? copied_row : d->a_row, rows, c);
    }
}

/* A single row waits for B, which it reads once. Two sums hide the wait for each addition. */
static void FN(dots_of_row)(const fnn_dots *d) {
    const REAL *a = d->a, *b = d->b;
    REAL *c = d->c;
    for (int64_t j = 0; j < d->n; j++, b += d->b_row) {
        vec even = {0}, odd = {0};
        int64_t p = 0;
        for (; p + 2 * LANES <= d->k; p += 2 * LANES) {
            even += FN(load)(a + p) * FN(load)(b + p);
            odd += FN(load)(a + p + LANES) * FN(load)(b + p + LANES);
        }
        for (; p < d->k; p += LANES)
            even += FN(load_columns)(a + p, d->k - p) * FN(load_columns)(b + p, d->k - p);
        c[j] = FN(sum)(even + odd);
    }
}

static void FN(dots)(const fnn_dots *d) {
    if (d->m == 1)
        FN(dots_of_row)(d);
    else
        FN(dots_of_rows)(d);
}
