/* What the C kernels offer to the Cython floor: one table of functions per instruction set and
 * float type.
 *
 * Every table has the same shape, and arrays pass as void pointers, so that the code above is
 * written once: it takes a table and never asks which type or instruction set stands behind it.
 * Strides and sizes count elements, not bytes. */
#ifndef FASTNN_H
#define FASTNN_H

#include <stdint.h>

/* What takes options has them named behind it, in their order: numbers that the kernels are given
 * as an array, which is NULL for all others. */
typedef enum {
    FNN_LINEAR,
    FNN_RELU,
    FNN_LEAKY_RELU, /* slope below zero */
    FNN_SIGMOID,
    FNN_TANH,
    FNN_ELU,        /* scale below zero */
    FNN_SELU,
    FNN_SILU,
    FNN_GELU,
    FNN_SOFTPLUS,
    FNN_SOFTSIGN,
    FNN_HARD_SIGMOID,
    FNN_EXPONENTIAL,
    FNN_STEP,
    FNN_BOUNDED_RELU, /* slope below the threshold, largest value, threshold */
    FNN_RELU6,
    FNN_HARD_TANH,
    FNN_HARD_SILU,
    FNN_CELU,        /* scale below zero */
    FNN_MISH,
    FNN_LOG_SIGMOID,
    FNN_SQUAREPLUS,  /* b */
    FNN_TANH_SHRINK,
    FNN_SOFT_SHRINK, /* threshold */
    FNN_HARD_SHRINK, /* threshold */
    FNN_THRESHOLD,   /* threshold, value up to it */
    FNN_SPARSE_PLUS,
    FNN_SPARSE_SIGMOID,
    /* From here on over whole rows, not element by element. */
    FNN_SOFTMAX,
    FNN_LOG_SOFTMAX,
    FNN_SPARSEMAX,
    FNN_GLU /* y has half the columns of x */
} fnn_activation;

typedef enum {
    FNN_MEAN_SQUARED_ERROR,
    FNN_MEAN_ABSOLUTE_ERROR,
    FNN_MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    FNN_MEAN_SQUARED_LOGARITHMIC_ERROR,
    FNN_HUBER,
    FNN_LOG_COSH,
    FNN_QUANTILE_LOSS,
    FNN_POISSON,
    FNN_TWEEDIE,
    FNN_HINGE,
    FNN_SQUARED_HINGE,
    FNN_PERCEPTRON_LOSS,
    FNN_KL_DIVERGENCE,
    FNN_BINARY_CROSSENTROPY,
    FNN_BINARY_FOCAL_CROSSENTROPY,
    /* From here on over whole rows, not column by column. */
    FNN_COSINE_SIMILARITY,
    FNN_GAUSSIAN_NLL,
    FNN_CATEGORICAL_HINGE,
    FNN_CATEGORICAL_CROSSENTROPY,
    FNN_CATEGORICAL_FOCAL_CROSSENTROPY,
    FNN_SPARSE_CATEGORICAL_CROSSENTROPY
} fnn_loss;

typedef enum {
    FNN_METRIC_SQUARED_ERROR,
    FNN_METRIC_ABSOLUTE_ERROR,
    FNN_METRIC_BINARY_ACCURACY,
    FNN_METRIC_CATEGORICAL_ACCURACY,
    FNN_METRIC_SPARSE_CATEGORICAL_ACCURACY
} fnn_metric;

typedef enum {
    FNN_SGD,
    FNN_RMSPROP,
    FNN_ADAGRAD,
    FNN_ADAM,
    FNN_ADADELTA,
    FNN_ADAMAX,
    FNN_NADAM,
    FNN_FTRL,
    FNN_LION,
    /* What goes on around a step, over the same arrays. */
    FNN_ACCUMULATE,    /* parameter += gradient */
    FNN_MOVING_AVERAGE /* parameter = momentum parameter + (1 - momentum) gradient */
} fnn_optimizer;

/* The most state arrays that a step has. */
#define FNN_SLOTS 3

/* What happens to a tile of the product on its way to memory. */
typedef enum {
    FNN_STORE,            /* c = ab + bias                              */
    FNN_STORE_ACTIVATION, /* c = activation(ab + bias)                  */
    FNN_STORE_TRANSPOSE,  /* the same, with an element of bias for each row of c; all of them have
                             the bits that FNN_STORE_ACTIVATION gives them in the transposed c  */
    FNN_STORE_GRADIENT    /* c = ab * activation'(.), taken from saved  */
} fnn_epilogue;

/* C (m x n) = A (m x k) B (k x n), plus what the epilogue says.
 *
 * B is read in panels of `panel_width` columns (the table's): panel p begins at b + p * b_panel,
 * and its rows lie b_row apart. A packed B has b_row = panel_width and b_panel = k * panel_width,
 * its last panel filled with zeros; an unpacked one has b_row = its row length and b_panel =
 * panel_width, and must be readable to the end of the last panel's vectors (`vector_width`). */
typedef struct {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_panel;
    void *c;
    int64_t c_row;
    const void *bias;  /* n elements readable to the end of the last vector, or NULL; for
                          FNN_STORE_TRANSPOSE m elements */
    fnn_epilogue epilogue;
    fnn_activation activation;
    const double *options;
    const void *saved; /* for FNN_STORE_GRADIENT: the activation's input or its output, */
    int64_t saved_row; /* whichever `fnn_saves_input` says                              */
    int64_t whole_m;   /* m of the product that this one is a part of: the order of sums, and so
                          their rounding, depends on it and on b_row, not on m and n; for
                          FNN_STORE_TRANSPOSE n of that one, more than three */
    int add;           /* to what C holds */
} fnn_gemm;

/* c[i][j] = sum over p < k of a[i][p] b[j][p]: products of m rows with n rows, each so far from the
 * next. */
typedef struct {
    int64_t m, n, k;
    const void *a;
    int64_t a_row;
    const void *b;
    int64_t b_row;
    void *c;
    int64_t c_row;
} fnn_dots;

typedef struct {
    int64_t rows, columns;
    const void *x;
    int64_t x_row;
    void *y;
    int64_t y_row;
    void *factors; /* NULL, or where what x is multiplied by goes, in rows as long as those of y */
    double rate;
    uint64_t seed, step;
    int64_t first_row; /* number of the first row, for the generator */
} fnn_dropout;

/* By the names that they have above; a loss reads its own. */
typedef struct {
    int from_logits;
    double label_smoothing;
    double delta;
    double quantile;
    double power;
    int log_link;
    int full;
    int apply_class_balancing;
    double alpha, gamma;
} fnn_loss_options;

typedef struct {
    fnn_loss kind;
    fnn_loss_options options;
    int64_t rows, columns; /* of the predictions */
    const void *predictions; /* every row is readable for predictions_row elements */
    int64_t predictions_row;
    const void *targets;   /* rows x columns, half of them for FNN_GAUSSIAN_NLL */
    int64_t targets_row;
    const int64_t *order;  /* which row of the targets belongs to each, or NULL: the same */
    const int32_t *labels; /* instead of targets, for the sparse kind */
    const void *weights;   /* per row, or NULL for 1 */
    double scale;          /* factor of every gradient */
    void *gradient;        /* rows x columns, or NULL; rows can be written for gradient_row */
    int64_t gradient_row;
    void *values;          /* per row, unweighted, or NULL */
    void *probabilities;   /* rows x columns, or NULL: where to write them, from logits; may be
                              `predictions` itself, and has rows as long */
    int64_t probabilities_row;
} fnn_loss_args;

typedef struct {
    fnn_metric kind;
    double threshold;
    int64_t rows, columns;
    const void *predictions;
    int64_t predictions_row;
    const void *targets;
    int64_t targets_row;
    const int64_t *order; /* as above */
    const int32_t *labels;
    void *values; /* per row, or NULL */
} fnn_metric_args;

/* A step of an optimizer over n elements of a parameter, of its gradient and of the optimizer's
 * state arrays. */
typedef struct {
    fnn_optimizer kind;
    int64_t n;
    void *parameter;
    const void *gradient;
    void *slots[FNN_SLOTS]; /* or NULL */
    const double *hyper;    /* hyper-parameters, in the order given in updates.h */
} fnn_update;

/* What a layer works on that is neither dense nor an activation. Which weights and options each has,
 * and in what order, is said at its head, in layers.h and its kin. */
typedef struct {
    int64_t rows, inputs, outputs;
    int64_t first, count; /* the rows or columns to work on, as the `fnn_split` of the step says */
    const double *options;
    const void *const *weights; /* a weight that the layer does without is NULL */
    const void *x;
    int64_t x_row;
    void *y;
    int64_t y_row;
    void *room; /* what the steps of a pass keep for each other */
    int training;
    uint64_t seed, step;
    int64_t first_row; /* number of the first row in the batch, for the generator */
    /* Backward: */
    const void *gradient; /* with respect to y */
    int64_t gradient_row;
    void *input_gradient; /* with respect to x; not `gradient` itself */
    int64_t input_gradient_row;
    void *const *weight_gradients; /* NULL for those that are not wanted */
    int add;                       /* to what the weights' gradients hold */
    double scale;                  /* of penalties in the gradient: 1 / rows of the batch */
} fnn_layer;

/* By what a step may be shared out over threads, without a change in the result. */
typedef enum { FNN_WHOLE, FNN_BY_ROWS, FNN_BY_COLUMNS } fnn_split;

/* The steps of a layer, in the order in which a training step takes them; some are NULL. */
typedef struct {
    const char *name;
    const char *options; /* their names in `fastnn.program.LayerOp`, in the order of their numbers */
    void (*forward)(const fnn_layer *l);
    double (*penalty)(const fnn_layer *l);       /* added to the loss, summed over the rows */
    void (*weight_gradients)(const fnn_layer *l);
    void (*input_gradient)(const fnn_layer *l);
    void (*renew)(const fnn_layer *l);           /* weights that follow the data, at the end */
    /* Where only rows of weights that x names have a gradient: the row that element (i, j) names, or
     * -1, and the weight, or -1, which is the same for the whole column. */
    int64_t (*named_row)(const fnn_layer *l, int64_t i, int64_t j, int *weight);
    fnn_split forward_by, weights_by, input_by;
    /* Elements of `room`: for each row, and besides. */
    int64_t (*room_of_row)(const fnn_layer *l);
    int64_t (*room_besides)(const fnn_layer *l);
} fnn_layer_steps;

/* Vectors of weights: element p of vector i lies at w + i * vector + p * element. */
typedef struct {
    int64_t count, length;
    const void *w;
    int64_t vector, element;
    void *units; /* the vectors divided by their norms, one after the other */
    int64_t units_row;
    double *norms;
} fnn_vectors;

typedef struct {
    int64_t itemsize;
    int64_t vector_width; /* elements in a register */
    int64_t panel_width;  /* columns in a panel of B */
    int64_t tile_rows;    /* rows of the largest tile */

    void (*gemm)(const fnn_gemm *g);
    /* How many steps are summed up before they are added to C, where rows of B are so far apart. */
    int64_t (*most_steps)(int64_t b_row);
    /* Whether gemm copies rows of A to where they do not collide in the caches. */
    int (*rows_go_apart)(const fnn_gemm *g);
    /* Whether a B of n columns, which could be read where it is, had better be packed for an A of m
     * rows. NULL stands for a B that begins at a cache line. */
    int (*packing_pays)(int64_t m, int64_t n, const void *b, int64_t b_row);
    /* Copy B (k x n, strides b_row and b_col, one of which is 1) into packed panels. */
    void (*pack)(int64_t k, int64_t n, const void *b, int64_t b_row, int64_t b_col, void *packed);
    /* A product with whole panels of a B that lies in rows, each of which is packed, in room for one
     * of them, while it is first gone through; and whether that beats packing beforehand. NULL where
     * it never does. */
    void (*packing_gemm)(const fnn_gemm *g, void *packed);
    int (*packs_in_passing)(const fnn_gemm *g);
    /* Copy `count` of the k steps, from step `first` on, of an A of m rows, which is a transpose: its
     * steps are a_col apart. A whole copy has m * k elements, tile after tile. */
    void (*copy_in_tiles)(int64_t m, int64_t k, int64_t first, int64_t count, const void *a,
                          int64_t a_col, void *copy);
    /* A product with such a copy and a packed B. There is no more to it than sums, which are added
     * to what C holds if `add`. */
    void (*gemm_of_tiles)(const fnn_gemm *g);

    void (*dots)(const fnn_dots *d);
    /* Whether that takes less time for a product with a transposed matrix than to pack it. */
    int (*dots_pay)(int64_t m, int64_t k);

    /* y = the transpose of x. Rows of y get `written` elements, zeros where x has no row. */
    void (*transpose)(int64_t rows, int64_t columns, const void *x, int64_t x_row, void *y,
                      int64_t y_row, int64_t written);

    /* Element by element over n elements; y may be x. */
    void (*activate)(fnn_activation kind, const double *options, int64_t n, const void *x,
                     void *y);
    /* out = gradient * activation'(saved); out may be gradient. */
    void (*activate_gradient)(fnn_activation kind, const double *options, int64_t n,
                              const void *gradient, const void *saved, void *out);
    /* y and the derivative at x of those that `fnn_saves_slope` names; y or slopes may be x. */
    void (*activate_with_slope)(fnn_activation kind, const double *options, int64_t n,
                                const void *x, void *y, void *slopes);
    /* Row by row; x has `columns`. Rows of x are read, and thrown away, up to their length x_row;
     * y may be x. */
    void (*activate_rows)(fnn_activation kind, int64_t rows, int64_t columns, const void *x,
                          int64_t x_row, void *y, int64_t y_row);
    /* Softmax, or its logarithm, of each of some whole vectors of columns, in place. Up to
     * `vector_width` rows; the bits are those of `activate_rows` for several rows. */
    void (*softmax_columns)(int64_t rows, int64_t columns, void *x, int64_t x_row, int logarithm);
    /* The gradient at x, which has `columns`, from that at y; out may be gradient if y has as many
     * columns as x. */
    void (*activate_rows_gradient)(fnn_activation kind, int64_t rows, int64_t columns,
                                   const void *gradient, int64_t gradient_row, const void *saved,
                                   int64_t saved_row, void *out, int64_t out_row);

    double (*loss)(const fnn_loss_args *args); /* weighted sum over rows */
    double (*metric)(const fnn_metric_args *args); /* sum over rows */

    void (*update)(const fnn_update *u);

    /* out = sums over the rows of x, or plus these if `add`. */
    void (*column_sums)(int64_t rows, int64_t columns, const void *x, int64_t x_row, void *out,
                        int add);
    /* Rows of x in that order; returns whether all of their elements are finite. */
    int (*gather)(int64_t rows, int64_t columns, const void *x, int64_t x_row,
                  const int64_t *order, void *out, int64_t out_row);
    void (*dropout)(const fnn_dropout *d);
    const fnn_layer_steps *const *layers; /* all that there are, ended by NULL */
    /* Whether x[0], x[step], ... are whole numbers from 0 to table_rows - 1, each of them exact. */
    int (*are_row_numbers)(int64_t count, const void *x, int64_t step, int64_t table_rows);
    /* y = a + b, row by row; y may be a or b. */
    void (*add_matrices)(int64_t rows, int64_t columns, const void *a, int64_t a_row, const void *b,
                     int64_t b_row, void *y, int64_t y_row);

    double (*sum_of_squares)(int64_t n, const void *x);
    double (*sum_of_magnitudes)(int64_t n, const void *x);
    void (*scale)(int64_t n, double factor, void *x);
    void (*clip)(int64_t n, double bound, void *x);
    /* gradient += l1 * sign(x) + 2 * l2 * x */
    void (*penalise)(int64_t n, double l1, double l2, const void *x, void *gradient);
    int (*all_finite)(int64_t n, const void *x);

    /* Constraints: columns scaled to norms between low and high, and x = max(x, 0). */
    void (*min_max_norm)(int64_t rows, int64_t columns, int64_t x_row, double low, double high,
                         double rate, void *x);
    void (*non_neg)(int64_t n, void *x);

    /* The orthogonal penalty, in steps: see constraints.h. */
    void (*unit_vectors)(const fnn_vectors *v);
    double (*pair_signs)(int64_t first, int64_t rows, int64_t count, void *gram, int64_t gram_row);
    void (*orthogonal_gradient)(const fnn_vectors *v, int64_t first, int64_t rows, double scale,
                                const void *slopes, void *gradient);
} fnn_kernels;

typedef struct {
    const char *name;
    const fnn_kernels *float32, *float64;
    int (*supported)(void);
} fnn_isa;

/* The instruction sets that this build knows, best first, ended by a NULL name. */
extern const fnn_isa fnn_isas[];

/* Whether the derivative is taken from the activation's input (1) or from its output (0). */
static inline int fnn_saves_input(fnn_activation kind) {
    switch (kind) {
    case FNN_LEAKY_RELU:
    case FNN_BOUNDED_RELU:
    case FNN_ELU:
    case FNN_SELU:
    case FNN_CELU:
    case FNN_SILU:
    case FNN_GELU:
    case FNN_MISH:
    case FNN_SOFTPLUS:
    case FNN_SQUAREPLUS:
    case FNN_LOG_SIGMOID:
    case FNN_SOFTSIGN:
    case FNN_TANH_SHRINK:
    case FNN_THRESHOLD:
    case FNN_HARD_SIGMOID:
    case FNN_HARD_SILU:
    case FNN_SPARSE_PLUS:
    case FNN_SPARSE_SIGMOID:
    case FNN_GLU: return 1;
    default: return 0;
    }
}

/* Whether the derivative can be taken from the output as well, by the same formula: the output of a
 * relu is between the same bounds as its input, unless the slope below them is negative. Bounds that
 * differ in double may be the same in float. */
static inline int fnn_output_tells_slope(fnn_activation kind, const double *options) {
    switch (kind) {
    case FNN_LEAKY_RELU: return options[0] >= 0;
    case FNN_BOUNDED_RELU: return options[0] >= 0 && (float)options[1] > (float)options[2];
    default: return !fnn_saves_input(kind);
    }
}

/* Whether the derivative comes with the function, at little cost; they are among those above. Training
 * saves that then, and goes back as through an exponential, whose derivative is what is saved. */
static inline int fnn_saves_slope(fnn_activation kind) {
    switch (kind) {
    case FNN_ELU:
    case FNN_SELU:
    case FNN_CELU:
    case FNN_SILU:
    case FNN_GELU:
    case FNN_MISH:
    case FNN_SOFTPLUS: return 1;
    default: return 0;
    }
}

static inline int fnn_takes_options(fnn_activation kind) {
    switch (kind) {
    case FNN_LEAKY_RELU:
    case FNN_BOUNDED_RELU:
    case FNN_ELU:
    case FNN_CELU:
    case FNN_SQUAREPLUS:
    case FNN_SOFT_SHRINK:
    case FNN_HARD_SHRINK:
    case FNN_THRESHOLD: return 1;
    default: return 0;
    }
}

#endif
