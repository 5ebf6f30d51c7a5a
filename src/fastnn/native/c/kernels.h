/* All kernels of one float type: REAL and its constants are defined by the file included before
 * this one, and undefined again at the end. */

#include "simd.h"
#include "transpose.h"
#include "vmath.h"
#include "activations.h"
#include "gemm.h"
#include "dots.h"
#include "random.h"
#include "rows.h"
#include "losses.h"
#include "updates.h"
#include "layers.h"
#include "noise.h"
#include "normalization.h"
#include "recurrent.h"
#include "constraints.h"

/* The kernels of `fastnn.program.LayerOp`, ended by NULL. */
static const fnn_layer_steps *const FN(layers)[] = {
    &FN(prelu_steps),
    &FN(maxout_steps),
    &FN(embedding_steps),
    &FN(layer_normalization_steps),
    &FN(rms_normalization_steps),
    &FN(unit_normalization_steps),
    &FN(batch_normalization_steps),
    &FN(normalization_steps),
    &FN(rescaling_steps),
    &FN(gaussian_noise_steps),
    &FN(gaussian_dropout_steps),
    &FN(alpha_dropout_steps),
    &FN(activity_regularization_steps),
    &FN(simple_rnn_steps),
    NULL,
};

const fnn_kernels FN(fnn_kernels) = {
    .itemsize = sizeof(REAL),
    .vector_width = LANES,
    .panel_width = PANEL_WIDTH,
    .tile_rows = TILE_ROWS,
    .gemm = FN(gemm),
    .most_steps = FN(most_steps),
    .rows_go_apart = FN(rows_go_apart),
    .packing_pays = FN(packing_pays),
    .pack = FN(pack),
#if VECTOR_BYTES < 64
    .packing_gemm = FN(packing_gemm),
    .packs_in_passing = FN(packs_in_passing),
#endif
    .copy_in_tiles = FN(copy_in_tiles),
    .gemm_of_tiles = FN(gemm_of_tiles),
    .dots = FN(dots),
    .dots_pay = FN(dots_pay),
    .transpose = FN(transpose_matrix),
    .activate = FN(activate),
    .activate_gradient = FN(activate_gradient),
    .activate_with_slope = FN(activate_with_slope),
    .activate_rows = FN(activate_rows),
    .softmax_columns = FN(softmax_columns),
    .activate_rows_gradient = FN(activate_rows_gradient),
    .loss = FN(loss),
    .metric = FN(metric),
    .update = FN(update),
    .column_sums = FN(column_sums),
    .gather = FN(gather),
    .dropout = FN(dropout),
    .layers = FN(layers),
    .are_row_numbers = FN(are_row_numbers),
    .add_matrices = FN(add_matrices),
    .sum_of_squares = FN(sum_of_squares),
    .sum_of_magnitudes = FN(sum_of_magnitudes),
    .scale = FN(scale),
    .clip = FN(clip),
    .penalise = FN(penalise),
    .all_finite = FN(all_finite),
    .min_max_norm = FN(min_max_norm),
    .non_neg = FN(non_neg),
    .unit_vectors = FN(unit_vectors),
    .pair_signs = FN(pair_signs),
    .orthogonal_gradient = FN(orthogonal_gradient),
};

#undef vec
#undef ivec
#undef LANES
#undef PANEL_VECTORS
#undef PANEL_WIDTH
#undef REDUCTION
#undef PREFETCH_STEPS
#undef A_POINTERS
#undef ROW_BLOCK
#undef LONG_SUMS
#undef ACROSS_ROWS
#undef LEAST_ACROSS_ROWS
#undef COLLIDING_REDUCTION
#undef COLLIDING_STEPS
#undef DIRECT_VECTORS
#undef PAGE_BYTES
#undef LONGEST_STEP
#undef MOST_VECTORS
#undef WIDE_ROWS
#undef LEAST_WIDE_ROWS
#undef ROW_APART
#undef COPY_STEPS
#undef DOT_ROWS
#undef DOT_COLUMNS
#undef DOT_SUMS
#undef DOT_BYTES
#undef DOT_GROUPS
#undef THIN_ROWS
#undef GATHER_AHEAD
#undef SUMMED_ROWS
#undef FEW_VECTORS
#undef LONELY_ROWS
#undef VECTORS_AT_ONCE
#undef ROW_CHAINS
#undef NEAR_BYTES
#undef ROWS_AT_ONCE
#undef FEW_COLUMNS
#undef NARROW_VECTORS
#undef NARROW_COLUMNS
#undef SELU_SCALE
#undef SELU_SCALED_ALPHA
#undef PROBABILITY_FLOOR
#undef HALF_LOG_TWO_PI
#undef NOISE_GROUPS
#undef COUNT
#undef ROWS_OF
#undef VECTORS_OF
#undef VECTORS
#undef BLOCK_VECTORS
#undef BLOCKS_OF_COLUMNS
#undef VECTORS_OF_BLOCK
#undef COLUMN_OPTIONS
#undef NOISE_COLUMNS
#undef BLOCKS_OF
#undef VECTORS_IN_BLOCK
#undef SELU_SATURATION
#undef UNIT_LIMIT
#undef COLUMN_SUMS

#undef REAL
#undef INT
#undef REAL_IS_FLOAT
#undef REAL_SUFFIX
#undef REAL_SQRT
#undef REAL_POW
#undef REAL_ABS
#undef REAL_MAX
#undef REAL_TINY
#undef SIGN_FREE
#undef EXPONENT_MASK
#undef EXPONENT_SHIFT
#undef EXPONENT_BIAS
#undef SQRT_HALF_BITS
#undef LEADING_HALF
#undef ROUND_MAGIC
#undef EXP_LOWEST
#undef EXP_NORMAL
#undef EXP_HIGHEST
#undef LN2_HIGH
#undef LN2_LOW
#undef TANH_HIGHEST
#undef GELU_HIGHEST
#undef ERFC_CENTRE
#undef ROOT_HIGHEST
#undef TANH_SHRINK_NEAR
#undef EXP_POLYNOMIAL
#undef LOG_POLYNOMIAL
#undef ERFC_POLYNOMIAL
#undef TANH_SHRINK_POLYNOMIAL
#undef PIECES
#undef PIECE_SHIFT
#undef FIRST_PIECE
