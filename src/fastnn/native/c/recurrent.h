/* The simple recurrent layer: h_t = activation(x_t kernel + h_{t-1} recurrent + bias).
 *
 * A row of x holds the features of all steps in turn. Options: steps, whether the states of all are
 * wanted, the activation, its options. Weights: kernel (features x units), recurrent
 * (units x units), bias.
 *
 * Room, for each row: the states, what the activation was taken of, and its gradients, `stride`
 * elements for each step; and the gradients of a step once more, packed. Besides: packed panels of
 * both matrices. Gradients go back through all steps: P. J. Werbos, "Backpropagation through time:
 * what it does and how to do it" (1990). */

typedef struct {
    int64_t steps, features, units, stride, row; /* row: of the room, all steps of one sample */
    fnn_activation activation;
    const double *options; /* of the activation */
    int sequences, saves_input;
    REAL *h, *z, *dz, *step_panels, *panels, *recurrent_panels;
} FN(rnn);

static int64_t FN(rnn_units)(const fnn_layer *l) {
    return l->options[1] != 0 ? l->outputs / (int64_t)l->options[0] : l->outputs;
}

static int64_t FN(rnn_stride)(const fnn_layer *l) {
    return (FN(rnn_units)(l) + LANES - 1) / LANES * LANES;
}

/* Products go from row to row at one step: rows must not be multiples of 1 kB apart, which fall on the
 * same few lines of the cache. */
static int64_t FN(rnn_row)(const fnn_layer *l) {
    const int64_t row = (int64_t)l->options[0] * FN(rnn_stride)(l);
    return row * (int64_t)sizeof(REAL) % 1024 ? row : row + PANEL_WIDTH;
}

static int64_t FN(rnn_panels_of_row)(const fnn_layer *l) {
    return (FN(rnn_units)(l) + PANEL_WIDTH - 1) / PANEL_WIDTH * PANEL_WIDTH;
}

static int64_t FN(rnn_room_of_row)(const fnn_layer *l) {
    return 3 * FN(rnn_row)(l) + FN(rnn_panels_of_row)(l);
}

/* Panels of a matrix and of its transpose are not wanted at once. */
INLINE int64_t FN(panels_size)(int64_t rows, int64_t columns) {
    const int64_t a = rows * ((columns + PANEL_WIDTH - 1) / PANEL_WIDTH);
    const int64_t b = columns * ((rows + PANEL_WIDTH - 1) / PANEL_WIDTH);
    return (a > b ? a : b) * PANEL_WIDTH;
}

static int64_t FN(rnn_room_besides)(const fnn_layer *l) {
    const int64_t units = FN(rnn_units)(l), features = l->inputs / (int64_t)l->options[0];
    return FN(panels_size)(features, units) + FN(panels_size)(units, units) + LANES;
}

static FN(rnn) FN(rnn_of)(const fnn_layer *l) {
    FN(rnn) r;
    r.steps = (int64_t)l->options[0];
    r.features = l->inputs / r.steps;
    r.units = FN(rnn_units)(l);
    r.row = FN(rnn_row)(l);
    r.stride = FN(rnn_stride)(l);
    r.sequences = l->options[1] != 0;
    r.activation = (fnn_activation)(int)l->options[2];
    r.options = l->options + 3;
    r.saves_input = fnn_saves_input(r.activation);
    r.h = l->room;
    r.z = r.saves_input ? r.h + l->rows * r.row : r.h;
    r.dz = r.h + 2 * l->rows * r.row;
    r.step_panels = r.h + 3 * l->rows * r.row;
    r.panels = r.step_panels + l->rows * FN(rnn_panels_of_row)(l);
    r.recurrent_panels = r.panels + FN(panels_size)(r.features, r.units);
    return r;
}

/* C (rows x n) += or = A B over one step, with B packed. */
static fnn_gemm FN(step_product)(const fnn_layer *l, const REAL *a, int64_t a_row, int64_t k,
                                 const REAL *panels, REAL *c, int64_t c_row, int64_t n) {
    return (fnn_gemm){.m = l->rows, .n = n, .k = k, .a = a, .a_row = a_row, .a_col = 1,
                      .b = panels, .b_row = PANEL_WIDTH, .b_panel = k * PANEL_WIDTH, .c = c,
                      .c_row = c_row, .epilogue = FNN_STORE, .whole_m = l->rows};
}

/* Whole vectors of the rows are worked on: the room has them. */
INLINE void FN(activate_step)(const fnn_layer *l, const FN(rnn) *r, int64_t at) {
    for (int64_t i = 0; i < l->rows; i++, at += r->row)
        FN(activate)(r->activation, r->options, r->units, r->z + at, r->h + at);
}

static void FN(give_states)(const fnn_layer *l, const FN(rnn) *r) {
    for (int64_t i = 0; i < l->rows; i++)
        for (int64_t t = r->sequences ? 0 : r->steps - 1; t < r->steps; t++)
            memcpy(FN(y_of)(l, i) + (r->sequences ? t * r->units : 0),
                   r->h + i * r->row + t * r->stride, (size_t)r->units * sizeof(REAL));
}

static void FN(simple_rnn)(const fnn_layer *l) {
    const FN(rnn) r = FN(rnn_of)(l);
    FN(pack)(r.features, r.units, l->weights[0], r.units, 1, r.panels);
    FN(pack)(r.units, r.units, l->weights[1], r.units, 1, r.recurrent_panels);
    for (int64_t t = 0; t < r.steps; t++) {
        const int64_t at = t * r.stride;
        fnn_gemm g = FN(step_product)(l, (const REAL *)l->x + t * r.features, l->x_row, r.features,
                                      r.panels, r.z + at, r.row, r.units);
        g.bias = l->weights[2];
        FN(gemm)(&g);
        if (t > 0) {
            g = FN(step_product)(l, r.h + at - r.stride, r.row, r.units, r.recurrent_panels,
                                 r.z + at, r.row, r.units);
            g.add = 1;
            FN(gemm)(&g);
        }
        FN(activate_step)(l, &r, at);
    }
    FN(give_states)(l, &r);
}

/* The gradient that step t gets from the layer's output. */
INLINE void FN(take_gradient)(const fnn_layer *l, const FN(rnn) *r, int64_t t) {
    for (int64_t i = 0; i < l->rows; i++) {
        REAL *out = r->dz + i * r->row + t * r->stride;
        const REAL *g = FN(gradient_of)(l, i) + (r->sequences ? t * r->units : 0);
        if (r->sequences || t == r->steps - 1)
            memcpy(out, g, (size_t)r->units * sizeof(REAL));
        else
            memset(out, 0, (size_t)r->units * sizeof(REAL));
    }
}

static void FN(back_through_time)(const fnn_layer *l, const FN(rnn) *r) {
    FN(pack)(r->units, r->units, l->weights[1], 1, r->units, r->recurrent_panels);
    for (int64_t t = r->steps - 1; t >= 0; t--) {
        const int64_t at = t * r->stride;
        FN(take_gradient)(l, r, t);
        if (t + 1 < r->steps) {
            fnn_gemm g = FN(step_product)(l, r->dz + at + r->stride, r->row, r->units,
                                          r->recurrent_panels, r->dz + at, r->row, r->units);
            g.add = 1;
            FN(gemm)(&g);
        }
        for (int64_t i = 0; i < l->rows; i++)
            FN(activate_gradient)(r->activation, r->options, r->units, r->dz + i * r->row + at,
                                  r->z + i * r->row + at, r->dz + i * r->row + at);
    }
}

/* A product with the gradients at step t, which are packed where that pays. */
static fnn_gemm FN(gradient_product)(const fnn_layer *l, const FN(rnn) *r, int64_t t) {
    fnn_gemm g = {.n = r->units, .k = l->rows, .b = r->dz + t * r->stride, .b_row = r->row,
                  .b_panel = PANEL_WIDTH, .c_row = r->units, .epilogue = FNN_STORE};
    if (FN(packing_pays)(r->units, r->units, NULL, r->row)) {
        FN(pack)(l->rows, r->units, g.b, r->row, 1, r->step_panels);
        g.b = r->step_panels;
        g.b_row = PANEL_WIDTH;
        g.b_panel = l->rows * PANEL_WIDTH;
    }
    return g;
}

/* Transposed A times them, added to the products of the steps before. */
static void FN(weight_step)(fnn_gemm g, const REAL *a, int64_t a_col, int64_t m, REAL *out,
                            int add) {
    if (!out) return;
    g.m = g.whole_m = m;
    g.a = a;
    g.a_row = 1;
    g.a_col = a_col;
    g.c = out;
    g.add = add;
    FN(gemm)(&g);
}

static void FN(simple_rnn_weights)(const fnn_layer *l) {
    const FN(rnn) r = FN(rnn_of)(l);
    REAL *kernel = l->weight_gradients[0], *recurrent = l->weight_gradients[1];
    REAL *bias = l->weight_gradients[2];
    FN(back_through_time)(l, &r);
    if (recurrent && r.steps == 1 && !l->add)
        memset(recurrent, 0, (size_t)(r.units * r.units) * sizeof(REAL));
    for (int64_t t = 0; t < r.steps; t++) {
        const fnn_gemm g = FN(gradient_product)(l, &r, t);
        FN(weight_step)(g, (const REAL *)l->x + t * r.features, l->x_row, r.features, kernel,
                        l->add || t > 0);
        if (t > 0)
            FN(weight_step)(g, r.h + (t - 1) * r.stride, r.row, r.units, recurrent,
                            l->add || t > 1);
        if (bias)
            FN(column_sums)(l->rows, r.units, r.dz + t * r.stride, r.row, bias, l->add || t > 0);
    }
}

static void FN(simple_rnn_input)(const fnn_layer *l) {
    const FN(rnn) r = FN(rnn_of)(l);
    FN(pack)(r.units, r.features, l->weights[0], 1, r.units, r.panels);
    for (int64_t t = 0; t < r.steps; t++) {
        const fnn_gemm g = FN(step_product)(l, r.dz + t * r.stride, r.row, r.units, r.panels,
                                            (REAL *)l->input_gradient + t * r.features,
                                            l->input_gradient_row, r.features);
        FN(gemm)(&g);
    }
}

static const fnn_layer_steps FN(simple_rnn_steps) = {
    .name = "simple_rnn", .options = "steps return_sequences activation", .forward = FN(simple_rnn),
    .weight_gradients = FN(simple_rnn_weights), .input_gradient = FN(simple_rnn_input),
    .forward_by = FNN_WHOLE, .weights_by = FNN_WHOLE, .input_by = FNN_WHOLE,
    .room_of_row = FN(rnn_room_of_row), .room_besides = FN(rnn_room_besides),
};
