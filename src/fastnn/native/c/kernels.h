/* All kernels of one float type: REAL and its constants are defined by the file included before
 * this one, and undefined again at the end. */

#include "simd.h"
#include "vmath.h"
#include "activations.h"
#include "gemm.h"
#include "losses.h"
#include "updates.h"
#include "rows.h"

const fnn_kernels FN(fnn_kernels) = {
    .itemsize = sizeof(REAL),
    .vector_width = LANES,
    .panel_width = PANEL_WIDTH,
    .tile_rows = TILE_ROWS,
    .gemm = FN(gemm),
    .pack = FN(pack),
    .row_dots = FN(row_dots),
    .activate = FN(activate),
    .activate_gradient = FN(activate_gradient),
    .softmax = FN(softmax),
    .softmax_gradient = FN(softmax_gradient),
    .loss = FN(loss),
    .metric = FN(metric),
    .update = FN(update),
    .column_sums = FN(column_sums),
    .gather = FN(gather),
    .dropout = FN(dropout),
    .sum_of_squares = FN(sum_of_squares),
    .sum_of_magnitudes = FN(sum_of_magnitudes),
    .scale = FN(scale),
    .clip = FN(clip),
    .penalise = FN(penalise),
    .all_finite = FN(all_finite),
};

#undef vec
#undef ivec
#undef LANES
#undef PANEL_VECTORS
#undef PANEL_WIDTH
#undef REDUCTION
#undef STRIDED_REDUCTION
#undef PREFETCH_STEPS
#undef ROW_BLOCK
#undef SPREAD_ROW
#undef THIN_ROWS
#undef GATHER_AHEAD
#undef ROW_CHAINS
#undef NEAR_BYTES
#undef ROWS_AT_ONCE
#undef SELU_SCALE
#undef SELU_SCALED_ALPHA
#undef PROBABILITY_FLOOR
#undef DROPOUT_GROUPS
#undef COUNT

#undef REAL
#undef INT
#undef REAL_IS_FLOAT
#undef REAL_SUFFIX
#undef REAL_SQRT
#undef REAL_POW
#undef REAL_ABS
#undef REAL_MAX
#undef SIGN_FREE
#undef EXPONENT_MASK
#undef EXPONENT_SHIFT
#undef EXPONENT_BIAS
#undef SQRT_HALF_BITS
#undef LEADING_HALF
#undef ROUND_MAGIC
#undef EXP_LOWEST
#undef EXP_HIGHEST
#undef LN2_HIGH
#undef LN2_LOW
#undef TANH_HIGHEST
#undef GELU_HIGHEST
#undef ERFC_CENTRE
#undef EXP_POLYNOMIAL
#undef LOG_POLYNOMIAL
#undef ERFC_POLYNOMIAL
