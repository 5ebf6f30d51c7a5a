#include "shares.h"

#include <stddef.h>

#include "team.h"

/* Operations of a product that take as long as one element of other passes: they read and write
 * memory, and their functions are more than an addition. */
#define COPY_WORK 30.0
#define FUNCTION_WORK 60.0
#define UPDATE_WORK 80.0
#define DROPOUT_WORK 100.0
#define LAYER_WORK 40.0
#define LOSS_WORK 200.0

#define PART_WORK 2.5e7        /* of one part: some tenths of a millisecond */
#define PART_ROWS 12           /* rows of products go together: tiles of six, or a high one */
#define LEAST_PART_ROWS 64     /* of a product, that go through packed panels often enough */
#define PART_BYTES (64 * 1024) /* of a gradient that is used at once: half of small caches */

#define CACHE_LINE 64 /* elements enough for one, whatever their type */
#define MOST_BLOCKS 64
#define BLOCK_ROWS 256

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceiling(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

typedef struct {
    int64_t first, count;
} range;

/* Share number `share` of 0, ..., total - 1, in whole units up to the end. */
static range share_of(int64_t total, int64_t unit, int64_t shares, int64_t share) {
    const int64_t units = ceiling(total, unit);
    const int64_t first = at_most(units * share / shares * unit, total);
    const int64_t end = at_most(units * (share + 1) / shares * unit, total);
    return (range){first, end - first};
}

typedef struct {
    int64_t total, unit, tasks;
    fnn_range body;
    void *context;
} range_args;

static void run_range(void *context, int64_t place, int64_t task) {
    const range_args *r = context;
    const range own = share_of(r->total, r->unit, r->tasks, task);
    r->body(r->context, place, own.first, own.count);
}

void fnn_share_out_by_parts(int64_t shares, int64_t parts, int64_t total, int64_t unit,
                            fnn_range body, void *context) {
    const int64_t most = at_most(ceiling(total, unit), FNN_MOST_TASKS);
    range_args r = {total, unit, at_most(parts, most), body, context};
    if (shares > 1 && r.tasks > 1)
        fnn_run_team(at_most(shares, r.tasks), r.tasks, run_range, &r);
    else
        body(context, 0, 0, total);
}

void fnn_share_out(int64_t shares, int64_t total, int64_t unit, fnn_range body, void *context) {
    fnn_share_out_by_parts(shares, shares, total, unit, body, context);
}

/* In how many parts to take work that has no more than so many: several for each share if it is long,
 * equally many for all. */
static int64_t parts_of(double work, int64_t shares, int64_t most) {
    const double parts = work / PART_WORK;
    if (parts < (double)most) most = (int64_t)parts;
    const int64_t each = at_most(most / shares, FNN_PARTS);
    return shares * (each > 1 ? each : 1);
}

/* Share out so much work over as many threads as it pays for. */
static void share_work(double work, int64_t total, int64_t unit, fnn_range body, void *context) {
    const int64_t shares = fnn_team_size(work);
    const int64_t parts = parts_of(work, shares, ceiling(total, unit));
    fnn_share_out_by_parts(shares, parts, total, unit, body, context);
}

/* The addresses of element i of an array, NULL staying NULL. */
static const void *from(const fnn_kernels *table, const void *array, int64_t i) {
    return array ? (const char *)array + i * table->itemsize : NULL;
}
static void *into(const fnn_kernels *table, void *array, int64_t i) {
    return array ? (char *)array + i * table->itemsize : NULL;
}

/* Products */

typedef struct {
    const fnn_kernels *table;
    const fnn_gemm *whole;
} gemm_args;

static void gemm_columns(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const gemm_args *args = context;
    const fnn_kernels *t = args->table;
    fnn_gemm g = *args->whole;
    g.n = count;
    g.b = from(t, g.b, first / t->panel_width * g.b_panel);
    g.c = into(t, g.c, first);
    g.bias = from(t, g.bias, first);
    g.saved = from(t, g.saved, first);
    t->gemm(&g);
}

/* A product in some of its rows. */
static fnn_gemm in_rows(const fnn_kernels *table, const fnn_gemm *whole, int64_t first,
                        int64_t count) {
    fnn_gemm g = *whole;
    g.m = count;
    g.a = from(table, g.a, first * g.a_row);
    g.c = into(table, g.c, first * g.c_row);
    if (g.saved) g.saved = from(table, g.saved, first * g.saved_row);
    return g;
}

static void gemm_rows(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const gemm_args *args = context;
    const fnn_gemm g = in_rows(args->table, args->whole, first, count);
    args->table->gemm(&g);
}

/* The weights have to be read as well, which is what takes the time of a single row. */
static double work_of(int64_t m, int64_t n, int64_t k) {
    return (2.0 * (double)m + 3.0) * (double)n * (double)k;
}

/* Whoever works on columns reads all of A, and whoever works on rows all of B, much of which the
 * other core may have written: the larger one is divided, if everybody gets a tile's worth of it.
 * The gradient of a kernel (A is a transpose) is divided as its update will be, by rows. */
static int divides_rows(const fnn_kernels *table, const fnn_gemm *g, int64_t shares) {
    const int64_t panels = ceiling(g->n, table->panel_width);
    const int uneven = panels % shares != 0 && panels < 8 * shares;
    return (uneven || g->a_row == 1 || g->m >= g->n) && g->m >= shares * table->tile_rows;
}

void fnn_shared_gemm(const fnn_kernels *table, const fnn_gemm *g) {
    gemm_args args = {table, g};
    const double work = work_of(g->m, g->n, g->k);
    const int64_t shares = fnn_team_size(work);
    if (shares == 1) {
        table->gemm(g); /* for a small network a copy of the struct takes time */
        return;
    }
    if (divides_rows(table, g, shares)) {
        const int64_t parts = parts_of(work, shares, g->m / LEAST_PART_ROWS);
        fnn_share_out_by_parts(shares, parts, g->m, 1, gemm_rows, &args);
    } else {
        fnn_share_out(shares, g->n, table->panel_width, gemm_columns, &args);
    }
}

typedef struct {
    const fnn_kernels *table;
    const fnn_gemm *whole;
    const fnn_unpacked *b;
    void (*product)(const fnn_gemm *);
} packing_args;

/* The whole product, but for B, in some of its columns. */
static fnn_gemm in_columns(const packing_args *args, int64_t first, int64_t count) {
    fnn_gemm g = *args->whole;
    g.n = count;
    g.c = into(args->table, g.c, first);
    g.bias = from(args->table, g.bias, first);
    g.saved = from(args->table, g.saved, first);
    return g;
}

/* Whether the first tile of each panel can pack it in passing, and that pays. */
static int packs_in_passing(const packing_args *args) {
    const fnn_kernels *t = args->table;
    return t->packing_gemm && args->product == t->gemm && args->b->b_col == 1 &&
           t->packs_in_passing(args->whole);
}

/* Work out as many columns as are whole panels of B, and return how many that were. */
static int64_t pack_in_passing(const packing_args *args, void *panel, int64_t first, int64_t count) {
    const fnn_kernels *t = args->table;
    const fnn_unpacked *b = args->b;
    const int64_t whole = at_most(count, b->columns - first) / t->panel_width * t->panel_width;
    fnn_gemm g = in_columns(args, first, whole);
    g.b = from(t, b->b, first);
    g.b_row = b->b_row;
    g.b_panel = t->panel_width;
    t->packing_gemm(&g, panel);
    return whole;
}

/* A lot is as many panels as are packed at once: so many columns have room. */
static int64_t most_of_lot(const packing_args *args) {
    const int64_t panel = args->whole->k * args->table->panel_width;
    return panel > 0 ? args->b->room / panel * args->table->panel_width : args->whole->n;
}

static void *place_of_lot(const packing_args *args, int64_t place) {
    return into(args->table, args->b->panels, place * args->b->room);
}

static void pack_lot(const packing_args *args, range lot, void *panels) {
    const fnn_unpacked *b = args->b;
    args->table->pack(args->whole->k, at_most(lot.count, b->columns - lot.first),
                      from(args->table, b->b, lot.first * b->b_col), b->b_row, b->b_col, panels);
}

static fnn_gemm product_of_lot(const packing_args *args, range lot, const void *panels) {
    fnn_gemm g = in_columns(args, lot.first, lot.count);
    g.b = panels;
    g.b_row = args->table->panel_width;
    g.b_panel = g.k * args->table->panel_width;
    return g;
}

static void packing_columns(void *context, int64_t share, int64_t first, int64_t count) {
    const packing_args *args = context;
    const int64_t most = most_of_lot(args), end = first + count;
    void *panels = place_of_lot(args, share);
    if (packs_in_passing(args)) first += pack_in_passing(args, panels, first, count);
    for (; first < end; first += most) {
        const range lot = {first, at_most(most, end - first)};
        pack_lot(args, lot, panels);
        const fnn_gemm g = product_of_lot(args, lot, panels);
        args->product(&g);
    }
}

/* A long product in parts: some rows with the columns of a lot, which stays packed for the next rows.
 * The caller begins with the first lot and a worker with the last, so with two threads only the one
 * in which they meet is packed twice. Both begin with the first rows, which one reads from memory
 * and the other then from the cache that they share. */
typedef struct {
    const packing_args *product;
    int64_t unit, lots, rows;       /* whole units are in a lot, and so many parts of the rows */
    int64_t held[FNN_MOST_THREADS]; /* which lot is packed in each place, or -1 */
} lots_args;

static void part_of_lot(lots_args *args, int64_t place, int64_t number) {
    const packing_args *p = args->product;
    const int64_t lot = number / args->rows, turn = number % args->rows;
    const int64_t part = 2 * lot < args->lots ? turn : args->rows - 1 - turn;
    const range columns = share_of(p->whole->n, args->unit, args->lots, lot);
    const range rows = share_of(p->whole->m, PART_ROWS, args->rows, part);
    void *panels = place_of_lot(p, place);
    if (args->held[place] != lot) pack_lot(p, columns, panels);
    args->held[place] = lot;
    const fnn_gemm of_lot = product_of_lot(p, columns, panels);
    const fnn_gemm g = in_rows(p->table, &of_lot, rows.first, rows.count);
    p->product(&g);
}

static void parts_of_lots(void *context, int64_t place, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i++) part_of_lot(context, place, i);
}

/* Divide a product that is worth so many parts into lots of two panels, which wide tiles take, or
 * more, and their rows. A copy in tiles is taken as a whole: there the lots are the parts. */
static lots_args lots_of(const packing_args *args, int64_t shares, int64_t parts) {
    const fnn_gemm *g = args->whole;
    const int64_t width = args->table->panel_width, most = most_of_lot(args);
    const int in_tiles = args->product == args->table->gemm_of_tiles;
    lots_args l = {.product = args, .unit = most < 2 * width ? width : 2 * width, .rows = 1};
    const int64_t units = ceiling(g->n, l.unit), least = at_most(in_tiles ? parts : shares, units);
    l.lots = ceiling(units, most / l.unit);
    if (l.lots < least) l.lots = least;
    if (!in_tiles && g->m >= LEAST_PART_ROWS) {
        const int64_t even = l.lots % shares == 0 ? 1 : shares;
        l.rows = at_most(ceiling(parts, l.lots * even) * even, g->m / LEAST_PART_ROWS);
    }
    for (int64_t place = 0; place < shares; place++) l.held[place] = -1;
    return l;
}

static void share_out_packing(const packing_args *args) {
    const fnn_gemm *g = args->whole;
    const double work = work_of(g->m, g->n, g->k);
    const int64_t shares = at_most(fnn_team_size(work), args->b->shares);
    const int64_t parts = parts_of(work, shares, INT64_MAX);
    if (shares == 1 || parts == shares || packs_in_passing(args)) {
        fnn_share_out(shares, g->n, args->table->panel_width, packing_columns, (void *)args);
        return;
    }
    lots_args lots = lots_of(args, shares, parts);
    const int64_t total = lots.lots * lots.rows;
    fnn_share_out_by_parts(shares, total, total, 1, parts_of_lots, &lots);
}

void fnn_shared_packing_gemm(const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) {
    const packing_args args = {table, g, b, table->gemm};
    share_out_packing(&args);
}

void fnn_shared_gemm_of_tiles(const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) {
    const packing_args args = {table, g, b, table->gemm_of_tiles};
    share_out_packing(&args);
}

/* What belongs to smaller products stays in the second-level cache, or nearly. */
int fnn_tiles_pay(int64_t m, int64_t n, int64_t k) {
    return m >= 512 && n >= 512 && m * n >= 1 << 19 && k >= FNN_LEAST_STEPS;
}

int fnn_tiles_pay_beside_lots(const fnn_kernels *table, const fnn_gemm *g) {
    if (fnn_tiles_pay(g->m, g->n, g->k)) return 1;
    const int collide = g->a_col * table->itemsize % 1024 == 0;
    const int long_a = g->m * g->k * table->itemsize > 1 << 22;
    return (collide || long_a) && g->m >= 128 && g->n >= 128 && g->k >= FNN_LEAST_STEPS;
}

int64_t fnn_steps_in_tiles(const fnn_kernels *table, int64_t k) {
    const int64_t most = FNN_TILE_BYTES / table->itemsize;
    return k > 0 ? ceiling(k, ceiling(k, most)) : 0;
}

typedef struct {
    const fnn_kernels *table;
    int64_t m, k;
    const void *a;
    int64_t a_col;
    void *copy;
} tiles_args;

static void copy_in_tiles(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const tiles_args *t = context;
    t->table->copy_in_tiles(t->m, t->k, first, count, t->a, t->a_col, t->copy);
}

void fnn_shared_copy_in_tiles(const fnn_kernels *table, int64_t m, int64_t k, const void *a,
                              int64_t a_col, void *copy) {
    tiles_args args = {table, m, k, a, a_col, copy};
    share_work(COPY_WORK * (double)(m * k), k, CACHE_LINE, copy_in_tiles, &args);
}

typedef struct {
    const fnn_kernels *table;
    int64_t k;
    const void *b;
    int64_t b_row, b_col;
    void *packed;
} pack_args;

static void pack_columns(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const pack_args *p = context;
    p->table->pack(p->k, count, from(p->table, p->b, first * p->b_col), p->b_row, p->b_col,
                   into(p->table, p->packed, first * p->k));
}

void fnn_shared_pack(const fnn_kernels *table, int64_t k, int64_t n, const void *b, int64_t b_row,
                     int64_t b_col, void *packed) {
    pack_args args = {table, k, b, b_row, b_col, packed};
    share_work(COPY_WORK * (double)(k * n), n, table->panel_width, pack_columns, &args);
}

/* Steps in two halves. With two threads each has one: what it reads then is what it has written
 * itself, columns of the gathered rows and rows of the kernel, which it has updated. Only sums go
 * from one core to the other. More threads share each half in turn. */

typedef struct {
    const fnn_kernels *table;
    const fnn_halves *whole;
    int on_top; /* the second half is added to the first as it is stored */
} halves_args;

static range steps_of_half(const fnn_halves *h, int64_t half) {
    const int64_t first = fnn_first_half(h->product->k);
    return half ? (range){first, h->product->k - first} : (range){0, first};
}

/* The first half has the bias, the last to be stored has the epilogue. */
static fnn_gemm half_of(const halves_args *args, range steps) {
    const fnn_halves *h = args->whole;
    fnn_gemm g = *h->product;
    g.k = steps.count;
    g.a = from(args->table, g.a, steps.first > 0 ? steps.first + h->gap : 0);
    g.b = from(args->table, g.b, steps.first * g.b_row);
    if (steps.first > 0) g.bias = NULL;
    if (steps.first > 0 && args->on_top) {
        g.add = 1;
        return g;
    }
    if (steps.first > 0) g.c = h->second;
    g.epilogue = FNN_STORE;
    return g;
}

static void take_half(const halves_args *args, int64_t share, int64_t half) {
    const fnn_kernels *t = args->table;
    const fnn_halves *h = args->whole;
    const range steps = steps_of_half(h, half);
    const fnn_gemm g = half_of(args, steps);
    if (h->order && !fnn_shared_gather(t, g.m, g.k, from(t, h->x, steps.first), h->x_row, h->order,
                                       (void *)g.a, g.a_row))
        __atomic_store_n(h->not_finite, 1, __ATOMIC_RELAXED);
    if (!h->unpacked) {
        fnn_shared_gemm(t, &g);
        return;
    }
    fnn_unpacked b = *h->unpacked;
    b.b = from(t, b.b, steps.first * b.b_row);
    b.panels = into(t, b.panels, share * b.room);
    fnn_shared_packing_gemm(t, &g, &b);
}

static void take_halves(void *context, int64_t share, int64_t first, int64_t count) {
    for (int64_t half = first; half < first + count; half++) take_half(context, share, half);
}

static void join_halves(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const halves_args *args = context;
    const fnn_kernels *t = args->table;
    const fnn_gemm *g = args->whole->product;
    void *c = into(t, g->c, first * g->c_row);
    t->add_matrices(count, g->n, c, g->c_row, from(t, args->whole->second, first * g->c_row),
                    g->c_row, c, g->c_row);
    if (g->epilogue == FNN_STORE_ACTIVATION)
        t->activate(g->activation, g->options, count * g->c_row, c, c);
}

void fnn_shared_halves(const fnn_kernels *table, const fnn_halves *h) {
    halves_args args = {table, h, 0};
    const fnn_gemm *g = h->product;
    const double gathering = h->order ? COPY_WORK * (double)(g->m * g->k) : 0;
    const double joining = FUNCTION_WORK * (double)(g->m * g->n);
    const int rooms = !h->unpacked || h->unpacked->shares >= 2;
    if (rooms && fnn_team_size(work_of(g->m, g->n, g->k) + gathering) == 2) {
        fnn_share_out(2, 2, 1, take_halves, &args);
    } else {
        const int64_t b_row = h->unpacked ? table->panel_width : g->b_row;
        args.on_top = steps_of_half(h, 1).count <= table->most_steps(b_row);
        take_halves(&args, 0, 0, 2);
    }
    if (!args.on_top)
        share_work(joining, g->m, 1, join_halves, &args);
}

typedef struct {
    const fnn_kernels *table;
    const fnn_dots *whole;
} dots_args;

static void dots(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const dots_args *args = context;
    fnn_dots d = *args->whole;
    d.n = count;
    d.b = from(args->table, d.b, first * d.b_row);
    d.c = into(args->table, d.c, first);
    args->table->dots(&d);
}

void fnn_shared_dots(const fnn_kernels *table, const fnn_dots *d) {
    dots_args args = {table, d};
    const double work = work_of(d->m, d->n, d->k);
    if (fnn_team_size(work) == 1)
        table->dots(d);
    else
        share_work(work, d->n, CACHE_LINE, dots, &args);
}

/* Element by element */

typedef struct {
    const fnn_kernels *table;
    const void *x;
    int found; /* by any share: something else */
} finite_args;

static void look_for_others(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    finite_args *args = context;
    if (!args->table->all_finite(count, from(args->table, args->x, first)))
        __atomic_store_n(&args->found, 1, __ATOMIC_RELAXED);
}

int fnn_shared_all_finite(const fnn_kernels *table, int64_t n, const void *x) {
    finite_args args = {table, x, 0};
    share_work(COPY_WORK * (double)n, n, CACHE_LINE, look_for_others, &args);
    return !args.found;
}

typedef struct {
    const fnn_kernels *table;
    fnn_activation kind;
    const double *options;
    const void *x, *saved;
    void *y, *slopes;
} activation_args;

static void activate(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const activation_args *a = context;
    a->table->activate(a->kind, a->options, count, from(a->table, a->x, first),
                       into(a->table, a->y, first));
}

static void activate_gradient(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const activation_args *a = context;
    a->table->activate_gradient(a->kind, a->options, count, from(a->table, a->x, first),
                                from(a->table, a->saved, first), into(a->table, a->y, first));
}

static void activate_with_slope(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const activation_args *a = context;
    a->table->activate_with_slope(a->kind, a->options, count, from(a->table, a->x, first),
                                  into(a->table, a->y, first), into(a->table, a->slopes, first));
}

static void share_elements(int64_t n, fnn_range body, activation_args *args) {
    share_work(FUNCTION_WORK * (double)n, n, CACHE_LINE, body, args);
}

void fnn_shared_activate(const fnn_kernels *table, fnn_activation kind, const double *options,
                         int64_t n, const void *x, void *y) {
    activation_args args = {table, kind, options, .x = x, .y = y};
    share_elements(n, activate, &args);
}

void fnn_shared_activate_gradient(const fnn_kernels *table, fnn_activation kind,
                                  const double *options, int64_t n, const void *gradient,
                                  const void *saved, void *out) {
    activation_args args = {table, kind, options, .x = gradient, .saved = saved, .y = out};
    share_elements(n, activate_gradient, &args);
}

void fnn_shared_activate_with_slope(const fnn_kernels *table, fnn_activation kind,
                                    const double *options, int64_t n, const void *x, void *y,
                                    void *slopes) {
    activation_args args = {table, kind, options, .x = x, .y = y, .slopes = slopes};
    share_elements(n, activate_with_slope, &args);
}

typedef struct {
    const fnn_kernels *table;
    const fnn_update *whole;
} update_args;

static void update(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const update_args *args = context;
    fnn_update u = *args->whole;
    u.n = count;
    u.parameter = into(args->table, u.parameter, first);
    u.gradient = from(args->table, u.gradient, first);
    for (int i = 0; i < FNN_SLOTS; i++) u.slots[i] = into(args->table, u.slots[i], first);
    args->table->update(&u);
}

void fnn_shared_update(const fnn_kernels *table, const fnn_update *u) {
    update_args args = {table, u};
    const double work = UPDATE_WORK * (double)u->n;
    if (fnn_team_size(work) == 1)
        table->update(u);
    else
        share_work(work, u->n, CACHE_LINE, update, &args);
}

typedef struct {
    const fnn_kernels *table;
    const fnn_gemm *product;
    int64_t gap; /* before the second half of A */
    const fnn_update *update;
} gradient_args;

/* Some rows of the kernel, whose columns of A are so much further away. All parts are written to the
 * place of the first, which so stays in the cache. */
static void gradient_and_update_of(const gradient_args *args, int64_t first, int64_t end,
                                   int64_t gap) {
    const fnn_kernels *t = args->table;
    const int64_t length = args->product->n;
    const int64_t units = PART_BYTES / (length * t->itemsize * PART_ROWS);
    const int64_t step = PART_ROWS * (units > 1 ? units : 1);
    fnn_gemm g = *args->product;
    fnn_update u = *args->update;
    g.c = into(t, g.c, first * length);
    u.gradient = g.c;
    for (int64_t row = first; row < end; row += step) {
        g.m = at_most(step, end - row);
        g.a = from(t, args->product->a, row * g.a_row + gap);
        t->gemm(&g);
        u.n = g.m * length;
        u.parameter = into(t, args->update->parameter, row * length);
        for (int i = 0; i < FNN_SLOTS; i++)
            u.slots[i] = into(t, args->update->slots[i], row * length);
        t->update(&u);
    }
}

/* Two shares end where halves do, so that each thread multiplies the rows of the kernel that it
 * updates, by what it has gathered itself. */
static void gradient_and_update(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const gradient_args *args = context;
    const int64_t end = first + count, half = fnn_first_half(args->product->m);
    if (first < half) gradient_and_update_of(args, first, at_most(end, half), 0);
    if (end > half) gradient_and_update_of(args, first > half ? first : half, end, args->gap);
}

void fnn_shared_gradient_and_update(const fnn_kernels *table, const fnn_gemm *g, int64_t gap,
                                    const fnn_update *u) {
    gradient_args args = {table, g, gap, u};
    const double work = work_of(g->m, g->n, g->k) + UPDATE_WORK * (double)(g->m * g->n);
    fnn_share_out(fnn_team_size(work), g->m, FNN_HALF_UNIT, gradient_and_update, &args);
}

/* Row by row, and column by column */

typedef struct {
    const fnn_kernels *table;
    int64_t rows, columns;
    const void *x;
    int64_t x_row;
    const int64_t *order;
    void *out;
    int64_t out_row;
    int add;
    int not_finite; /* set to 1 by any share that copies such an element */
} rows_args;

static void gather(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    rows_args *r = context;
    if (!r->table->gather(count, r->columns, r->x, r->x_row, r->order + first,
                          into(r->table, r->out, first * r->out_row), r->out_row))
        __atomic_store_n(&r->not_finite, 1, __ATOMIC_RELAXED);
}

int fnn_shared_gather(const fnn_kernels *table, int64_t rows, int64_t columns, const void *x,
                      int64_t x_row, const int64_t *order, void *out, int64_t out_row) {
    rows_args args = {table, rows, columns, x, x_row, order, out, out_row, 0, 0};
    share_work(COPY_WORK * (double)(rows * columns), rows, 1, gather, &args);
    return !args.not_finite;
}

static void column_sums(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const rows_args *r = context;
    r->table->column_sums(r->rows, count, from(r->table, r->x, first), r->x_row,
                          into(r->table, r->out, first), r->add);
}

void fnn_shared_column_sums(const fnn_kernels *table, int64_t rows, int64_t columns, const void *x,
                            int64_t x_row, void *out, int add) {
    rows_args args = {table, rows, columns, x, x_row, NULL, out, 0, add};
    share_work(COPY_WORK * (double)(rows * columns), columns, CACHE_LINE, column_sums, &args);
}

typedef struct {
    const fnn_kernels *table;
    const fnn_dropout *whole;
} dropout_args;

static void dropout(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const dropout_args *args = context;
    fnn_dropout d = *args->whole;
    d.rows = count;
    d.first_row += first;
    d.x = from(args->table, d.x, first * d.x_row);
    d.y = into(args->table, d.y, first * d.y_row);
    if (d.factors) d.factors = into(args->table, d.factors, first * d.y_row);
    args->table->dropout(&d);
}

void fnn_shared_dropout(const fnn_kernels *table, const fnn_dropout *d) {
    dropout_args args = {table, d};
    share_work(DROPOUT_WORK * (double)(d->rows * d->columns), d->rows, 1, dropout, &args);
}

typedef struct {
    fnn_layer_step step;
    const fnn_layer *whole;
} layer_args;

static void layer_step(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const layer_args *args = context;
    fnn_layer l = *args->whole;
    l.first = first;
    l.count = count;
    args->step(&l);
}

void fnn_shared_layer_step(const fnn_kernels *table, fnn_layer_step step, fnn_split split,
                           const fnn_layer *l) {
    layer_args args = {step, l};
    const double work = LAYER_WORK * (double)(l->rows * (l->inputs + l->outputs));
    if (split == FNN_WHOLE)
        layer_step(&args, 0, 0, l->rows);
    else if (split == FNN_BY_COLUMNS)
        share_work(work, l->inputs, table->vector_width, layer_step, &args);
    else
        share_work(work, l->rows, 1, layer_step, &args);
}

typedef struct {
    const fnn_kernels *table;
    int64_t rows, columns;
    double low, high, rate;
    void *x;
} constraint_args;

static void min_max_norm(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const constraint_args *c = context;
    c->table->min_max_norm(c->rows, count, c->columns, c->low, c->high, c->rate,
                           into(c->table, c->x, first));
}

void fnn_shared_min_max_norm(const fnn_kernels *table, int64_t rows, int64_t columns, double low,
                             double high, double rate, void *x) {
    constraint_args args = {table, rows, columns, low, high, rate, x};
    share_work(UPDATE_WORK * (double)(rows * columns), columns, CACHE_LINE, min_max_norm, &args);
}

static void non_neg(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    const constraint_args *c = context;
    c->table->non_neg(count, into(c->table, c->x, first));
}

void fnn_shared_non_neg(const fnn_kernels *table, int64_t n, void *x) {
    constraint_args args = {table, 0, 0, 0, 0, 0, x};
    share_work(COPY_WORK * (double)n, n, CACHE_LINE, non_neg, &args);
}

/* Losses and metrics are summed over blocks of rows, then over the blocks in order. How long a
 * block is depends on nothing but the number of rows. */

typedef struct {
    const fnn_kernels *table;
    const fnn_loss_args *loss; /* or NULL, for */
    const fnn_metric_args *metric;
    int64_t rows, block;
    double sums[MOST_BLOCKS];
} sum_args;

static double loss_of_rows(const sum_args *s, int64_t first, int64_t count) {
    const fnn_kernels *t = s->table;
    if (count == s->rows) return t->loss(s->loss); /* a copy takes time, as above */
    fnn_loss_args part = *s->loss;
    part.rows = count;
    part.predictions = from(t, part.predictions, first * part.predictions_row);
    if (part.order)
        part.order += first;
    else
        part.targets = from(t, part.targets, first * part.targets_row);
    part.labels = part.labels ? part.labels + first : NULL;
    part.weights = from(t, part.weights, first);
    part.gradient = into(t, part.gradient, first * part.gradient_row);
    part.values = into(t, part.values, first);
    part.probabilities = into(t, part.probabilities, first * part.probabilities_row);
    return t->loss(&part);
}

static double metric_of_rows(const sum_args *s, int64_t first, int64_t count) {
    const fnn_kernels *t = s->table;
    fnn_metric_args part = *s->metric;
    part.rows = count;
    part.predictions = from(t, part.predictions, first * part.predictions_row);
    if (part.order)
        part.order += first;
    else
        part.targets = from(t, part.targets, first * part.targets_row);
    part.labels = part.labels ? part.labels + first : NULL;
    part.values = into(t, part.values, first);
    return t->metric(&part);
}

static void sum_blocks(void *context, int64_t share, int64_t first, int64_t count) {
    (void)share;
    sum_args *s = context;
    for (int64_t i = first; i < first + count; i++) {
        const int64_t row = i * s->block, rows = at_most(s->block, s->rows - row);
        s->sums[i] = s->loss ? loss_of_rows(s, row, rows) : metric_of_rows(s, row, rows);
    }
}

static double sum_over_rows(sum_args *s, int64_t columns) {
    s->block = BLOCK_ROWS * ceiling(s->rows, BLOCK_ROWS * MOST_BLOCKS);
    const int64_t blocks = ceiling(s->rows, s->block);
    share_work(LOSS_WORK * (double)(s->rows * columns), blocks, 1, sum_blocks, s);
    double total = 0;
    for (int64_t i = 0; i < blocks; i++) total += s->sums[i];
    return total;
}

double fnn_shared_loss(const fnn_kernels *table, const fnn_loss_args *args) {
    sum_args s;
    s.table = table, s.loss = args, s.metric = NULL, s.rows = args->rows;
    return sum_over_rows(&s, args->columns);
}

double fnn_shared_metric(const fnn_kernels *table, const fnn_metric_args *args) {
    sum_args s;
    s.table = table, s.loss = NULL, s.metric = args, s.rows = args->rows;
    return sum_over_rows(&s, args->columns);
}
