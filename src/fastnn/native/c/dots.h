/* Products of rows with rows: c[i][j] = sum over p of a[i][p] b[j][p], both read as they lie.
 *
 * The gradient of a layer's input is such a product, of the gradient's rows with the kernel's. To
 * pack the transposed kernel, as the tiles of gemm.h want it, takes as long as the products of some
 * ten rows. Here a vector holds neighbours of p, sums run within the lanes, and the lanes are
 * summed up once, at the end: that pays where there are few rows and p goes far. */

#define DOT_ROWS 4
#define DOT_COLUMNS (TILE_ROWS > 6 ? 6 : 3)
#define DOT_SUMS (DOT_ROWS * DOT_COLUMNS)
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

/* Where the rows of a tile run out, the last one stands in for the missing. */
static void FN(dots_of_rows)(const fnn_dots *d) {
    for (int64_t column = 0; column < d->n; column += DOT_COLUMNS) {
        const int64_t columns = d->n - column < DOT_COLUMNS ? d->n - column : DOT_COLUMNS;
        const REAL *b_rows[DOT_COLUMNS];
        for (int64_t j = 0; j < DOT_COLUMNS; j++)
            b_rows[j] = (const REAL *)d->b + (column + (j < columns ? j : columns - 1)) * d->b_row;
        for (int64_t row = 0; row < d->m; row += DOT_ROWS) {
            const int64_t rows = d->m - row < DOT_ROWS ? d->m - row : DOT_ROWS;
            const REAL *a_rows[DOT_ROWS];
            for (int64_t i = 0; i < DOT_ROWS; i++)
                a_rows[i] = (const REAL *)d->a + (row + (i < rows ? i : rows - 1)) * d->a_row;
            REAL out[DOT_GROUPS * LANES];
            FN(dots_tile)(d->k, a_rows, b_rows, out);
            for (int64_t i = 0; i < rows; i++)
                memcpy((REAL *)d->c + (row + i) * d->c_row + column, out + i * DOT_COLUMNS,
                       (size_t)columns * sizeof(REAL));
        }
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

/* Where rows of A fill panels, as 32 do with AVX-512, the product is one for the tiles of gemm.h: rows
 * of B, as they lie, times packed rows of A. 53 against 67 us at 32 x 256 x 784. */
static int FN(turning_pays)(int64_t m, int64_t k) {
    return FN(fill_panels)(m) && m <= 4 * PANEL_WIDTH && 2 * m <= k && k <= TURNED_STEPS;
}

static void FN(turned_dots)(const fnn_dots *d, REAL *panels) {
    fnn_gemm across = {.m = d->n, .k = d->k, .a = d->b, .a_row = d->b_row, .a_col = 1,
                       .b = panels, .epilogue = FNN_STORE, .whole_m = TURNED_COLUMNS};
    for (int64_t row = 0; row < d->m; row += TURNED_ROWS) {
        across.n = d->m - row < TURNED_ROWS ? d->m - row : TURNED_ROWS;
        FN(pack)(d->k, across.n, (const REAL *)d->a + row * d->a_row, 1, d->a_row, panels);
        FN(gemm_turned)(across, d->k, (REAL *)d->c + row * d->c_row, d->c_row);
    }
}

/* Packing B weighs less the more rows there are, and the sums over lanes the longer they are: even are
 * with AVX-512 some 8, 24 and 48 rows for sums of 64, 128 and 256. They are not many more, however
 * long the sums, for tiles do more per load; and A, which each row of B goes along, should stay in
 * the cache. */
#define DOTS_ROWS 56
#define DOTS_BYTES (256 * 1024)

static int FN(dots_pay)(int64_t m, int64_t k) {
    const int few = 75 * m <= TILE_ROWS * k && m <= DOTS_ROWS &&
                    m * k * (int64_t)sizeof(REAL) < DOTS_BYTES;
    return m == 1 || few || FN(turning_pays)(m, k);
}

static void FN(dots)(const fnn_dots *d) {
    REAL *panels = FN(turning_pays)(d->m, d->k) ? FN(room_to_turn)(d->k) : NULL;
    if (d->m == 1)
        FN(dots_of_row)(d);
    else if (panels)
        FN(turned_dots)(d, panels);
    else
        FN(dots_of_rows)(d);
}
