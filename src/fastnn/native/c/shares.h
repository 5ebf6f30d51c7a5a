/* Kernels whose work is shared out over the team, where there is enough of it.
 *
 * Shares are ranges of what a kernel goes through independently: rows, columns, elements. Sums are
 * never taken over a share, so results do not depend on how many there are. (What is summed up in
 * halves is so with any number.) */
#ifndef FASTNN_SHARES_H
#define FASTNN_SHARES_H

#include <stdint.h>

#include "fastnn.h"

/* Run body(context, share, first, count) over at most so many shares: ranges that make up 0, ...,
 * total - 1, each but the last a multiple of `unit` long. How many shares pay, `fnn_team_size` of
 * team.h says. */
typedef void (*fnn_range)(void *context, int64_t share, int64_t first, int64_t count);
void fnn_share_out(int64_t shares, int64_t total, int64_t unit, fnn_range body, void *context);

/* The same in up to so many ranges, of which a share takes one after the other, and fewer where its
 * processor is slower. FNN_PARTS times as many as shares are enough. */
enum { FNN_PARTS = 8 };
void fnn_share_out_by_parts(int64_t shares, int64_t parts, int64_t total, int64_t unit,
                            fnn_range body, void *context);

void fnn_shared_gemm(const fnn_kernels *table, const fnn_gemm *g);

/* A product whose B is not packed: its elements lie at b + row * b_row + column * b_col, and there
 * are `columns` of them in a row (the product may store more, up to whole vectors). Each share
 * packs a few panels at a time, just before it uses them, in `room` elements of its own; there are
 * so many for up to `shares`. */
typedef struct {
    const void *b;
    int64_t b_row, b_col, columns;
    void *panels;
    int64_t room, shares;
} fnn_unpacked;
void fnn_shared_packing_gemm(const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b);

/* Whether to work out a product in halves: the more rows there are to a step, the more sums go from
 * core to core, and the less it matters that the kernel does not; little work is done by one thread.
 * Inline, for a small network asks as often as it multiplies. */
static inline int fnn_halves_pay(int64_t m, int64_t n, int64_t k) {
    return m >= 8 && 6 * m <= k && 2.0 * (double)m * (double)n * (double)k >= 2e6;
}

/* So many of the steps are the first half: rows of a kernel that end with a line, whatever its type. */
enum { FNN_HALF_UNIT = 8 };
static inline int64_t fnn_first_half(int64_t k) {
    return (k + FNN_HALF_UNIT - 1) / FNN_HALF_UNIT / 2 * FNN_HALF_UNIT;
}

/* A product with rows of neighbouring elements as A, summed up in two halves of its steps. */
typedef struct {
    const fnn_gemm *product;
    int64_t gap;                  /* the second half of A is so many elements further away */
    const fnn_unpacked *unpacked; /* B, or NULL if it is as in the product */
    const void *x;                /* A is filled first with rows of x, so far apart, in this order; */
    int64_t x_row;
    const int64_t *order;         /* NULL: it has them already */
    int *not_finite;              /* set to 1 if an element of these rows is not */
    void *second;                 /* room for as many sums as C has, apart as there */
} fnn_halves;
void fnn_shared_halves(const fnn_kernels *table, const fnn_halves *h);

/* Whether to copy an A of m rows and k steps, which is a transpose, in tiles for its product with n
 * columns, and how many steps at a time: a row of a tile has so many bytes at most, that the tile
 * stays in the first-level cache while it goes through the panels. Fewer than so many steps never
 * pay. */
enum { FNN_TILE_BYTES = 2048, FNN_LEAST_STEPS = 256 };
int fnn_tiles_pay(int64_t m, int64_t n, int64_t k);
/* The same where B is packed in lots of some panels, for each of which the transpose is gone through
 * again. Short vectors need more lots for the same columns, and lower tiles read steps that collide
 * in the first-level cache more often: with AVX2 20.3 ms instead of 22.6 at 784 x 4096 x 256, 413 us
 * instead of 465 at 256 x 256 x 256. With AVX-512 a backward pass of 4096 x 784 x 256 takes 27 ms
 * instead of 33. */
int fnn_tiles_pay_beside_lots(const fnn_kernels *table, const fnn_gemm *g);
int64_t fnn_steps_in_tiles(const fnn_kernels *table, int64_t k);
void fnn_shared_copy_in_tiles(const fnn_kernels *table, int64_t m, int64_t k, const void *a,
                              int64_t a_col, void *copy);
void fnn_shared_gemm_of_tiles(const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b);

void fnn_shared_dots(const fnn_kernels *table, const fnn_dots *d);
void fnn_shared_pack(const fnn_kernels *table, int64_t k, int64_t n, const void *b, int64_t b_row,
                     int64_t b_col, void *packed);
/* Whether all elements of x are finite. */
int fnn_shared_all_finite(const fnn_kernels *table, int64_t n, const void *x);
void fnn_shared_activate(const fnn_kernels *table, fnn_activation kind, const double *options,
                         int64_t n, const void *x, void *y);
void fnn_shared_activate_gradient(const fnn_kernels *table, fnn_activation kind,
                                  const double *options, int64_t n, const void *gradient,
                                  const void *saved, void *out);
void fnn_shared_activate_with_slope(const fnn_kernels *table, fnn_activation kind,
                                    const double *options, int64_t n, const void *x, void *y,
                                    void *slopes);
/* Returns whether all elements that it copies are finite. */
int fnn_shared_gather(const fnn_kernels *table, int64_t rows, int64_t columns, const void *x,
                      int64_t x_row, const int64_t *order, void *out, int64_t out_row);
void fnn_shared_column_sums(const fnn_kernels *table, int64_t rows, int64_t columns, const void *x,
                            int64_t x_row, void *out, int add);
double fnn_shared_loss(const fnn_kernels *table, const fnn_loss_args *args);
double fnn_shared_metric(const fnn_kernels *table, const fnn_metric_args *args);
void fnn_shared_dropout(const fnn_kernels *table, const fnn_dropout *d);
/* One step of a layer, by what it may be shared out. */
typedef void (*fnn_layer_step)(const fnn_layer *);
void fnn_shared_layer_step(const fnn_kernels *table, fnn_layer_step step, fnn_split split,
                           const fnn_layer *l);
void fnn_shared_update(const fnn_kernels *table, const fnn_update *u);
/* Update a matrix by the gradient that is the product g, a few rows at a time: what lies at g->c
 * afterwards is none. The second half of A, which is a transpose, is `gap` elements further away. */
void fnn_shared_gradient_and_update(const fnn_kernels *table, const fnn_gemm *g, int64_t gap,
                                    const fnn_update *u);
void fnn_shared_min_max_norm(const fnn_kernels *table, int64_t rows, int64_t columns, double low,
                             double high, double rate, void *x);
void fnn_shared_non_neg(const fnn_kernels *table, int64_t n, void *x);

#endif
