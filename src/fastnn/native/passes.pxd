"""Passes over the rows of a batch; explained in passes.pyx."""

cimport numpy as np
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastnn.native.ckernels cimport fnn_gemm, fnn_kernels, fnn_loss_args, fnn_metric
from fastnn.native.ops cimport Op, Ops

# The data of an epoch, and the rows of them that a pass is working on.
cdef struct Batch:
    const char *all_x
    const char *all_y
    const char *all_weights
    bint sparse                # y holds labels
    int64_t whole              # rows of the step
    int64_t first              # of them, the first that is being worked on,
    int64_t rows               # and how many
    bint add                   # their gradients to those that are there
    const char *x
    int64_t x_row
    int64_t x_gap              # elements by which the second half of each row is further away
    const int64_t *x_order     # of rows that are still to be gathered there, or NULL
    const char *targets
    const int64_t *targets_order  # NULL where they are as the other rows
    const int32_t *labels
    const char *weights
    int *not_finite            # set to 1 if a row of x that is gathered has such an element

cdef enum:
    MOST_DEFERRED_ROWS = 512   # of a batch whose kernels' gradients are left to the update

cdef struct MetricSlot:
    fnn_metric kind
    double threshold
    bint native


cdef class Pass:
    cdef Ops ops
    cdef object program, objective
    cdef list arrays           # keeps everything alive that the structs point into
    cdef const fnn_kernels *table
    cdef int64_t itemsize, capacity, inputs, outputs
    cdef int64_t width         # of targets; metrics compare them with as many outputs
    # A batch
    cdef char *workspace       # of a batch: all that follows, up to the panels
    cdef int64_t used          # bytes of it
    cdef int64_t input_row
    cdef int64_t half_row      # of the halves of x, if each has a place of its own,
    cdef int64_t gap           # the second so many elements further away than in whole rows
    cdef char *x
    cdef char *targets
    cdef int32_t *labels
    cdef char *weights
    cdef char *gradients[2]    # at the outputs of two neighbouring ops
    cdef char *panels          # of matrices that are packed
    # Gradients of the parameters
    cdef np.ndarray slopes     # in the program's layout,
    cdef char *slopes_at       # or in another place of that layout, where they are written
    cdef int lowest            # the first op with a trainable parameter
    cdef bint deferring        # those of deferrable kernels are left to the update
    # The loss
    cdef fnn_loss_args loss
    cdef bint custom_loss
    cdef bint targets_in_place # they are not copied into the order of the batch
    cdef char *predictions
    cdef int64_t predictions_row
    # Metrics
    cdef MetricSlot *metrics
    cdef int metric_count
    cdef double *sums          # over the rows: the loss, then the metrics

    cdef int _allocate_batch(self) except -1
    cdef int64_t _plan_halves(self) noexcept
    cdef char *_place(self, int64_t size) noexcept
    cdef void _lay_out_batch(self) noexcept
    cdef bint _takes_gradient_of_input(self) noexcept
    cdef int64_t _panels_of(self, const Op *op) noexcept
    cdef int _allocate_gradients(self) except -1
    cdef char *gradient_of(self, parameter) except NULL
    cdef int _point_to_gradients(self, Op *op, list own, parameters) except -1
    cdef int _plan_backward(self) except -1
    cdef bint begins_branch(self, int i) noexcept
    cdef int _plan_loss(self) except -1
    cdef int _plan_metrics(self) except -1
    cdef int run(
        self, Batch *batch, const int64_t *order, int64_t start, bint training, uint64_t iteration
    ) except -1 nogil
    cdef void _take(self, Batch *batch, const int64_t *order, int64_t first) noexcept nogil
    cdef int _forward(self, Batch *batch, bint training, uint64_t iteration) except -1 nogil
    cdef void _activate_and_save(
        self, const Op *op, int64_t rows, const char *x, int64_t x_row
    ) noexcept nogil
    cdef void _copy_rows(
        self, int64_t rows, int64_t columns, const char *x, int64_t x_row, char *y, int64_t y_row
    ) noexcept nogil
    cdef bint _in_halves(self, int i, int64_t rows) noexcept nogil
    cdef int _dense(
        self, int i, const Batch *batch, const char *x, int64_t x_row, bint training
    ) except -1 nogil
    cdef int _product_in_halves(
        self, fnn_gemm *g, const Op *op, const Batch *batch, const int64_t *order
    ) except -1 nogil
    cdef void _layer(
        self, Op *op, const Batch *batch, const char *x, int64_t x_row, bint training,
        uint64_t iteration
    ) noexcept nogil
    cdef void _add(
        self, const Op *op, const Batch *batch, const char *x, int64_t x_row
    ) noexcept nogil
    cdef void _dropout(
        self, const Op *op, const Batch *batch, const char *x, int64_t x_row, uint64_t iteration
    ) noexcept nogil
    cdef int _take_loss(self, Batch *batch, char *gradient) except -1 nogil
    cdef int _take_custom_loss(self, Batch *batch, char *gradient) except -1 with gil
    cdef _batch_arrays(self, Batch *batch, int64_t outputs)
    cdef int _take_metrics(self, Batch *batch) except -1 nogil
    cdef int _update_python_metric(self, Batch *batch, int i) except -1 with gil
    cdef int _backward(self, Batch *batch) except -1 nogil
    cdef int64_t _row_below(self, int i) noexcept nogil
    cdef void _backward_through_layer(
        self, Op *op, int i, const char *gradient, char *out
    ) noexcept nogil
    cdef int _backward_through_user(
        self, Op *op, int i, const Batch *batch, const char *gradient, char *out
    ) except -1 with gil
    cdef void _add_held(self, int i, int64_t rows, char *gradient) noexcept nogil
    cdef void write_gradients_to(self, char *place) noexcept nogil
    cdef void renew_statistics(self) noexcept nogil
    cdef int _backward_through_activation(
        self, Op *op, const Batch *batch, const char *x, int64_t x_row, char *gradient,
        char *other
    ) except -1 nogil
    cdef int _custom_backward(
        self, Op *op, int64_t rows, const char *x, int64_t x_row, const char *gradient, char *out,
        int64_t out_row
    ) except -1 with gil
    cdef int _backward_to_parameters(
        self, Op *op, const Batch *batch, const char *x, int64_t x_row, const char *gradient
    ) except -1 nogil
    cdef int _gradient_of_kernel(self, fnn_gemm *g) except -1 nogil
    cdef void pack_gradient(self, fnn_gemm *g) noexcept nogil
    cdef int _backward_to_input(
        self, Op *op, Op *below, int64_t rows, const char *gradient, char *out
    ) except -1 nogil
    cdef int _backward_to_few_rows(
        self, Op *op, Op *below, int64_t rows, const char *gradient, char *out
    ) except -1 nogil
