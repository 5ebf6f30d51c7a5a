"""What inference and training share; explained in ops.pyx."""

cimport numpy as np
from libc.stdint cimport int64_t, uint64_t

from fastnn.native.ckernels cimport (
    MOST_OPTIONS,
    fnn_activation,
    fnn_dots,
    fnn_gemm,
    fnn_kernels,
    fnn_layer,
    fnn_layer_steps,
)

cdef enum:
    CACHE_LINE = 64            # bytes

cdef enum Kind:
    DENSE
    ACTIVATION
    DROPOUT
    CUSTOM                     # an activation written in Python
    LAYER
    ADD
    USER                       # a layer written in Python

cdef struct Op:
    Kind kind
    int64_t inputs, outputs
    fnn_activation activation
    double[MOST_OPTIONS] options   # of the activation
    double rate                # dropout
    uint64_t seed
    int custom                 # number of the Python activation or layer
    int source                 # ADD: the op whose input is added
    fnn_layer layer            # LAYER: what is the same in every call, and the last call
    const fnn_layer_steps *steps
    char *kernel
    char *bias                 # NULL if there is none
    # Inference:
    char *panels               # the packed kernel
    bint to_result             # the last op, which writes to where the result is wanted
    int slot                   # number of the buffer that the output goes to, otherwise
    fnn_gemm gemm              # all that is the same in every call
    # Training:
    char *kernel_gradient
    char *bias_gradient
    char *y                    # output
    char *z                    # derivative of the op, or what it is taken from: in or output
    fnn_activation derivative  # whose derivative of z that is
    int64_t row                # row length of y and z
    bint gradient_fused        # the product above applies this op's derivative
    bint deferrable            # the gradient of the kernel may wait for the update,
    fnn_gemm product           # and is this product then,
    int64_t gap                # with the second half of its A so many elements further away
    int weights                # LAYER: how many it has
    bint follows               # and whether its statistics follow the data
    bint by_rows               # the weights may be updated in the rows alone that a batch names,
    bint cleared               # and their gradients are zero, since the last update
    char *held                 # ADD: the gradient, kept until it is added at the source


cdef inline char *address(np.ndarray array) noexcept:
    return <char *>np.PyArray_DATA(array)


cdef inline int64_t round_up(int64_t n, int64_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef double call_flops() noexcept nogil
cdef int heed_signals(double flops) except -1 nogil


cdef class Ops:
    cdef const fnn_kernels *table
    cdef int64_t itemsize
    cdef int64_t threads       # when it was made: for which workspace is laid out
    cdef int count
    cdef Op *items
    cdef bint quiet            # signals are not heeded, for this is a task of a region
    cdef object dtype
    cdef list parameters       # of each op: a tuple, None in the place of one that is not there
    cdef list customs          # activations and layers written in Python
    cdef list arrays           # keeps alive what the structs point into

    cdef int _fill(self, Op *op, kind, source, activation) except -1
    cdef int _fill_layer(self, Op *op, source) except -1
    cdef int64_t layer_room(self, Op *op, int64_t rows) noexcept
    cdef char *_keep(self, np.ndarray array) noexcept
    cdef int heed(self, double flops) except -1 nogil
    cdef int64_t padded_row(self, int64_t width) noexcept nogil
    cdef int64_t stored(self, int64_t columns) noexcept nogil
    cdef int product(self, const fnn_gemm *whole) except -1 nogil
    cdef int _product_by_rows(self, const fnn_gemm *whole) except -1 nogil
    cdef int _product_by_columns(self, const fnn_gemm *whole) except -1 nogil
    cdef int dots(self, const fnn_dots *whole) except -1 nogil
    cdef int packing_product(
        self,
        const fnn_gemm *whole,
        const char *b,
        int64_t columns,
        int64_t b_row,
        int64_t b_column,
        char *panels,
        bint a_in_tiles=*,
    ) except -1 nogil
    cdef int product_of_tiles(
        self, const fnn_gemm *whole, const char *b, int64_t columns, int64_t b_row, char *room
    ) except -1 nogil
    cdef int64_t _tiles_size(self, int64_t m, int64_t steps) noexcept nogil
    cdef int64_t tiling_size(self, int64_t m, int64_t k, int64_t columns) noexcept nogil
    cdef int64_t _columns_per_call(self, double flops_per_column, int64_t packed) noexcept nogil
    cdef int64_t _room_beside_tiles(self, int64_t m, int64_t columns) noexcept nogil
    cdef int64_t packing_size(self, int64_t k, int64_t columns, int64_t rows) noexcept nogil
    cdef void elementwise(
        self, const Op *op, int64_t rows, const char *x, int64_t x_row, char *y, int64_t y_row
    ) noexcept nogil
    cdef np.ndarray matrix(self, const char *data, int64_t rows, int64_t columns, int64_t row)
    cdef int put(
        self, object source, str what, char *data, int64_t rows, int64_t columns, int64_t row
    ) except -1
    cdef int custom_forward(
        self, const Op *op, int64_t rows, const char *x, int64_t x_row, char *y, int64_t y_row
    ) except -1 with gil
    cdef int user_forward(
        self, const Op *op, int64_t rows, const char *x, int64_t x_row, char *y, int64_t y_row,
        bint training
    ) except -1 with gil
