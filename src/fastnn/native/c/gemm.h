/* Matrix product in register tiles, with what follows it fused into the store.
 *
 * A tile is up to TILE_ROWS rows by two vectors of C, held in registers while one row of a panel
 * of B and TILE_ROWS scalars of A pass by. Two vectors of width waste the least at the edges (256
 * columns are 8 whole panels of 32; of 48 they are five and a third). With AVX-512 lower tiles take
 * two panels side by side, which load less. A is read through two strides, so that the same
 * tile takes X (forward), its transpose (gradient of the kernel) and dZ (gradient of the input). It is
 * copied only where its rows collide in the cache, and where a transpose is read often: tile by tile
 * then.
 *
 * Order of the loops: blocks of up to REDUCTION of k, so that a panel stays in the second-level cache;
 * blocks of up to ROW_BLOCK rows of A, which stay there too; panels of B; tiles. The panel is then
 * read from the cache once per tile, and B as a whole once per row block; the tiles of a panel ask
 * for the next one. Where B as a whole stays in the cache and A is large, a block is a single tile
 * high, or two wide ones; of a transpose only if rows of C are long. A large C that several blocks of
 * k add to is taken in lots of its columns, one after the other.
 *
 * Relu and its gradient are applied in registers, other functions to a block of rows that is done,
 * while it is in the cache: a call for each tile takes 5 to 10 per cent more of a small network's
 * step. What reads before it writes where a tile ends within a vector goes through a small buffer,
 * which keeps masks out of the tiles. */

#include "cache.h"
#include "scratch.h"

#define PANEL_VECTORS 2
#define MOST_VECTORS (VECTOR_BYTES == 64 ? 2 * PANEL_VECTORS : PANEL_VECTORS)
#define WIDE_ROWS 6 /* of a tile of two panels, */
#define LEAST_WIDE_ROWS 5
#define PANEL_WIDTH (PANEL_VECTORS * LANES)
#define REDUCTION (4096 / (int64_t)sizeof(REAL))
#define PREFETCH_STEPS 24
#define ROWS_POINTED 3 /* rows of A that are reached from one pointer */
#define A_POINTERS ((TILE_ROWS + ROWS_POINTED - 1) / ROWS_POINTED)
#define ROW_BLOCK ((TILE_ROWS > 6 ? 12 : 16) * TILE_ROWS)
#define LONG_SUMS 128 /* from so many steps on, what the tile will write is asked for first */

typedef struct {
    int64_t k;
    const REAL *a;
    int64_t a_row, a_col;
    int a_in_tiles;    /* a copy by `copy_in_tiles` */
    const REAL *asked; /* where to ask for what comes after the tile, or NULL; */
    int64_t ask_step;  /* so much further at each step of k */
    const REAL *b;
    int64_t b_row;
    int64_t b_ahead;   /* elements from a row of B to the one to ask for, */
    int64_t b_panel;   /* and to that of the next panel, of which a wide tile takes a row, too */
    REAL *c;
    int64_t c_row;
    int64_t columns;   /* of this tile: up to a panel, a wide one two */
    const REAL *bias;  /* of this tile, or NULL: of its columns, or of its rows, */
    int bias_of_rows;  /* if so */
    int accumulate;    /* add to what C holds */
    int relu;          /* apply it */
    int relu_gradient; /* or its derivative, from what was saved */
    const REAL *saved;      /* of this tile */
    int64_t saved_row;
    REAL *packed;           /* where a packing tile leaves the panel */
} FN(tile_args);

/* What follows the sums of a tile, up to the store, for rows of `width` sums in the buffer. */
static __attribute__((noinline)) void FN(finish_tile)(const FN(tile_args) *t, int64_t rows,
                                                      int64_t width, REAL *buffer) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < t->columns; j += LANES) {
            const int64_t left = t->columns - j;
            REAL *c = t->c + i * t->c_row + j;
            vec v = FN(load)(buffer + i * width + j);
            if (t->accumulate) v += FN(load_columns)(c, left);
            if (t->relu) v = FN(relu)(v);
            if (t->relu_gradient) {
                const vec y = FN(load_columns)(t->saved + i * t->saved_row + j, left);
                v = FN(where)(y > (vec){0}, v);
            }
            FN(store_columns)(c, v, left);
        }
}

/* How the operands of a tile lie, where the compiler had better know it. Additions to addresses keep
 * the multipliers from work: 213 against 200 GFLOP/s at 32 x 784 x 256 without most of them. */
#define PLAIN 1      /* rows of A beside packed panels: two steps for each addition */
#define TRANSPOSED 2 /* what a step takes of A lies side by side: a single address */
#define IN_ROWS 3    /* rows of A beside any B */

INLINE void FN(ask_for_vectors)(const REAL *b, const int vectors) {
    UNROLL
    for (int byte = 0; byte < vectors * VECTOR_BYTES; byte += 64)
        __builtin_prefetch((const char *)b + byte);
}

/* One step along k: a row of B times a column of A. */
INLINE void FN(tile_step)(const REAL *const *a, const int apart, int64_t a_row, const REAL *b,
                          int64_t b_ahead, int64_t b_panel, vec (*sums)[MOST_VECTORS],
                          const int rows, const int vectors, const int prefetching) {
    vec bj[MOST_VECTORS];
    UNROLL
    for (int j = 0; j < vectors; j += PANEL_VECTORS, b += b_panel) {
        const int count = vectors - j < PANEL_VECTORS ? vectors - j : PANEL_VECTORS;
        if (prefetching && vectors == count) FN(ask_for_vectors)(b + b_ahead, count);
        UNROLL
        for (int i = 0; i < count; i++) bj[j + i] = FN(load)(b + i * LANES);
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vec ai = FN(splat)(a[i / apart][(i % apart) * a_row]);
        UNROLL
        for (int j = 0; j < vectors; j++) sums[i][j] += ai * bj[j];
    }
}

/* Steps of a tile from the first on, in so many chains of sums that take turns.
 *
 * Where steps along a column of A are whole rows apart, the hardware does not foresee them: what lies
 * ahead is asked for. The line of a column's first elements may be there already, for the tile
 * before has read it. In rows that have been begun the hardware reads on by itself, and the steps
 * ask for the rows that come next.
 *
 * A single chain takes the later loops alone: inside a loop of one turn Clang 14 keeps the sums in
 * memory. */
INLINE void FN(tile_steps)(const FN(tile_args) *t, int64_t steps, vec (*sums)[MOST_VECTORS],
                           const int rows, const int vectors, const int chains,
                           const int prefetching, const int lie) {
    const int64_t a_row = lie == TRANSPOSED ? 1 : t->a_row;
    const int64_t a_col = lie == PLAIN || lie == IN_ROWS ? 1 : t->a_col;
    const int64_t b_row = lie == PLAIN ? PANEL_WIDTH : t->b_row;
    const int64_t b_ahead = lie == PLAIN ? PREFETCH_STEPS * PANEL_WIDTH : t->b_ahead;
    const int64_t b_panel = t->b_panel;
    const int64_t ask_step = t->asked ? t->ask_step : a_col;
    const REAL *asked =
        t->asked ? t->asked : t->a + PREFETCH_STEPS * a_col + (a_row == 1 ? rows - 1 : 0);
    /* Rows of A are reached from a few pointers, three rows apart, so that addresses fit the
     * processor's base + index form and no register spills. Side by side they need but one. */
    const int apart = lie == TRANSPOSED ? TILE_ROWS : ROWS_POINTED;
    const int pointers = (rows + apart - 1) / apart;
    const REAL *a[A_POINTERS];
    UNROLL
    for (int i = 0; i < pointers; i++) a[i] = t->a + i * apart * a_row;
    const REAL *b = t->b;
    int64_t p = steps;
    for (; chains > 1 && p >= chains; p -= chains) {
        UNROLL
        for (int chain = 0; chain < chains; chain++) {
            if (prefetching) __builtin_prefetch(asked);
            FN(tile_step)(a, apart, a_row, b, b_ahead, b_panel, sums + chain * rows, rows, vectors,
                          prefetching);
            b += b_row;
            asked += ask_step;
            UNROLL
            for (int i = 0; i < pointers; i++) a[i] += a_col;
        }
    }
    for (; chains == 1 && lie == PLAIN && p >= 2; p -= 2) {
        __builtin_prefetch(asked);
        UNROLL
        for (int step = 0; step < 2; step++) {
            FN(tile_step)(a, apart, a_row, b, b_ahead, b_panel, sums, rows, vectors, 1);
            b += b_row;
            UNROLL
            for (int i = 0; i < pointers; i++) a[i] += a_col;
        }
        asked += 2 * ask_step;
    }
    for (; p > 0; p--) {
        if (prefetching) __builtin_prefetch(asked);
        FN(tile_step)(a, apart, a_row, b, b_ahead, b_panel, sums, rows, vectors, prefetching);
        b += b_row;
        asked += ask_step;
        UNROLL
        for (int i = 0; i < pointers; i++) a[i] += a_col;
    }
}

/* The last step of a tile row by row, each of which is stored as soon as it is summed up: Zen 4 takes
 * two cycles for a store, and hides but a few of them. 113 against 109 GFLOP/s at 64 x 64 x 64. */
INLINE void FN(last_step)(const FN(tile_args) *t, vec (*sums)[MOST_VECTORS], const int rows,
                          const int vectors) {
    const int64_t p = t->k - 1, a_row = t->a_row, b_panel = t->b_panel, c_row = t->c_row;
    const REAL *a = t->a + p * t->a_col, *b = t->b + p * t->b_row;
    REAL *c = t->c;
    const vec least = t->relu ? (vec){0} : FN(splat)(-INFINITY);
    vec bj[MOST_VECTORS];
    UNROLL
    for (int j = 0; j < vectors; j++)
        bj[j] = FN(load)(b + j / PANEL_VECTORS * b_panel + j % PANEL_VECTORS * LANES);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vec ai = FN(splat)(a[i * a_row]);
        UNROLL
        for (int j = 0; j < vectors; j++) sums[i][j] += ai * bj[j];
        UNROLL
        for (int j = 0; j < vectors; j++)
            FN(store)(c + i * c_row + j * LANES, FN(larger)(sums[i][j], least));
    }
}

/* The same in registers. Only what is stored may end within the last vector. */
INLINE void FN(end_tile)(const FN(tile_args) *args, vec (*acc)[MOST_VECTORS], const int rows,
                         const int vectors) {
    const FN(tile_args) t = *args; /* for all that the compiler knows, a store could change it */
    if (t.accumulate)
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
            for (int j = 0; j < vectors; j++)
                acc[i][j] += FN(load)(t.c + i * t.c_row + j * LANES);
    if (t.relu)
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
            for (int j = 0; j < vectors; j++) acc[i][j] = FN(relu)(acc[i][j]);
    if (t.relu_gradient)
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
            for (int j = 0; j < vectors; j++) {
                const REAL *y = t.saved + i * t.saved_row + j * LANES;
                acc[i][j] = FN(where)(FN(load)(y) > (vec){0}, acc[i][j]);
            }
    const int64_t last = vectors - 1, columns = t.columns - last * LANES;
    if (columns == LANES)
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
            for (int j = 0; j < vectors; j++) FN(store)(t.c + i * t.c_row + j * LANES, acc[i][j]);
    else
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < last; j++) FN(store)(t.c + i * t.c_row + j * LANES, acc[i][j]);
            FN(store_columns)(t.c + i * t.c_row + last * LANES, acc[i][last], columns);
        }
}

INLINE void FN(end_tile_in_buffer)(const FN(tile_args) *t, vec (*acc)[MOST_VECTORS],
                                   const int rows, const int vectors) {
    REAL buffer[TILE_ROWS * PANEL_WIDTH] __attribute__((aligned(64))); /* wide tiles need less */
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int j = 0; j < vectors; j++)
            FN(store)(buffer + (i * vectors + j) * LANES, acc[i][j]);
    FN(finish_tile)(t, rows, vectors * LANES, buffer);
}

/* Ask for what the tile will write, and for what the derivative of relu is worked out from. */
INLINE void FN(ask_for_rows)(const FN(tile_args) *t, const int rows, const int vectors) {
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int byte = 0; byte < vectors * VECTOR_BYTES; byte += 64)
            __builtin_prefetch((const char *)(t->c + i * t->c_row) + byte, 1);
    if (t->relu_gradient)
        UNROLL
        for (int i = 0; i < rows; i++)
            FN(ask_for_vectors)(t->saved + i * t->saved_row, vectors);
}

/* The bias, from which the first chain of sums sets out, and what is asked for before long ones. */
INLINE void FN(begin_tile)(const FN(tile_args) *t, vec (*sums)[MOST_VECTORS], const int rows,
                           const int vectors, const int chains) {
    if (t->bias_of_rows)
        UNROLL
        for (int i = 0; i < chains * rows; i++)
            UNROLL
            for (int j = 0; j < vectors; j++)
                sums[i][j] = i < rows ? FN(splat)(t->bias[i]) : (vec){0};
    else
        UNROLL
        for (int j = 0; j < vectors; j++) {
            const vec bias = t->bias ? FN(load_columns)(t->bias + j * LANES, t->columns - j * LANES)
                                     : (vec){0};
            UNROLL
            for (int i = 0; i < chains * rows; i++) sums[i][j] = i < rows ? bias : (vec){0};
        }
    if (t->k >= LONG_SUMS) FN(ask_for_rows)(t, rows, vectors);
}

/* One tile of exactly rows x vectors registers, each summed up, on top of the bias, in so many chains;
 * all three are constants where this is inlined. */
INLINE void FN(tile)(const FN(tile_args) *t, const int rows, const int vectors, const int chains) {
    vec sums[TILE_ROWS > 6 ? TILE_ROWS : 6][MOST_VECTORS];
    FN(begin_tile)(t, sums, rows, vectors, chains);

    const int reads = t->accumulate || t->relu_gradient;
    const int wide = vectors > PANEL_VECTORS;
    const int by_row = chains == 1 && vectors >= PANEL_VECTORS && t->columns == vectors * LANES &&
                       !reads && t->k > 0;
    const int64_t steps = t->k - by_row;
    /* A tile one vector wide has no load to spare, unless its steps are whole rows apart. */
    if (wide && t->a_row == 1)
        FN(tile_steps)(t, steps, sums, rows, vectors, chains, 1, TRANSPOSED);
    else if (wide)
        FN(tile_steps)(t, steps, sums, rows, vectors, chains, 1, IN_ROWS);
    else if (vectors > 1 && t->a_col == 1 && t->b_row == PANEL_WIDTH)
        FN(tile_steps)(t, steps, sums, rows, vectors, chains, 1, PLAIN);
    else if (chains == 1 && t->a_row == 1)
        FN(tile_steps)(t, steps, sums, rows, vectors, chains, 1, TRANSPOSED);
    else
        FN(tile_steps)(t, steps, sums, rows, vectors, chains, vectors > 1, 0);
    if (by_row) {
        FN(last_step)(t, sums, rows, vectors);
        return;
    }

    vec acc[TILE_ROWS][MOST_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int j = 0; j < vectors; j++) {
            acc[i][j] = sums[i][j];
            UNROLL
            for (int chain = 1; chain < chains; chain++) acc[i][j] += sums[chain * rows + i][j];
        }

    if (wide || (reads && t->columns < vectors * LANES))
        FN(end_tile_in_buffer)(t, acc, rows, vectors);
    else
        FN(end_tile)(t, acc, rows, vectors);
}

#define DEFINE_TILES(rows)                                                                       \
    static void FN(tile_##rows##x1)(const FN(tile_args) *t) { FN(tile)(t, rows, 1, 1); }         \
    static void FN(tile_##rows##x2)(const FN(tile_args) *t) { FN(tile)(t, rows, 2, 1); }
#define LIST_TILES(rows) {FN(tile_##rows##x1), FN(tile_##rows##x2)},

/* A chain of sums waits four cycles for each addition, and two can begin in a cycle: tiles of few
 * rows need several chains. They serve products of no more rows than that. A row of a larger
 * product has one order of sums, wherever tiles and shares of work begin. */
#define THIN_ROWS 3
#define DEFINE_THIN_TILES(rows, chains)                                                          \
    static void FN(thin_tile_##rows##x1)(const FN(tile_args) *t) { FN(tile)(t, rows, 1, chains); } \
    static void FN(thin_tile_##rows##x2)(const FN(tile_args) *t) { FN(tile)(t, rows, 2, chains); }

FOR_EACH_TILE_ROWS(DEFINE_TILES)
DEFINE_THIN_TILES(1, 4)
DEFINE_THIN_TILES(2, 2)
DEFINE_THIN_TILES(3, 2)

typedef void (*FN(tile_function))(const FN(tile_args) *);

static const FN(tile_function) FN(tiles)[TILE_ROWS][PANEL_VECTORS] = {
    FOR_EACH_TILE_ROWS(LIST_TILES)};
static const FN(tile_function) FN(thin_tiles)[THIN_ROWS][PANEL_VECTORS] = {
    {FN(thin_tile_1x1), FN(thin_tile_1x2)},
    {FN(thin_tile_2x1), FN(thin_tile_2x2)},
    {FN(thin_tile_3x1), FN(thin_tile_3x2)}};

#if VECTOR_BYTES == 64
/* Tiles of two panels. Where a vector can be loaded but once in a cycle, or little more often, as on
 * an Ice Lake that others use as well, high tiles wait: they load 16 vectors for 28 multiply-adds,
 * these 10 for 24. 132 against 111 GFLOP/s at 32 x 64 x 64. */
static void FN(wide_tile_5)(const FN(tile_args) *t) { FN(tile)(t, 5, 2 * PANEL_VECTORS, 1); }
static void FN(wide_tile_6)(const FN(tile_args) *t) { FN(tile)(t, 6, 2 * PANEL_VECTORS, 1); }
static const FN(tile_function) FN(wide_tiles)[] = {FN(wide_tile_5), FN(wide_tile_6)};
#endif

#undef DEFINE_TILES
#undef LIST_TILES
#undef DEFINE_THIN_TILES

#if VECTOR_BYTES < 64
/* A tile of a whole panel that leaves behind, packed, what passes by of B. What lies ahead is asked
 * for into the second-level cache: rows far apart would push it out of the first again. */
static void FN(packing_tile)(const FN(tile_args) *t) {
    vec sums[TILE_ROWS][MOST_VECTORS];
    FN(begin_tile)(t, sums, TILE_ROWS, PANEL_VECTORS, 1);
    const REAL *a[A_POINTERS], *b = t->b;
    REAL *packed = t->packed;
    UNROLL
    for (int i = 0; i < A_POINTERS; i++) a[i] = t->a + i * ROWS_POINTED * t->a_row;
    for (int64_t p = t->k; p > 0; p--) {
        __builtin_prefetch(b + PREFETCH_STEPS * t->b_row, 0, 2);
        FN(tile_step)(a, ROWS_POINTED, t->a_row, b, 0, 0, sums, TILE_ROWS, PANEL_VECTORS, 0);
        UNROLL
        for (int j = 0; j < PANEL_VECTORS; j++)
            FN(store)(packed + j * LANES, FN(load)(b + j * LANES));
        b += t->b_row;
        packed += PANEL_WIDTH;
        UNROLL
        for (int i = 0; i < A_POINTERS; i++) a[i] += t->a_col;
    }
    FN(end_tile)(t, sums, TILE_ROWS, PANEL_VECTORS);
}
#endif

/* The rows of a block are shared out among tiles evenly: 32 rows are 11 + 11 + 10, not 14 + 14 + 4,
 * since short tiles do less per load. */
typedef struct {
    int64_t count, height, higher; /* tiles, their rows, and how many have one more */
} FN(tiling);

INLINE FN(tiling) FN(tiling_of)(int64_t rows, int64_t columns) {
    const int64_t most = columns > PANEL_WIDTH ? WIDE_ROWS : TILE_ROWS;
    const int64_t count = (rows + most - 1) / most;
    const int64_t height = count > 1 ? rows / count : rows;
    return (FN(tiling)){count, height, rows - count * height};
}

/* What tiles ask for, one after the other. */
typedef struct {
    const REAL *from; /* where the next of them begins, or NULL */
    int64_t step;     /* so much further at each step of k, */
    int64_t tile;     /* and at each tile */
} FN(asking);

INLINE void FN(ask)(FN(tile_args) *t, FN(asking) *next) {
    t->asked = next->from;
    t->ask_step = next->step;
    if (next->from) next->from += next->tile;
}

/* What comes after the tiles of a panel: the next panel is fetched while this one is worked on, and
 * the next rows of A while all of the panels are. 97 against 86 GFLOP/s with AVX2 at 1024 x 1024 x
 * 1024, where the third-level cache is slow. */
typedef struct {
    FN(asking) panel, rows;
    int64_t panel_tiles; /* of each panel ask for the next one, the others for rows */
} FN(coming);

INLINE FN(tile_function) FN(tile_for)(const fnn_gemm *g, int64_t height, int64_t columns) {
#if VECTOR_BYTES == 64
    if (columns > PANEL_WIDTH) return FN(wide_tiles)[height - LEAST_WIDE_ROWS];
#endif
    return (g->whole_m <= THIN_ROWS ? FN(thin_tiles) : FN(tiles))[height - 1][columns > LANES];
}

/* All tiles of one panel, or of two, over the rows `first` to `last` of C, for which `a` has those
 * of A. */
INLINE void FN(panel)(const fnn_gemm *g, FN(tile_args) *t, FN(coming) *next, const REAL *a,
                      int64_t first, int64_t last, int64_t column) {
    const FN(tiling) tiling = FN(tiling_of)(last - first, t->columns);
    for (int64_t i = 0, row = first; i < tiling.count; i++) {
        const int64_t height = tiling.height + (i < tiling.higher);
        if (t->a_in_tiles) {
            t->a = a + (row - first) * t->k;
            t->a_col = height;
        } else {
            t->a = a + (row - first) * t->a_row;
        }
        t->c = (REAL *)g->c + row * g->c_row + column;
        if (t->bias_of_rows) t->bias = (const REAL *)g->bias + row;
        if (g->saved) t->saved = (const REAL *)g->saved + row * g->saved_row + column;
        FN(ask)(t, i < next->panel_tiles ? &next->panel : &next->rows);
        FN(tile_for)(g, height, t->columns)(t);
        row += height;
    }
}

/* A single row takes no tile's preparations: a layer of a few units is done in 15 ns. The four
 * chains hide the wait for each addition. The panels are read from end to end, which the hardware
 * foresees better than software does: 90 GB/s from the third-level cache, 78 with prefetches. */
#define ROW_CHAINS 4

INLINE void FN(row_step)(REAL a, const REAL *b, vec *sums, const int vectors) {
    UNROLL
    for (int j = 0; j < vectors; j++) sums[j] += FN(splat)(a) * FN(load)(b + j * LANES);
}

/* A packed kernel that comes from the third level is read from end to end. The hardware's prefetcher
 * stops at the end of each page; asking for what comes ROW_AHEAD bytes later does not: 125 GB/s in
 * place of 100 (Zen 5). What stays in the second level, or nearly, may be pushed out of it by that:
 * 1 x 784 x 256 and 256 x 128 after it take 7.0 to 7.7 us with asking, 6.1 to 6.7 without. */
#define ROW_AHEAD 2048

static int FN(comes_from_afar)(const fnn_gemm *g) {
    const int64_t bytes = g->k * g->n * (int64_t)sizeof(REAL);
    return bytes > FNN_LEAST_NEAR_BYTES && bytes > 3 * fnn_near_bytes();
}

INLINE void FN(ask_ahead)(const REAL *b, int64_t rows) {
    const char *ahead = (const char *)b + ROW_AHEAD;
    UNROLL
    for (int64_t i = 0; i < rows * PANEL_WIDTH * (int64_t)sizeof(REAL); i += 64)
        __builtin_prefetch(ahead + i);
}

INLINE void FN(row_panel)(int64_t k, const REAL *a, int64_t a_col, const REAL *b, int64_t b_row,
                          vec *sum, const int vectors, int asks) {
    vec sums[ROW_CHAINS][PANEL_VECTORS];
    UNROLL
    for (int chain = 0; chain < ROW_CHAINS; chain++)
        UNROLL
        for (int j = 0; j < vectors; j++) sums[chain][j] = (vec){0};
    for (; k >= ROW_CHAINS; k -= ROW_CHAINS, a += ROW_CHAINS * a_col, b += ROW_CHAINS * b_row) {
        if (asks) FN(ask_ahead)(b, ROW_CHAINS);
        UNROLL
        for (int chain = 0; chain < ROW_CHAINS; chain++)
            FN(row_step)(a[chain * a_col], b + chain * b_row, sums[chain], vectors);
    }
    UNROLL
    for (int chain = 0; chain < ROW_CHAINS - 1; chain++)
        if (chain < k) FN(row_step)(a[chain * a_col], b + chain * b_row, sums[chain], vectors);
    UNROLL
    for (int j = 0; j < vectors; j++)
        sum[j] = (sums[0][j] + sums[1][j]) + (sums[2][j] + sums[3][j]);
}

/* Add the bias to a vector of the row, apply relu, store it. */
INLINE void FN(store_row_vector)(const fnn_gemm *g, int64_t column, vec sum, int relu) {
    const int64_t columns = g->n - column;
    if (g->bias) sum += FN(load_columns)((const REAL *)g->bias + column, columns);
    FN(store_columns)((REAL *)g->c + column, relu ? FN(relu)(sum) : sum, columns);
}

INLINE void FN(near_panels)(const fnn_gemm *g, int64_t a_col, int64_t b_row, int relu, int asks) {
    const REAL *b = g->b;
    for (int64_t column = 0; column < g->n; column += PANEL_WIDTH, b += g->b_panel) {
        vec sum[PANEL_VECTORS];
        if (g->n - column <= LANES) {
            FN(row_panel)(g->k, g->a, a_col, b, b_row, sum, 1, 0);
            FN(store_row_vector)(g, column, sum[0], relu);
        } else {
            FN(row_panel)(g->k, g->a, a_col, b, b_row, sum, 2, asks);
            FN(store_row_vector)(g, column, sum[0], relu);
            FN(store_row_vector)(g, column + LANES, sum[1], relu);
        }
    }
}

/* With packed weights, the compiler knows how far apart everything is. */
static void FN(near_row)(const fnn_gemm *g, int relu) {
    const int asks = VECTOR_BYTES > 16 && FN(comes_from_afar)(g);
    if (g->a_col == 1 && g->b_row == PANEL_WIDTH)
        FN(near_panels)(g, 1, PANEL_WIDTH, relu, asks);
    else
        FN(near_panels)(g, g->a_col, g->b_row, relu, 0);
}

/* An unpacked B whose rows are up to NEAR_BYTES apart is read in panels. Up to NARROW_BYTES, the sums
 * of a piece of its columns stay in registers. Longer rows are read from end to end, a few at a time,
 * while the sums wait in C: 1 x 1024 x 1024 takes 41 us so, 380 us panel by panel, each row of which
 * is in another page; 45 to 53 with eight rows at once, or without asking ahead. */
#define NEAR_BYTES 256
#define NARROW_BYTES (VECTOR_BYTES == 64 ? 1024 : 0) /* with 32 registers */
#define PIECE 8 /* vectors */
#define LEAST_PIECE 4
#define ROWS_AT_ONCE 4
#define FAR_AHEAD (1024 / (int64_t)sizeof(REAL))

INLINE void FN(add_rows)(const fnn_gemm *g, int64_t p, const int rows) {
    const REAL *b = (const REAL *)g->b + p * g->b_row;
    REAL *c = g->c;
    vec a[ROWS_AT_ONCE];
    UNROLL
    for (int i = 0; i < rows; i++) a[i] = FN(splat)(((const REAL *)g->a)[(p + i) * g->a_col]);
    for (int64_t j = 0; j < g->n; j += LANES) {
        const int64_t ahead = j + FAR_AHEAD < g->n ? FAR_AHEAD : FAR_AHEAD - g->n + rows * g->b_row;
        vec sum = p > 0 ? FN(load_columns)(c + j, g->n - j) : (vec){0};
        UNROLL
        for (int i = 0; i < rows; i++) {
            const REAL *here = b + i * g->b_row + j;
            if (VECTOR_BYTES > 16 && rows > 1) __builtin_prefetch(here + ahead);
            sum += a[i] * FN(load)(here);
        }
        FN(store_columns)(c + j, sum, g->n - j);
    }
}

/* Sums of some vectors of columns, from `column` on, so many columns apart. */
INLINE void FN(add_piece)(const fnn_gemm *g, int64_t column, int64_t apart, vec *sums,
                          const int vectors) {
    const REAL *a = g->a, *b = (const REAL *)g->b + column;
    UNROLL
    for (int j = 0; j < vectors; j++) sums[j] = (vec){0};
    for (int64_t p = 0; p < g->k; p++, a += g->a_col, b += g->b_row)
        UNROLL
        for (int j = 0; j < vectors; j++) sums[j] += FN(splat)(*a) * FN(load)(b + j * apart);
}

/* Vectors from column `first` on in pieces, the last of which may do some columns again. */
INLINE void FN(add_pieces)(const fnn_gemm *g, int64_t first, int64_t count, const int vectors) {
    for (int64_t i = 0; i < count; i += vectors) {
        const int64_t column = first + (i + vectors <= count ? i : count - vectors) * LANES;
        vec sums[PIECE];
        FN(add_piece)(g, column, LANES, sums, vectors);
        UNROLL
        for (int j = 0; j < vectors; j++) FN(store)((REAL *)g->c + column + j * LANES, sums[j]);
    }
}

/* Columns before the first vector that lies at a multiple of its size, if all rows have it there. */
INLINE int64_t FN(unaligned_columns)(const fnn_gemm *g) {
    if (g->b_row % LANES != 0) return 0;
    return (int64_t)(-(uintptr_t)g->b % VECTOR_BYTES / sizeof(REAL));
}

/* Vectors from column `first` on, where they begin to lie in one cache line each: 1 x 784 x 256 takes
 * 6 us so, 9 us where each lies in two. Then those at both ends. */
static void FN(add_narrow_rows)(const fnn_gemm *g, int64_t first, int64_t count) {
    if (count >= PIECE)
        FN(add_pieces)(g, first, count, PIECE);
    else
        FN(add_pieces)(g, first, count, LEAST_PIECE);
    if (first > 0) {
        vec ends[2];
        FN(add_piece)(g, 0, g->n - LANES, ends, 2);
        FN(store)((REAL *)g->c + g->n - LANES, ends[1]);
        FN(store)((REAL *)g->c, ends[0]);
    }
}

static void FN(add_wide_rows)(const fnn_gemm *g) {
    int64_t p = 0;
    for (; p + ROWS_AT_ONCE <= g->k; p += ROWS_AT_ONCE) FN(add_rows)(g, p, ROWS_AT_ONCE);
    for (; p < g->k; p++) FN(add_rows)(g, p, 1);
}

static void FN(far_row)(const fnn_gemm *g, int relu) {
    const int64_t first = FN(unaligned_columns)(g), count = (g->n - first) / LANES;
    const int narrow = g->b_row * (int64_t)sizeof(REAL) <= NARROW_BYTES;
    if (narrow && g->n % LANES == 0 && count >= LEAST_PIECE)
        FN(add_narrow_rows)(g, first, count);
    else
        FN(add_wide_rows)(g);
    for (int64_t j = 0; j < g->n; j += LANES) {
        const vec sum = FN(load_columns)((const REAL *)g->c + j, g->n - j);
        FN(store_row_vector)(g, j, g->k > 0 ? sum : (vec){0}, relu);
    }
}

static void FN(row)(const fnn_gemm *g) {
    const int relu = g->epilogue == FNN_STORE_ACTIVATION && g->activation == FNN_RELU;
    if (g->b_row * (int64_t)sizeof(REAL) <= NEAR_BYTES)
        FN(near_row)(g, relu);
    else
        FN(far_row)(g, relu);
    if (g->epilogue == FNN_STORE_ACTIVATION && !relu && g->activation != FNN_LINEAR)
        FN(activate)(g->activation, g->options, g->n, g->c, g->c);
}

/* A single step, as for the gradient of a kernel from one row: each row of C is the row of B times a
 * number, with the bits of a tile, which would spend more time on its beginning and its end. A packed
 * B of one row lies as an unpacked one does. */
static void FN(outer_product)(const fnn_gemm *g) {
    const REAL *b = g->b;
    for (int64_t i = 0; i < g->m; i++) {
        const vec factor = FN(splat)(((const REAL *)g->a)[i * g->a_row]);
        REAL *c = (REAL *)g->c + i * g->c_row;
        for (int64_t j = 0; j < g->n; j += LANES) {
            vec product = (vec){0} + factor * FN(load)(b + j);
            if (g->add) product += FN(load_columns)(c + j, g->n - j);
            FN(store_columns)(c + j, product, g->n - j);
        }
    }
}

/* Whether steps of so many elements lead to the same few lines of the first-level cache. */
static int FN(collide)(int64_t step) { return step * (int64_t)sizeof(REAL) % 2048 == 0; }

/* Where rows of B collide, few of a panel's stay in the second-level cache for the next tile, and
 * what is asked for early has been pushed out before it is used. Shorter blocks, and less haste: 130
 * against 67 GFLOP/s at 64 x 1024 x 1024. */
#define COLLIDING_REDUCTION (REDUCTION / 8)
#define COLLIDING_STEPS 8

static int64_t FN(most_steps)(int64_t b_row) {
    return FN(collide)(b_row) ? COLLIDING_REDUCTION : REDUCTION;
}

/* How far ahead of a row of B to ask for another, in elements. */
static int64_t FN(ahead)(int64_t b_row, int64_t steps) {
    return b_row * (FN(collide)(b_row) ? COLLIDING_STEPS : steps);
}

/* Whether each vector of a B lies in one cache line. */
static int FN(lies_in_lines)(const void *b, int64_t b_row) {
    return (uintptr_t)b % VECTOR_BYTES == 0 && b_row % LANES == 0;
}

/* Whether to pack a B of n columns, whose rows lie b_row apart, for an A of m rows, though it could be
 * read where it lies. Steps down the panel of a B of long rows fall on the same few lines of the
 * first-level cache, and those of whole pages in the second level, too. The low tiles of AVX2 ask
 * for the next line sooner: with it 32 x 1024 x 1024 takes 1,070 us packed, 2,430 as it lies. Vectors
 * of AVX-512 that lie in two lines keep B from wide tiles: 112 x 128 x 128 takes 27 us packed, 33 as
 * it lies. Where rows collide, packing changes the last bits of sums: not for where B begins. */
#define DIRECT_VECTORS (VECTOR_BYTES == 64 ? 16 : 12)
#define PAGE_BYTES 4096

static int64_t FN(most_direct_tiles)(int64_t b_row) {
    const int64_t bytes = b_row * (int64_t)sizeof(REAL);
    if (VECTOR_BYTES == 64) return 8;
    if (bytes % PAGE_BYTES == 0) return 1;
    return bytes % (PAGE_BYTES / 4) == 0 ? 5 : 6;
}

static int FN(packing_pays)(int64_t m, int64_t n, const void *b, int64_t b_row) {
    if (VECTOR_BYTES == 64 && !FN(lies_in_lines)(b, b_row) && !FN(collide)(b_row))
        return n > 2 * PANEL_WIDTH && m > 5 * TILE_ROWS;
    return n > DIRECT_VECTORS * LANES && m > FN(most_direct_tiles)(b_row) * TILE_ROWS;
}

/* Whether wide tiles can take B: packed, or in short rows, which may be padded by a vector, of which
 * each vector lies in one cache line. Rows of two panels may lie anywhere: 86 against 71 per cent of
 * the peak at 4096 x 64 x 64. */
static int FN(lies_well)(const void *b, int64_t b_row) {
    if (b_row <= 2 * PANEL_WIDTH) return 1;
    return FN(lies_in_lines)(b, b_row) && b_row <= (DIRECT_VECTORS + 1) * LANES;
}

/* The same of its first k steps, of which two panels have to stay near. */
static int FN(wide_tiles_take)(const fnn_gemm *g, int64_t k) {
    const int64_t panels = 2 * PANEL_WIDTH * k * (int64_t)sizeof(REAL);
    return VECTOR_BYTES == 64 && FN(lies_well)(g->b, g->b_row) && panels <= fnn_near_bytes() / 2;
}

/* Whether to copy rows of A apart: 106 against 93 GFLOP/s at 2048 x 2048 x 2048 with high tiles. The few
 * rows of a wide one find room in the same lines: 244 without against 234 with a copy. */
static int FN(rows_go_apart)(const fnn_gemm *g) {
    const int64_t k = g->k < REDUCTION ? g->k : REDUCTION;
    return g->a_col == 1 && FN(collide)(g->a_row) && g->m >= TILE_ROWS &&
           g->n >= 4 * PANEL_WIDTH && g->k >= REDUCTION / 4 && !FN(wide_tiles_take)(g, k);
}

/* Whether to copy a transpose, of which each step of a tile reads another row, in the order in which
 * tiles read it: 192 against 175 GFLOP/s at 1024 x 784 x 1024. The more steps there are, the fewer
 * panels it takes to pay: 100 against 88 at 784 x 1024 x 256. Where steps collide it takes fewest: 129
 * against 96 at 1024 x 1000 x 64. */
static int FN(tiles_pay)(const fnn_gemm *g) {
    if (g->a_row != 1 || g->a_col < LANES || g->m < TILE_ROWS || g->k < TILE_ROWS) return 0;
    if (FN(collide)(g->a_col)) return g->n >= (g->k < 512 ? 4 : 2) * PANEL_WIDTH;
    const int often = g->n >= 512 && VECTOR_BYTES < 64; /* wide tiles read it half as often */
    return often || (g->n >= 4 * PANEL_WIDTH && g->n * g->k >= 1 << 17);
}

#define ROW_APART (REDUCTION + LANES)
#define COPY_STEPS 16

static void FN(copy_rows_apart)(int64_t rows, int64_t k, const REAL *a, int64_t a_row, REAL *copy) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(copy + i * ROW_APART, a + i * a_row, (size_t)k * sizeof(REAL));
}

/* Some steps of a tile. Whole vectors are copied: what they have too much, the next step overwrites.
 * Behind the last step may be the end of the array, or what another thread has copied. */
INLINE void FN(copy_steps)(int64_t height, int64_t steps, const REAL *a, int64_t a_col, REAL *copy) {
    for (int64_t p = 0; p < steps; p++, a += a_col, copy += height) {
        __builtin_prefetch(a + COPY_STEPS * a_col);
        for (int64_t j = 0; j < height; j += LANES) {
            const int64_t columns = p < steps - 1 ? LANES : height - j;
            FN(store_columns)(copy + j, FN(load_columns)(a + j, columns), columns);
        }
    }
}

/* The copy has tile after tile, in each of them one step along k after the other. It is made a few
 * steps of all tiles at a time, so that rows of the source are read on and places in the copy, too. */
static void FN(copy_in_tiles)(int64_t rows, int64_t k, int64_t first, int64_t count, const void *a,
                              int64_t a_col, void *copy) {
    const FN(tiling) tiling = FN(tiling_of)(rows, PANEL_WIDTH);
    for (int64_t p = first; p < first + count; p += COPY_STEPS) {
        const int64_t left = first + count - p, steps = left < COPY_STEPS ? left : COPY_STEPS;
        for (int64_t i = 0, row = 0; i < tiling.count; i++) {
            const int64_t height = tiling.height + (i < tiling.higher);
            FN(copy_steps)(height, steps, (const REAL *)a + p * a_col + row, a_col,
                           (REAL *)copy + row * k + p * height);
            row += height;
        }
    }
}

/* Whether B stays in the second-level cache. */
static int FN(b_stays)(const fnn_gemm *g) {
    const int64_t k = g->k < REDUCTION ? g->k : REDUCTION;
    const int64_t bytes = k * g->n * (int64_t)sizeof(REAL);
    return bytes <= FNN_LEAST_NEAR_BYTES || bytes <= fnn_near_bytes();
}

/* Whether to go through all of B with a few rows of a large A at a time: C is then written row by
 * row. 186 against 163 GFLOP/s at 4096 x 784 x 256. A few rows of a transpose are but a part of each
 * of its lines, which pays for long rows of C only: 131 against 118 at 1024 x 128 x 1000, while 4096 x
 * 256 x 256 has 125 without and 111 with it. */
static int FN(rows_go_first)(const fnn_gemm *g) {
    const int pays = g->a_row != 1 || g->n > 768;
    return pays && g->whole_m > ROW_BLOCK && g->n >= 4 * PANEL_WIDTH && FN(b_stays)(g);
}

/* How many columns of a block of so many rows go to wide tiles. These need two panels near, which is
 * worth it beside long ones, too: 157 against 144 GFLOP/s at 4096 x 1024 x 1024. They leave
 * derivatives and additions to a function, which takes long beside short sums. */
static int64_t FN(wide_columns)(const fnn_gemm *g, const FN(tile_args) *t, int64_t rows) {
    if (g->n < 2 * PANEL_WIDTH || rows < LEAST_WIDE_ROWS) return 0;
    const int gapless = g->a_col == 1 || g->a_row == 1;
    if (t->a_in_tiles || !gapless || !FN(wide_tiles_take)(g, t->k)) return 0;
    const int reads = t->accumulate || t->relu_gradient;
    const int even = FN(tiling_of)(rows, 2 * PANEL_WIDTH).height >= LEAST_WIDE_ROWS;
    return even && t->k >= (reads ? LONG_SUMS : 1) ? g->n / (2 * PANEL_WIDTH) * (2 * PANEL_WIDTH) : 0;
}

/* As many rows of A as take a third of the second-level cache: with 1 MB of it, 84 rows and 109.9
 * GFLOP/s at 1024 x 1024 x 1024, 107.9 with twice as many. */
static int64_t FN(most_rows)(void) {
    const int64_t rows = fnn_near_bytes() * 2 / 3 / (REDUCTION * (int64_t)sizeof(REAL));
    return rows < ROW_BLOCK ? rows / TILE_ROWS * TILE_ROWS : ROW_BLOCK;
}

/* Rows of a block: all blocks have about as many, so that the last does not read B for a few only. */
static int64_t FN(block_rows)(const fnn_gemm *g, const FN(tile_args) *t) {
    if (g->m <= TILE_ROWS) return TILE_ROWS;
    const int64_t few = FN(wide_columns)(g, t, 2 * WIDE_ROWS) > 0 ? 2 * WIDE_ROWS : TILE_ROWS;
    const int64_t most = FN(rows_go_first)(g) ? few : FN(most_rows)();
    if (g->m <= most) return most;
    const int64_t blocks = (g->m + most - 1) / most, rows = (g->m + blocks - 1) / blocks;
    return most > TILE_ROWS ? (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS : rows;
}

/* From one step of k to the next, so that no line is left out: high tiles ask at every other step. */
#define LONGEST_STEP(wide) (((wide) > 0 ? 64 : 32) / (int64_t)sizeof(REAL))

/* Share out among the tiles of so many rows what comes after them, so that the asking never stops:
 * too many lines that take long to come hold up others. A step of a transpose takes a line of its
 * own, for which tiles have to ask first. */
static FN(coming) FN(coming_of)(const fnn_gemm *g, const FN(tile_args) *t, int64_t rows,
                                int64_t wide, const REAL *rows_after) {
    FN(coming) next = {0};
    const int reads_on = g->b_row == PANEL_WIDTH && (g->a_row != 1 || t->a_in_tiles);
    const int asks_for_panels = rows > TILE_ROWS && reads_on && !FN(b_stays)(g);
    const int asks_for_rows = rows_after && g->a_row != 1;
    if (t->k == 0 || (!asks_for_panels && !asks_for_rows)) return next;
    const int64_t width = wide > 0 ? 2 * PANEL_WIDTH : PANEL_WIDTH;
    const int64_t tiles = FN(tiling_of)(rows, width).count, panels = (g->n + width - 1) / width;
    const int64_t elements = asks_for_rows ? rows * g->a_row : 0;
    if (asks_for_panels) {
        const int64_t part = elements / (panels * t->k);
        next.panel_tiles = (tiles * width + part) / (width + part);
        const int64_t step = 1 + width / next.panel_tiles;
        next.panel.step = step < LONGEST_STEP(wide) ? step : LONGEST_STEP(wide);
        next.panel.tile = next.panel.step * t->k;
    }
    const int64_t others = tiles - next.panel_tiles;
    if (asks_for_rows && others > 0) {
        next.rows.from = rows_after;
        next.rows.step = 1 + elements / (others * panels * t->k);
        next.rows.tile = next.rows.step * t->k;
    }
    return next;
}

/* The panel of this column, which comes next, or else that of the next rows, or steps. */
static const REAL *FN(next_panel)(const fnn_gemm *g, const FN(tile_args) *t, int64_t k0,
                                  int64_t column, int more_rows) {
    const REAL *first = (const REAL *)g->b + k0 * g->b_row;
    if (column < g->n) return first + column / PANEL_WIDTH * g->b_panel;
    return more_rows ? first : k0 + t->k < g->k ? first + t->k * g->b_row : NULL;
}

/* Apply to rows of C, whose sums are complete, what follows them. */
static void FN(finish_rows)(const fnn_gemm *g, int64_t first, int64_t rows) {
    const int gradient = g->epilogue == FNN_STORE_GRADIENT;
    const int joined = g->c_row == g->n && (!gradient || g->saved_row == g->n);
    const int64_t n = joined ? rows * g->n : g->n, last = joined ? first + 1 : first + rows;
    for (int64_t i = first; i < last; i++) {
        REAL *c = (REAL *)g->c + i * g->c_row;
        if (gradient)
            FN(activate_gradient)(g->activation, g->options, n, c,
                                  (const REAL *)g->saved + i * g->saved_row, c);
        else
            FN(activate)(g->activation, g->options, n, c, c);
    }
}

static FN(tile_args) FN(tile_args_of)(const fnn_gemm *g) {
    return (FN(tile_args)){.a_row = g->a_row, .a_col = g->a_col, .b_row = g->b_row,
                           .b_ahead = FN(ahead)(g->b_row, PREFETCH_STEPS),
                           .b_panel = g->b_panel, .c_row = g->c_row,
                           .saved_row = g->saved_row};
}

static int FN(activates)(const fnn_gemm *g) {
    return g->epilogue == FNN_STORE_ACTIVATION || g->epilogue == FNN_STORE_TRANSPOSE;
}

/* Let tiles take up to so many steps from k0 on. */
static void FN(take_steps)(const fnn_gemm *g, int64_t k0, int64_t most, FN(tile_args) *t) {
    t->k = g->k - k0 < most ? g->k - k0 : most;
    const int last = k0 + t->k == g->k, relu = g->activation == FNN_RELU;
    t->accumulate = k0 > 0 || g->add;
    t->relu = last && relu && FN(activates)(g);
    t->relu_gradient = last && relu && g->epilogue == FNN_STORE_GRADIENT;
}

/* Let them take the panel, or the panels, of up to so many columns from this one on. */
static void FN(take_panel)(const fnn_gemm *g, int64_t k0, int64_t column, int64_t width,
                           FN(tile_args) *t) {
    t->columns = g->n - column < width ? g->n - column : width;
    t->b = (const REAL *)g->b + column / PANEL_WIDTH * g->b_panel + k0 * g->b_row;
    t->bias = g->bias && k0 == 0 ? (const REAL *)g->bias + column : NULL;
    t->bias_of_rows = t->bias && g->epilogue == FNN_STORE_TRANSPOSE;
}

/* Whether tiles do all that follows the sums. */
static int FN(tiles_finish)(const fnn_gemm *g) {
    return g->epilogue == FNN_STORE || g->activation == FNN_LINEAR || g->activation == FNN_RELU;
}

/* A single panel for few rows needs no plan, which takes 10 ns: as long as 8 x 4 x 8 by itself. */
static int FN(is_small)(const fnn_gemm *g) {
    return g->n > 0 && g->n <= PANEL_WIDTH && g->m <= ROW_BLOCK / 2 && g->k <= COLLIDING_REDUCTION;
}

static void FN(small_gemm)(const fnn_gemm *g) {
    FN(tile_args) t = FN(tile_args_of)(g);
    FN(coming) next = {0};
    FN(take_steps)(g, 0, g->k, &t);
    FN(take_panel)(g, 0, 0, PANEL_WIDTH, &t);
    FN(panel)(g, &t, &next, g->a, 0, g->m, 0);
    if (!FN(tiles_finish)(g)) FN(finish_rows)(g, 0, g->m);
}

/* A tile one vector wide loads as much as it multiplies, and may leave lanes empty. The transposed
 * product has a column for each row, and the same bits: 2.2 against 4.1 us at 64 x 128 x 10, where A
 * is a transpose, 2.3 against 3.1 at 128 x 64 x 10, where it has to be transposed first. With shorter
 * vectors that does not pay. */
#define ACROSS_ROWS (2 * PANEL_WIDTH) /* at a time */
#define LEAST_ACROSS_ROWS PANEL_WIDTH

static int FN(goes_across)(const fnn_gemm *g) {
    if (LANES < 8 || g->n > LANES || g->m < LEAST_ACROSS_ROWS) return 0;
    if (g->k < 2 * LANES || g->k > REDUCTION || g->add) return 0;
    if (g->epilogue != FNN_STORE && g->epilogue != FNN_STORE_ACTIVATION) return 0;
    if (g->a_row == 1) return g->m % LANES == 0 && !FN(collide)(g->a_col);
    return g->a_col == 1 && LANES > 8;
}

static void FN(gemm)(const fnn_gemm *g);

/* A is transposed into the room, if there is any. Columns that begin behind a row of B are of no use
 * to anybody. */
static void FN(gemm_across)(const fnn_gemm *g, REAL *room) {
    REAL sums[LANES * ACROSS_ROWS] __attribute__((aligned(64)));
    fnn_gemm across = *g;
    across.m = g->b_row < g->n ? g->b_row : g->n;
    across.a = g->b;
    across.a_row = 1;
    across.a_col = g->b_row;
    across.b_row = room ? ACROSS_ROWS : g->a_col;
    across.b_panel = PANEL_WIDTH;
    across.c = sums;
    across.c_row = ACROSS_ROWS;
    across.epilogue = FNN_STORE_TRANSPOSE;
    if (g->epilogue == FNN_STORE) across.activation = FNN_LINEAR;
    for (int64_t row = 0; row < g->m; row += ACROSS_ROWS) {
        const int64_t rows = g->m - row < ACROSS_ROWS ? g->m - row : ACROSS_ROWS;
        const REAL *a = (const REAL *)g->a + row * g->a_row;
        across.n = (rows + LANES - 1) / LANES * LANES;
        if (room) FN(transpose_matrix)(rows, g->k, a, g->a_row, room, ACROSS_ROWS, across.n);
        across.b = room ? room : a;
        FN(gemm)(&across);
        FN(transpose_matrix)(across.m, rows, sums, ACROSS_ROWS,
                             (REAL *)g->c + row * g->c_row, g->c_row, g->n);
    }
}

/* C of few rows, worked out transposed: `across` has a row for each of its columns, and a column in
 * packed panels for each of its rows. A few columns of C at a time leave sums that stay in the
 * first-level cache until they are transposed. Few rows at a time keep `gemm` from asking for the room
 * that the panels are in. */
#define TURNED_ROWS (2 * PANEL_WIDTH)  /* of C, */
#define TURNED_COLUMNS (8 * TILE_ROWS) /* at a time; */
#define TURNED_STEPS (8 * REDUCTION)   /* of k at most, which is 2 MB of room */

static int FN(fill_panels)(int64_t rows) {
    return (PANEL_WIDTH - rows % PANEL_WIDTH) % PANEL_WIDTH <= PANEL_WIDTH / 8;
}

/* Room for the panels, and behind them for the sums; NULL if there is no memory. */
static REAL *FN(room_to_turn)(int64_t k) {
    return fnn_scratch((size_t)(TURNED_ROWS * (k + TURNED_COLUMNS)) * sizeof(REAL));
}

/* Some columns of C, with so many steps of k summed up before they are added to it. */
static void FN(turned_columns)(const fnn_gemm *across, int64_t most) {
    fnn_gemm part = *across;
    for (int64_t k0 = 0; k0 < across->k; k0 += most) {
        part.k = across->k - k0 < most ? across->k - k0 : most;
        part.a = (const REAL *)across->a + k0 * across->a_col;
        part.b = (const REAL *)across->b + k0 * PANEL_WIDTH;
        part.add = k0 > 0;
        if (k0 > 0) part.bias = NULL;
        part.activation = k0 + part.k == across->k ? across->activation : FNN_LINEAR;
        FN(gemm)(&part);
    }
}

static __attribute__((noinline)) void FN(gemm_turned)(fnn_gemm across, int64_t most, REAL *c,
                                                      int64_t c_row) {
    const int64_t columns = across.m;
    across.b_row = PANEL_WIDTH;
    across.b_panel = across.k * PANEL_WIDTH;
    across.c = (REAL *)across.b + TURNED_ROWS * across.k;
    across.c_row = TURNED_ROWS;
    for (int64_t column = 0; column < columns; column += TURNED_COLUMNS) {
        across.m = columns - column < TURNED_COLUMNS ? columns - column : TURNED_COLUMNS;
        FN(turned_columns)(&across, most);
        across.a = (const REAL *)across.a + TURNED_COLUMNS * across.a_row;
        if (across.bias) across.bias = (const REAL *)across.bias + TURNED_COLUMNS;
        FN(transpose_matrix)(across.m, across.n, across.c, TURNED_ROWS, c + column, c_row,
                             across.m);
    }
}

static void FN(pack)(int64_t k, int64_t n, const void *source, int64_t b_row, int64_t b_col,
                     void *packed);

/* Tiles of few rows take less time for each step than its row of B takes to come, if rows of B collide.
 * Transposed, they take next to each line of B once: 220 against 276 us at 32 x 784 x 1024. */
static int FN(goes_turned)(const fnn_gemm *g) {
    if (VECTOR_BYTES < 64 || !FN(collide)(g->b_row) || g->a_col != 1 || g->add) return 0;
    if (g->epilogue != FNN_STORE && g->epilogue != FNN_STORE_ACTIVATION) return 0;
    const int fills = g->m % PANEL_WIDTH == 0 && g->m <= 3 * PANEL_WIDTH;
    return fills && g->n >= 4 * LANES && g->k >= 8 * LANES && g->k <= TURNED_STEPS;
}

/* Return whether there was memory for it. */
static __attribute__((noinline)) int FN(turned_gemm)(const fnn_gemm *g) {
    REAL *panels = FN(room_to_turn)(g->k);
    if (!panels) return 0;
    fnn_gemm across = *g;
    across.m = g->n;
    across.n = PANEL_WIDTH;
    across.a = g->b;
    across.a_row = 1;
    across.a_col = g->b_row;
    across.b = panels;
    across.epilogue = FNN_STORE_TRANSPOSE;
    if (g->epilogue == FNN_STORE) across.activation = FNN_LINEAR;
    for (int64_t row = 0; row < g->m; row += PANEL_WIDTH) {
        FN(pack)(g->k, PANEL_WIDTH, (const REAL *)g->a + row * g->a_row, 1, g->a_row, panels);
        FN(gemm_turned)(across, FN(most_steps)(g->b_row), (REAL *)g->c + row * g->c_row, g->c_row);
    }
    return 1;
}

/* Where k takes several blocks, each of them reads and writes C again: if C does not stay in the
 * second-level cache, a lot of columns goes through all of k first. 257 against 247 GFLOP/s at 2048 x
 * 2048 x 2048, 237 against 224 at 128 x 4096 x 4096. */
#define LOT_COLUMNS (2048 / (int64_t)sizeof(REAL))

static int FN(goes_in_lots)(const fnn_gemm *g) {
    const int64_t bytes = g->m * g->n * (int64_t)sizeof(REAL);
    const int reads_on = g->a_col == 1 && g->b_row == PANEL_WIDTH;
    return reads_on && g->k > REDUCTION && g->n > LOT_COLUMNS && bytes > 2 * fnn_near_bytes();
}

static __attribute__((noinline)) void FN(gemm_in_lots)(const fnn_gemm *g) {
    fnn_gemm lot = *g;
    for (int64_t column = 0; column < g->n; column += LOT_COLUMNS) {
        lot.n = g->n - column < LOT_COLUMNS ? g->n - column : LOT_COLUMNS;
        lot.b = (const REAL *)g->b + column / PANEL_WIDTH * g->b_panel;
        lot.c = (REAL *)g->c + column;
        if (g->bias) lot.bias = (const REAL *)g->bias + column;
        if (g->saved) lot.saved = (const REAL *)g->saved + column;
        FN(gemm)(&lot);
    }
}

static void FN(gemm)(const fnn_gemm *g) {
    if (g->whole_m == 1 && g->epilogue != FNN_STORE_GRADIENT && !g->add) {
        FN(row)(g);
        return;
    }
    if (g->k == 1 && g->epilogue == FNN_STORE && !g->bias) {
        FN(outer_product)(g);
        return;
    }
    if (FN(goes_across)(g)) {
        const int lies_across = g->a_row == 1;
        const size_t turned = (size_t)g->k * ACROSS_ROWS * sizeof(REAL);
        REAL *room = lies_across ? NULL : fnn_scratch(turned);
        if (room || lies_across) {
            FN(gemm_across)(g, room);
            return;
        }
    }
    if (FN(is_small)(g)) {
        FN(small_gemm)(g);
        return;
    }
    if (FN(goes_turned)(g) && FN(turned_gemm)(g)) return;
    if (FN(goes_in_lots)(g)) {
        FN(gemm_in_lots)(g);
        return;
    }
    int apart = FN(rows_go_apart)(g);
    int in_tiles = FN(tiles_pay)(g);
    REAL *copy = apart || in_tiles ? fnn_scratch(ROW_BLOCK * ROW_APART * sizeof(REAL)) : NULL;
    if (!copy) apart = in_tiles = 0;
    FN(tile_args) t = FN(tile_args_of)(g);
    if (apart) t.a_row = ROW_APART;
    t.a_in_tiles = in_tiles;
    const int finished = FN(tiles_finish)(g);
    const int64_t most = FN(most_steps)(g->b_row);
    int64_t k0 = 0;
    do {
        FN(take_steps)(g, k0, most, &t);
        const int last_block = k0 + t.k == g->k;
        const int64_t block = FN(block_rows)(g, &t);
        for (int64_t row = 0; row < g->m; row += block) {
            const int64_t row_end = row + block < g->m ? row + block : g->m;
            const REAL *a = (const REAL *)g->a + row * g->a_row + k0 * g->a_col;
            if (apart) FN(copy_rows_apart)(row_end - row, t.k, a, g->a_row, copy);
            if (in_tiles) FN(copy_in_tiles)(row_end - row, t.k, 0, t.k, a, g->a_col, copy);
            const int64_t wide = FN(wide_columns)(g, &t, row_end - row);
            const int more_rows = row_end < g->m;
            FN(coming) next =
                FN(coming_of)(g, &t, row_end - row, wide, more_rows ? a + block * g->a_row : NULL);
            for (int64_t column = 0, width; column < g->n; column += width) {
                width = column < wide ? 2 * PANEL_WIDTH : PANEL_WIDTH;
                FN(take_panel)(g, k0, column, width, &t);
                if (next.panel_tiles > 0)
                    next.panel.from = FN(next_panel)(g, &t, k0, column + width, more_rows);
                FN(panel)(g, &t, &next, copy ? copy : a, row, row_end, column);
            }
            if (last_block && !finished) FN(finish_rows)(g, row, row_end - row);
        }
        k0 += t.k;
    } while (k0 < g->k);
}

#if VECTOR_BYTES < 64
/* The same with a B of whole panels that lies in rows, while rows of A fill no more than the half of
 * the second-level cache. The first tile of each panel packs it, which takes no time beside the
 * multiplications: 167 us instead of 183 at 32 x 784 x 256. The high tiles of AVX-512 do without
 * packing for so few rows. */
static void FN(packing_gemm)(const fnn_gemm *g, void *packed) {
    FN(tile_args) t = FN(tile_args_of)(g);
    FN(coming) next = {.panel_tiles = 2, .panel = {.step = g->b_row, .tile = g->b_row}};
    t.packed = packed;
    int64_t k0 = 0;
    do {
        FN(take_steps)(g, k0, REDUCTION, &t);
        const REAL *a = (const REAL *)g->a + k0 * g->a_col;
        for (int64_t column = 0; column < g->n; column += PANEL_WIDTH) {
            FN(take_panel)(g, k0, column, PANEL_WIDTH, &t);
            t.a = a;
            t.b_row = g->b_row;
            t.c = (REAL *)g->c + column;
            if (g->saved) t.saved = (const REAL *)g->saved + column;
            FN(packing_tile)(&t);
            next.panel.from = t.b + PANEL_WIDTH;
            t.b = packed;
            t.b_row = PANEL_WIDTH;
            FN(panel)(g, &t, &next, a + TILE_ROWS * g->a_row, TILE_ROWS, g->m, column);
        }
        k0 += t.k;
    } while (k0 < g->k);
    if (!FN(tiles_finish)(g)) FN(finish_rows)(g, 0, g->m);
}

static int FN(packs_in_passing)(const fnn_gemm *g) {
    return g->a_col == 1 && !FN(rows_go_apart)(g) && g->m >= 2 * TILE_ROWS &&
           g->m * g->k * (int64_t)sizeof(REAL) < fnn_near_bytes();
}
#endif

/* The same with an A that was copied by `copy_in_tiles`. Each tile goes through all of B, which stays
 * in the second-level cache, and asks for the next tile meanwhile. */
static void FN(gemm_of_tiles)(const fnn_gemm *g) {
    FN(tile_args) t = {.k = g->k, .a = g->a, .a_row = 1, .b_row = g->b_row,
                       .b_ahead = PREFETCH_STEPS * g->b_row, .c_row = g->c_row,
                       .accumulate = g->add};
    const FN(tiling) tiling = FN(tiling_of)(g->m, PANEL_WIDTH);
    const int64_t panels = (g->n + PANEL_WIDTH - 1) / PANEL_WIDTH;
    REAL *c = g->c;
    for (int64_t i = 0; i < tiling.count; i++) {
        t.a_col = tiling.height + (i < tiling.higher);
        t.asked = t.a + t.a_col * t.k;
        t.ask_step = 1 + t.a_col / panels;
        for (int64_t panel = 0; panel < panels; panel++) {
            t.c = c + panel * PANEL_WIDTH;
            t.columns = g->n - panel * PANEL_WIDTH;
            if (t.columns > PANEL_WIDTH) t.columns = PANEL_WIDTH;
            t.b = (const REAL *)g->b + panel * g->b_panel;
            FN(tiles)[t.a_col - 1][t.columns > LANES](&t);
            t.asked += t.ask_step * t.k;
        }
        t.a += t.a_col * t.k;
        c += t.a_col * g->c_row;
    }
}

/* Up to PANELS_AT_ONCE panels of rows of B. The rows are far apart: the further one is read on, and
 * the earlier the next ones are asked for, the less there is to wait. */
#define PANELS_AT_ONCE 4

INLINE void FN(pack_rows)(int64_t k, int64_t width, const REAL *b, int64_t b_row, REAL *out) {
    const int64_t ahead = FN(ahead)(b_row, 16);
    for (int64_t p = 0; p < k; p++, b += b_row, out += PANEL_WIDTH)
        for (int64_t column = 0; column < width; column += PANEL_WIDTH)
            UNROLL
            for (int64_t j = column; j < column + PANEL_WIDTH; j += LANES) {
                __builtin_prefetch(b + ahead + j);
                FN(store)(out + column * k + j - column,
                          j < width ? FN(load_columns)(b + j, width - j) : (vec){0});
            }
}

/* Up to LANES steps of a panel of columns of B, each of which lies in memory as a row, a square of
 * LANES by LANES at a time. They leave rows of whole panels behind, one after the other, in less time
 * than `transpose_matrix` takes for columns of squares. */
INLINE void FN(pack_squares)(int64_t steps, int64_t width, const REAL *b, int64_t b_col, REAL *out,
                             const int whole) {
    for (int64_t j = 0; j < PANEL_WIDTH; j += LANES, b += LANES * b_col) {
        vec square[LANES];
        FN(load_square)(width - j, steps, b, b_col, square, whole);
        FN(transpose)(square);
        UNROLL
        for (int64_t i = 0; i < LANES; i++)
            if (i < steps) FN(store)(out + i * PANEL_WIDTH + j, square[i]);
    }
}

/* Functions of their own, in which all addresses fit the registers. */
static __attribute__((noinline)) void FN(pack_whole)(const REAL *b, int64_t b_col, REAL *out) {
    FN(pack_squares)(LANES, PANEL_WIDTH, b, b_col, out, 1);
}
static __attribute__((noinline)) void FN(pack_edge)(int64_t steps, int64_t width, const REAL *b,
                                                    int64_t b_col, REAL *out) {
    FN(pack_squares)(steps, width, b, b_col, out, 0);
}

INLINE void FN(pack_columns)(int64_t k, int64_t width, const REAL *b, int64_t b_col, REAL *out) {
    for (int64_t p = 0; p < k; p += LANES, b += LANES, out += LANES * PANEL_WIDTH)
        if (width == PANEL_WIDTH && p + LANES <= k)
            FN(pack_whole)(b, b_col, out);
        else
            FN(pack_edge)(k - p, width, b, b_col, out);
}

/* Panels one after the other, each k rows of PANEL_WIDTH, the last filled up with zeros. */
static void FN(pack)(int64_t k, int64_t n, const void *source, int64_t b_row, int64_t b_col,
                     void *packed) {
    const REAL *b = source;
    REAL *out = packed;
    const int64_t step = b_col == 1 ? PANELS_AT_ONCE * PANEL_WIDTH : PANEL_WIDTH;
    for (int64_t column = 0; column < n; column += step) {
        const int64_t width = n - column < step ? n - column : step;
        if (b_col == 1)
            FN(pack_rows)(k, width, b + column, b_row, out + column * k);
        else
            FN(pack_columns)(k, width, b + column * b_col, b_col, out + column * k);
    }
}
