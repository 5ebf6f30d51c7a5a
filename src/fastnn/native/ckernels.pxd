"""Declarations of c/fastnn.h, where every field is explained."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    MOST_OPTIONS = 3           # that an activation takes

cdef extern from "c/fastnn.h" nogil:
    ctypedef enum fnn_activation:
        FNN_LINEAR
        FNN_RELU
        FNN_LEAKY_RELU
        FNN_SIGMOID
        FNN_TANH
        FNN_ELU
        FNN_SELU
        FNN_SILU
        FNN_GELU
        FNN_SOFTPLUS
        FNN_SOFTSIGN
        FNN_HARD_SIGMOID
        FNN_EXPONENTIAL
        FNN_STEP
        FNN_BOUNDED_RELU
        FNN_RELU6
        FNN_HARD_TANH
        FNN_HARD_SILU
        FNN_CELU
        FNN_MISH
        FNN_LOG_SIGMOID
        FNN_SQUAREPLUS
        FNN_TANH_SHRINK
        FNN_SOFT_SHRINK
        FNN_HARD_SHRINK
        FNN_THRESHOLD
        FNN_SPARSE_PLUS
        FNN_SPARSE_SIGMOID
        FNN_SOFTMAX
        FNN_LOG_SOFTMAX
        FNN_SPARSEMAX
        FNN_GLU

    ctypedef enum fnn_loss:
        FNN_MEAN_SQUARED_ERROR
        FNN_MEAN_ABSOLUTE_ERROR
        FNN_MEAN_ABSOLUTE_PERCENTAGE_ERROR
        FNN_MEAN_SQUARED_LOGARITHMIC_ERROR
        FNN_HUBER
        FNN_LOG_COSH
        FNN_QUANTILE_LOSS
        FNN_POISSON
        FNN_TWEEDIE
        FNN_HINGE
        FNN_SQUARED_HINGE
        FNN_PERCEPTRON_LOSS
        FNN_KL_DIVERGENCE
        FNN_BINARY_CROSSENTROPY
        FNN_BINARY_FOCAL_CROSSENTROPY
        FNN_COSINE_SIMILARITY
        FNN_GAUSSIAN_NLL
        FNN_CATEGORICAL_HINGE
        FNN_CATEGORICAL_CROSSENTROPY
        FNN_CATEGORICAL_FOCAL_CROSSENTROPY
        FNN_SPARSE_CATEGORICAL_CROSSENTROPY

    ctypedef enum fnn_metric:
        FNN_METRIC_SQUARED_ERROR
        FNN_METRIC_ABSOLUTE_ERROR
        FNN_METRIC_BINARY_ACCURACY
        FNN_METRIC_CATEGORICAL_ACCURACY
        FNN_METRIC_SPARSE_CATEGORICAL_ACCURACY

    ctypedef enum fnn_optimizer:
        FNN_SGD
        FNN_RMSPROP
        FNN_ADAGRAD
        FNN_ADAM
        FNN_ADADELTA
        FNN_ADAMAX
        FNN_NADAM
        FNN_FTRL
        FNN_LION
        FNN_ACCUMULATE
        FNN_MOVING_AVERAGE

    enum: FNN_SLOTS

    ctypedef enum fnn_epilogue:
        FNN_STORE
        FNN_STORE_ACTIVATION
        FNN_STORE_TRANSPOSE
        FNN_STORE_GRADIENT

    ctypedef struct fnn_gemm:
        int64_t m, n, k
        const void *a
        int64_t a_row, a_col
        const void *b
        int64_t b_row, b_panel
        void *c
        int64_t c_row
        const void *bias
        fnn_epilogue epilogue
        fnn_activation activation
        const double *options
        const void *saved
        int64_t saved_row
        int64_t whole_m
        int add

    ctypedef struct fnn_dropout:
        int64_t rows, columns
        const void *x
        int64_t x_row
        void *y
        int64_t y_row
        void *factors
        double rate
        uint64_t seed, step
        int64_t first_row

    ctypedef struct fnn_loss_options:
        int from_logits
        double label_smoothing
        double delta
        double quantile
        double power
        int log_link
        int full
        int apply_class_balancing
        double alpha, gamma

    ctypedef struct fnn_loss_args:
        fnn_loss kind
        fnn_loss_options options
        int64_t rows, columns
        const void *predictions
        int64_t predictions_row
        const void *targets
        int64_t targets_row
        const int64_t *order
        const int32_t *labels
        const void *weights
        double scale
        void *gradient
        int64_t gradient_row
        void *values
        void *probabilities
        int64_t probabilities_row

    ctypedef struct fnn_metric_args:
        fnn_metric kind
        double threshold
        int64_t rows, columns
        const void *predictions
        int64_t predictions_row
        const void *targets
        int64_t targets_row
        const int64_t *order
        const int32_t *labels
        void *values

    ctypedef struct fnn_update:
        fnn_optimizer kind
        int64_t n
        void *parameter
        const void *gradient
        void *slots[FNN_SLOTS]
        const double *hyper

    ctypedef struct fnn_layer:
        int64_t rows, inputs, outputs
        int64_t first, count
        const double *options
        const void *const *weights
        const void *x
        int64_t x_row
        void *y
        int64_t y_row
        void *room
        int training
        uint64_t seed, step
        int64_t first_row
        const void *gradient
        int64_t gradient_row
        void *input_gradient
        int64_t input_gradient_row
        void *const *weight_gradients
        int add
        double scale

    ctypedef enum fnn_split:
        FNN_WHOLE
        FNN_BY_ROWS
        FNN_BY_COLUMNS

    ctypedef struct fnn_layer_steps:
        const char *name
        const char *options
        void (*forward)(const fnn_layer *) noexcept nogil
        double (*penalty)(const fnn_layer *) noexcept nogil
        void (*weight_gradients)(const fnn_layer *) noexcept nogil
        void (*input_gradient)(const fnn_layer *) noexcept nogil
        void (*renew)(const fnn_layer *) noexcept nogil
        int64_t (*named_row)(const fnn_layer *, int64_t, int64_t, int *) noexcept nogil
        fnn_split forward_by, weights_by, input_by
        int64_t (*room_of_row)(const fnn_layer *) noexcept nogil
        int64_t (*room_besides)(const fnn_layer *) noexcept nogil

    ctypedef struct fnn_vectors:
        int64_t count, length
        const void *w
        int64_t vector, element
        void *units
        int64_t units_row
        double *norms

    ctypedef struct fnn_dots:
        int64_t m, n, k
        const void *a
        int64_t a_row
        const void *b
        int64_t b_row
        void *c
        int64_t c_row

    ctypedef struct fnn_kernels:
        int64_t itemsize
        int64_t vector_width
        int64_t panel_width
        int64_t tile_rows
        void (*gemm)(const fnn_gemm *) noexcept nogil
        int (*rows_go_apart)(const fnn_gemm *) noexcept nogil
        int (*packing_pays)(int64_t, int64_t, const void *, int64_t) noexcept nogil
        void (*pack)(int64_t, int64_t, const void *, int64_t, int64_t, void *) noexcept nogil
        void (*dots)(const fnn_dots *) noexcept nogil
        int (*dots_pay)(int64_t, int64_t) noexcept nogil
        void (*transpose)(
            int64_t, int64_t, const void *, int64_t, void *, int64_t, int64_t) noexcept nogil
        void (*activate)(
            fnn_activation, const double *, int64_t, const void *, void *) noexcept nogil
        void (*activate_gradient)(
            fnn_activation, const double *, int64_t, const void *, const void *,
            void *) noexcept nogil
        void (*activate_with_slope)(
            fnn_activation, const double *, int64_t, const void *, void *, void *) noexcept nogil
        void (*activate_rows)(
            fnn_activation, int64_t, int64_t, const void *, int64_t, void *, int64_t) noexcept nogil
        void (*softmax_columns)(int64_t, int64_t, void *, int64_t, int) noexcept nogil
        void (*activate_rows_gradient)(
            fnn_activation, int64_t, int64_t, const void *, int64_t, const void *, int64_t, void *,
            int64_t) noexcept nogil
        double (*loss)(const fnn_loss_args *) noexcept nogil
        double (*metric)(const fnn_metric_args *) noexcept nogil
        void (*update)(const fnn_update *) noexcept nogil
        void (*column_sums)(int64_t, int64_t, const void *, int64_t, void *, int) noexcept nogil
        int (*gather)(
            int64_t, int64_t, const void *, int64_t, const int64_t *, void *, int64_t) noexcept nogil
        void (*dropout)(const fnn_dropout *) noexcept nogil
        const fnn_layer_steps *const *layers
        int (*are_row_numbers)(int64_t, const void *, int64_t, int64_t) noexcept nogil
        void (*add_matrices)(
            int64_t, int64_t, const void *, int64_t, const void *, int64_t, void *, int64_t) noexcept nogil
        double (*sum_of_squares)(int64_t, const void *) noexcept nogil
        double (*sum_of_magnitudes)(int64_t, const void *) noexcept nogil
        void (*scale)(int64_t, double, void *) noexcept nogil
        void (*clip)(int64_t, double, void *) noexcept nogil
        void (*penalise)(int64_t, double, double, const void *, void *) noexcept nogil
        int (*all_finite)(int64_t, const void *) noexcept nogil
        void (*min_max_norm)(
            int64_t, int64_t, int64_t, double, double, double, void *) noexcept nogil
        void (*non_neg)(int64_t, void *) noexcept nogil
        void (*unit_vectors)(const fnn_vectors *) noexcept nogil
        double (*pair_signs)(int64_t, int64_t, int64_t, void *, int64_t) noexcept nogil
        void (*orthogonal_gradient)(
            const fnn_vectors *, int64_t, int64_t, double, const void *, void *) noexcept nogil

    ctypedef struct fnn_isa:
        const char *name
        const fnn_kernels *float32
        const fnn_kernels *float64
        int (*supported)() noexcept nogil

    const fnn_isa fnn_isas[]

    int fnn_saves_input(fnn_activation)
    int fnn_output_tells_slope(fnn_activation, const double *)
    int fnn_saves_slope(fnn_activation)
    int fnn_takes_options(fnn_activation)
