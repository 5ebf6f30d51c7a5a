/* Doubles as floats. */

#ifndef FASTNN_NARROW_H
#define FASTNN_NARROW_H

#include <stdint.h>

typedef double fnn_doubles __attribute__((vector_size(32), aligned(8), may_alias));
typedef float fnn_floats __attribute__((vector_size(16), aligned(4), may_alias));

static void fnn_narrow_row(int64_t columns, const double *x, float *y) {
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4)
        *(fnn_floats *)(y + j) =
            __builtin_convertvector(*(const fnn_doubles *)(x + j), fnn_floats);
    for (; j < columns; j++) y[j] = (float)x[j];
}

/* A matrix of any strides, in bytes, as one without gaps; infinite where a number is too large. Few
 * rows at a time: where columns are what lies side by side, these are a cache line of each. */
#define NARROWED_ROWS 8

static void fnn_narrow(int64_t rows, int64_t columns, const char *x, int64_t x_row,
                       int64_t x_column, float *y) {
    if (x_column == (int64_t)sizeof(double)) {
        for (int64_t i = 0; i < rows; i++)
            fnn_narrow_row(columns, (const double *)(x + i * x_row), y + i * columns);
        return;
    }
    for (int64_t first = 0; first < rows; first += NARROWED_ROWS) {
        const int64_t end = rows - first < NARROWED_ROWS ? rows : first + NARROWED_ROWS;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = first; i < end; i++)
                y[i * columns + j] = (float)*(const double *)(x + i * x_row + j * x_column);
    }
}

#endif
