/* Transposes of matrices, a square of LANES by LANES at a time, in registers. */

/* As many rows of x as there are vectors, `whole` or with zeros where there are no rows or columns. No
 * row takes a branch: that would be four times as much code. */
INLINE void FN(load_square)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row,
                            vec square[LANES], const int whole) {
    const int64_t loaded = columns < LANES ? columns : LANES;
    UNROLL
    for (int i = 0; i < LANES; i++)
        square[i] = whole      ? FN(load)(x + i * x_row)
                    : i < rows ? FN(load_part)(x + i * x_row, loaded, (vec){0})
                               : FN(load_part)(x, 0, (vec){0});
}

/* Few rows or columns, such as the inputs and outputs of a small network, take a third of the
 * exchanges, which counts where there are many. */
#define FEW_VECTORS (LANES > 8 ? LANES / 4 : 0)

/* A part of a square of x, in which there are at most so many rows and columns, to one of y. */
INLINE void FN(transpose_square)(int64_t rows, int64_t columns, const REAL *x, int64_t x_row,
                                 REAL *y, int64_t y_row, int64_t written, const int most_rows,
                                 const int most_columns) {
    vec square[LANES];
    FN(load_square)(rows, columns, x, x_row, square, 0);
    UNROLL
    for (int i = most_rows; i < LANES; i++) square[i] = (vec){0};
    if (most_columns < LANES)
        FN(transpose_to_few)(square);
    else
        FN(transpose)(square);
    UNROLL
    for (int j = 0; j < most_columns; j++)
        if (j < columns) FN(store_columns)(y + j * y_row, square[j], written);
}

/* Functions of their own, in which all addresses fit the registers. */
static __attribute__((noinline)) void FN(transpose_whole)(const REAL *x, int64_t x_row, REAL *y,
                                                          int64_t y_row) {
    vec square[LANES];
    FN(load_square)(LANES, LANES, x, x_row, square, 1);
    FN(transpose)(square);
    UNROLL
    for (int j = 0; j < LANES; j++) FN(store)(y + j * y_row, square[j]);
}
static __attribute__((noinline)) void FN(transpose_few_columns)(int64_t columns, const REAL *x,
                                                                int64_t x_row, REAL *y,
                                                                int64_t y_row) {
    FN(transpose_square)(LANES, columns, x, x_row, y, y_row, LANES, LANES, FEW_VECTORS);
}
static __attribute__((noinline)) void FN(transpose_few_rows)(int64_t rows, const REAL *x,
                                                             int64_t x_row, REAL *y,
                                                             int64_t y_row, int64_t written) {
    FN(transpose_square)(rows, LANES, x, x_row, y, y_row, written, FEW_VECTORS, LANES);
}
static __attribute__((noinline)) void FN(transpose_part)(int64_t rows, int64_t columns,
                                                         const REAL *x, int64_t x_row, REAL *y,
                                                         int64_t y_row, int64_t written) {
    FN(transpose_square)(rows, columns, x, x_row, y, y_row, written, LANES, LANES);
}

/* Along one vector of rows of y after the other: rows of 2 kB fall on the same few lines of the cache. */
static void FN(transpose_matrix)(int64_t rows, int64_t columns, const void *x_, int64_t x_row,
                                 void *y_, int64_t y_row, int64_t written) {
    for (int64_t j = 0; j < columns; j += LANES)
        for (int64_t i = 0; i < written; i += LANES) {
            const REAL *x = (const REAL *)x_ + i * x_row + j;
            REAL *y = (REAL *)y_ + j * y_row + i;
            const int64_t rows_left = rows - i, columns_left = columns - j;
            if (rows_left >= LANES && columns_left >= LANES)
                FN(transpose_whole)(x, x_row, y, y_row);
            else if (rows_left >= LANES && columns_left <= FEW_VECTORS)
                FN(transpose_few_columns)(columns_left, x, x_row, y, y_row);
            else if (rows_left <= FEW_VECTORS && columns_left >= LANES)
                FN(transpose_few_rows)(rows_left, x, x_row, y, y_row, written - i);
            else
                FN(transpose_part)(rows_left, columns_left, x, x_row, y, y_row, written - i);
        }
}
