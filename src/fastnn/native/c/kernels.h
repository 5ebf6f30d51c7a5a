/* All kernels of one float type: REAL and its constants are defined by the file included before
 * this one, and undefined again at the end. */

#include "simd.h"
#include "vmath.h"
#include "activations.h"
#include "gemm.h"
#include "losses.h"
#include "updates.h"
#include "random.h"
#include "rows.h"
#include "layers.h"
#include "noise.h"
#include "normalization.h"
#include "recurrent.h"

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
    .layers =
        {
            [FNN_PRELU] = PRELU_STEPS,
            [FNN_MAXOUT] = MAXOUT_STEPS,
            [FNN_EMBEDDING] = EMBEDDING_STEPS,
            [FNN_LAYER_NORMALIZATION] = LAYER_NORMALIZATION_STEPS,
            [FNN_RMS_NORMALIZATION] = RMS_NORMALIZATION_STEPS,
            [FNN_UNIT_NORMALIZATION] = UNIT_NORMALIZATION_STEPS,
            [FNN_BATCH_NORMALIZATION] = BATCH_NORMALIZATION_STEPS,
            [FNN_NORMALIZATION] = NORMALIZATION_STEPS,
            [FNN_RESCALING] = RESCALING_STEPS,
            [FNN_GAUSSIAN_NOISE] = GAUSSIAN_NOISE_STEPS,
            [FNN_GAUSSIAN_DROPOUT] = GAUSSIAN_DROPOUT_STEPS,
            [FNN_ALPHA_DROPOUT] = ALPHA_DROPOUT_STEPS,
            [FNN_ACTIVITY_REGULARIZATION] = ACTIVITY_REGULARIZATION_STEPS,
            [FNN_SIMPLE_RNN] = SIMPLE_RNN_STEPS,
        },
    .add_matrices = FN(add_matrices),
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
#undef PRELU_STEPS
#undef MAXOUT_STEPS
#undef EMBEDDING_STEPS
#undef LAYER_NORMALIZATION_STEPS
#undef RMS_NORMALIZATION_STEPS
#undef UNIT_NORMALIZATION_STEPS
#undef BATCH_NORMALIZATION_STEPS
#undef NORMALIZATION_STEPS
#undef RESCALING_STEPS
#undef GAUSSIAN_NOISE_STEPS
#undef GAUSSIAN_DROPOUT_STEPS
#undef ALPHA_DROPOUT_STEPS
#undef ACTIVITY_REGULARIZATION_STEPS
#undef SIMPLE_RNN_STEPS

#undef REAL
#undef INT
#undef REAL_IS_FLOAT
#undef REAL_SUFFIX
#undef REAL_SQRT
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
