"""Each operation on its own, on arrays: `fastnn.kernels`.

Three tiers: a public function checks its arguments and finds or makes the result; a ``cdef``
function under it takes typed memoryviews of one float type, or, where arrays have no gaps and a
view would take as long as the work, the arrays; the C kernel takes pointers. What the functions
compute is documented in `fastnn.reference`, whose docstrings they share.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from fastnn import _checks
from fastnn.native.team import get_num_threads

from fastnn.native.ckernels cimport *
from fastnn.native.dispatch cimport kernels_for, room_for_panels
from fastnn.native.orthogonal cimport (
    Orthogonal,
    begin_orthogonal,
    orthogonal_block,
    prepare_orthogonal,
)
from fastnn.native.team cimport *

cnp.import_array()

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object)

cdef extern from "c/shuffle.h" nogil:
    void fnn_permutation(int64_t, uint64_t, int64_t *)

cdef enum:
    STACK_DOUBLES = 1024  # room for a packed kernel that needs no memory of its own
    CACHE_LINE = 64       # bytes
    APART_BYTES = 1 << 21 # most of an A that is copied as a whole
    LARGE_BYTES = 1 << 16 # of a matrix that is put in a room that is kept
    KEPT_BYTES = 1 << 22  # most of a room that is kept
    KEPT_ROOMS = 4        # as many as a call and another beside it have at a time

ctypedef fused real:
    float
    double

ACTIVATION_CODES = {
    "linear": FNN_LINEAR,
    "relu": FNN_RELU,
    "leaky_relu": FNN_LEAKY_RELU,
    "sigmoid": FNN_SIGMOID,
    "tanh": FNN_TANH,
    "elu": FNN_ELU,
    "selu": FNN_SELU,
    "silu": FNN_SILU,
    "gelu": FNN_GELU,
    "softplus": FNN_SOFTPLUS,
    "softsign": FNN_SOFTSIGN,
    "hard_sigmoid": FNN_HARD_SIGMOID,
    "exponential": FNN_EXPONENTIAL,
    "step": FNN_STEP,
    "relu6": FNN_RELU6,
    "hard_tanh": FNN_HARD_TANH,
    "hard_silu": FNN_HARD_SILU,
    "celu": FNN_CELU,
    "mish": FNN_MISH,
    "log_sigmoid": FNN_LOG_SIGMOID,
    "squareplus": FNN_SQUAREPLUS,
    "tanh_shrink": FNN_TANH_SHRINK,
    "soft_shrink": FNN_SOFT_SHRINK,
    "hard_shrink": FNN_HARD_SHRINK,
    "threshold": FNN_THRESHOLD,
    "sparse_plus": FNN_SPARSE_PLUS,
    "sparse_sigmoid": FNN_SPARSE_SIGMOID,
    "softmax": FNN_SOFTMAX,
    "log_softmax": FNN_LOG_SOFTMAX,
    "sparsemax": FNN_SPARSEMAX,
    "glu": FNN_GLU,
}

LOSS_CODES = {
    "mean_squared_error": FNN_MEAN_SQUARED_ERROR,
    "mean_absolute_error": FNN_MEAN_ABSOLUTE_ERROR,
    "mean_absolute_percentage_error": FNN_MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    "mean_squared_logarithmic_error": FNN_MEAN_SQUARED_LOGARITHMIC_ERROR,
    "huber": FNN_HUBER,
    "log_cosh": FNN_LOG_COSH,
    "quantile_loss": FNN_QUANTILE_LOSS,
    "poisson": FNN_POISSON,
    "tweedie": FNN_TWEEDIE,
    "hinge": FNN_HINGE,
    "squared_hinge": FNN_SQUARED_HINGE,
    "perceptron_loss": FNN_PERCEPTRON_LOSS,
    "kl_divergence": FNN_KL_DIVERGENCE,
    "binary_crossentropy": FNN_BINARY_CROSSENTROPY,
    "binary_focal_crossentropy": FNN_BINARY_FOCAL_CROSSENTROPY,
    "cosine_similarity": FNN_COSINE_SIMILARITY,
    "gaussian_nll": FNN_GAUSSIAN_NLL,
    "categorical_hinge": FNN_CATEGORICAL_HINGE,
    "categorical_crossentropy": FNN_CATEGORICAL_CROSSENTROPY,
    "categorical_focal_crossentropy": FNN_CATEGORICAL_FOCAL_CROSSENTROPY,
    "sparse_categorical_crossentropy": FNN_SPARSE_CATEGORICAL_CROSSENTROPY,
}

METRIC_CODES = {
    "mean_squared_error": FNN_METRIC_SQUARED_ERROR,
    "mean_absolute_error": FNN_METRIC_ABSOLUTE_ERROR,
    "binary_accuracy": FNN_METRIC_BINARY_ACCURACY,
    "categorical_accuracy": FNN_METRIC_CATEGORICAL_ACCURACY,
    "sparse_categorical_accuracy": FNN_METRIC_SPARSE_CATEGORICAL_ACCURACY,
}

UPDATE_CODES = {
    "sgd": FNN_SGD,
    "rmsprop": FNN_RMSPROP,
    "adagrad": FNN_ADAGRAD,
    "adam": FNN_ADAM,
    "adadelta": FNN_ADADELTA,
    "adamax": FNN_ADAMAX,
    "nadam": FNN_NADAM,
    "ftrl": FNN_FTRL,
    "lion": FNN_LION,
}


# Activations as the C kernels know them


cdef struct Function:
    fnn_activation kind
    double[MOST_OPTIONS] options


def lowered_activation(activation, options):
    """Return the code of an activation and its options, as numbers in the order of fastnn.h."""
    numbers = _checks.check_activation(activation, options)
    if activation == "relu":
        if numbers == _checks.check_activation("relu", None):
            return FNN_RELU, ()
        return FNN_BOUNDED_RELU, tuple(numbers.values())
    return ACTIVATION_CODES[activation], tuple(numbers.values())


cdef int _look_up(activation, options, Function *function) except -1:
    """The usual ones, without options, take less time than checks in Python."""
    cdef int i
    code = ACTIVATION_CODES.get(activation) if type(activation) is str else None
    if code is not None and options is None and not fnn_takes_options(code):
        function.kind = code
        return 0
    function.kind, numbers = lowered_activation(activation, options)
    for i, number in enumerate(numbers):
        function.options[i] = number
    return 0


# Results and their places


cdef bint _can_hold(cnp.ndarray out, tuple inputs):
    """Whether a kernel can write straight to `out` while it reads `inputs`."""
    if not (cnp.PyArray_IS_C_CONTIGUOUS(out) and cnp.PyArray_ISALIGNED(out)):
        return False
    for each in inputs:
        if each is not None and _may_overlap(out, each):
            return False
    return True


cdef bint _may_overlap(cnp.ndarray a, cnp.ndarray b):
    """Whether the memory between first and last byte of `a` and of `b` has a part in common."""
    cdef char *a_first
    cdef char *a_end
    cdef char *b_first
    cdef char *b_end
    _extent(a, &a_first, &a_end)
    _extent(b, &b_first, &b_end)
    return a_first < b_end and b_first < a_end


cdef void _extent(cnp.ndarray array, char **first, char **end) noexcept:
    cdef int i
    cdef cnp.npy_intp reach
    first[0] = <char *>cnp.PyArray_DATA(array)
    end[0] = first[0] + cnp.PyArray_ITEMSIZE(array)
    for i in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIM(array, i) - 1) * cnp.PyArray_STRIDE(array, i)
        if cnp.PyArray_DIM(array, i) == 0:
            end[0] = first[0]
            return
        if reach < 0:
            first[0] += reach
        else:
            end[0] += reach


cdef _result(shape, dtype, out, inputs):
    """Return `out` if a kernel can write to it, else a new array."""
    if out is not None and _can_hold(out, inputs):
        return out
    return np.empty(shape, dtype)


cdef _place_like(cnp.ndarray array, out, tuple inputs):
    """Return `out` if a kernel can write to it, else a new array of the shape of `array`."""
    if out is not None and _can_hold(out, inputs):
        return out
    return cnp.PyArray_EMPTY(
        cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array), 0
    )


cdef _deliver(result, out):
    """Return `result` in `out`, if that was given and the result is elsewhere."""
    if out is None or result is out:
        return result
    out[...] = result
    return out


cdef _aligned(array):
    """Return `array` as one that is C-contiguous, aligned and of one axis at least."""
    if _is_gapless(array):
        return array
    return np.require(np.ascontiguousarray(array), requirements="A")


cdef inline bint _is_gapless(array):
    return (
        type(array) is cnp.ndarray
        and cnp.PyArray_NDIM(array) > 0
        and cnp.PyArray_IS_C_CONTIGUOUS(array)
        and cnp.PyArray_ISALIGNED(array)
    )


cdef _whole_strides(cnp.ndarray array):
    """Return `array`, or a copy of it if its elements do not lie whole strides apart, forwards."""
    cdef int i
    cdef cnp.npy_intp stride
    cdef bint whole = cnp.PyArray_ISALIGNED(array)
    for i in range(cnp.PyArray_NDIM(array)):
        stride = cnp.PyArray_STRIDE(array, i)
        whole = whole and stride >= 0 and stride % cnp.PyArray_ITEMSIZE(array) == 0
    return array if whole else np.array(array, order="C")


cdef _with_near_elements(cnp.ndarray kernel):
    """Return `kernel`, or a copy of it if neither rows nor columns are without gaps."""
    kernel = _whole_strides(kernel)
    cdef cnp.npy_intp size = cnp.PyArray_ITEMSIZE(kernel)
    cdef bint near = min(cnp.PyArray_DIM(kernel, 0), cnp.PyArray_DIM(kernel, 1)) <= 1
    near = near or size in (cnp.PyArray_STRIDE(kernel, 0), cnp.PyArray_STRIDE(kernel, 1))
    return kernel if near else np.array(kernel, order="C")


cdef inline bint _is_array(array, int axes, int kind):
    return (
        type(array) is cnp.ndarray
        and cnp.PyArray_NDIM(array) == axes
        and cnp.PyArray_TYPE(array) == kind
        and cnp.PyArray_ISNOTSWAPPED(array)
    )


cdef bint _operands_agree(x, kernel, bias):
    """Whether x, kernel and bias go together; if not, `_checks` says what is wrong.

    A call of a small product costs less than those checks, so the usual case is settled here.
    """
    cdef int kind
    if type(x) is not cnp.ndarray:
        return False
    kind = cnp.PyArray_TYPE(x)
    return (
        kind in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64)
        and _is_array(x, 2, kind)
        and _is_array(kernel, 2, kind)
        and cnp.PyArray_DIM(x, 1) == cnp.PyArray_DIM(kernel, 0)
        and (
            bias is None
            or (_is_array(bias, 1, kind)
                and cnp.PyArray_DIM(bias, 0) == cnp.PyArray_DIM(kernel, 1))
        )
    )


cdef bint _is_result_of(array, x, kernel):
    """Whether `array` has the type and shape of the product of `x` and `kernel`."""
    return (
        _is_array(array, 2, cnp.PyArray_TYPE(x))
        and cnp.PyArray_DIM(array, 0) == cnp.PyArray_DIM(x, 0)
        and cnp.PyArray_DIM(array, 1) == cnp.PyArray_DIM(kernel, 1)
    )


cdef bint _fit_gradients(out, x, kernel, bias):
    """Whether `out` is None, or has three arrays like these that can be written to."""
    if out is None:
        return True
    if type(out) is not tuple or len(out) != 3 or bias is None:
        return False
    return _is_place_of(out[0], x) and _is_place_of(out[1], kernel) and _is_place_of(out[2], bias)


cdef bint _is_place_of(out, cnp.ndarray array):
    cdef int axes = cnp.PyArray_NDIM(array)
    return (
        _is_array(out, axes, cnp.PyArray_TYPE(array))
        and cnp.PyArray_ISWRITEABLE(out)
        and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(out), cnp.PyArray_DIMS(array), axes)
    )


cdef _matrix(cnp.npy_intp rows, cnp.npy_intp columns, int kind, bint within):
    """A new matrix; `within`: no one has it after the call."""
    cdef int64_t size = rows * columns * (4 if kind == cnp.NPY_FLOAT32 else 8)
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray room, matrix
    shape[0], shape[1] = rows, columns
    if not within or size < LARGE_BYTES:
        return cnp.PyArray_EMPTY(2, shape, kind, 0)
    room = _room(size)
    matrix = cnp.PyArray_SimpleNewFromData(2, shape, kind, _lines(room))
    cnp.set_array_base(matrix, room)
    return matrix


cdef list _rooms = []  # which calls have used, some of them by calls under way


cdef cnp.ndarray _room(int64_t size):
    """At least so many bytes in whole cache lines, where an earlier call had its own if possible.

    Memory that is freed goes back to the system, and each of its pages costs a fault when it is
    touched again: a seventh of the time of a backward pass of 128 x 1024 x 1024.
    """
    cdef cnp.ndarray room
    cdef Py_ssize_t i, count = len(_rooms)
    for i in range(count):
        room = _rooms[i]
        if Py_REFCNT(room) == 2:  # the list's and this one
            if size + CACHE_LINE <= cnp.PyArray_DIM(room, 0):
                return room
            del _rooms[i]
            break
    room = np.empty(size + CACHE_LINE, np.int8)
    if size <= KEPT_BYTES and len(_rooms) < KEPT_ROOMS:
        _rooms.append(room)
    return room


cdef char *_lines(cnp.ndarray room) noexcept:
    """The first whole cache line of a room."""
    cdef char *start = cnp.PyArray_BYTES(room)
    return start + -<size_t>start % CACHE_LINE


# Products


cdef struct Operand:
    const char *data
    Py_ssize_t row, column  # strides in elements, of which one is 1


cdef Operand _operand(
    const void *data, Py_ssize_t row, Py_ssize_t column, Py_ssize_t k, Py_ssize_t n
) noexcept nogil:
    """A B of k rows and n columns. The stride along an axis of one element may be any number."""
    cdef Operand b
    b.data = <const char *>data
    b.row = 1 if k == 1 else row
    b.column = 1 if n == 1 else column
    return b


cdef bint _is_plain_product(const fnn_gemm *g) noexcept nogil:
    """Whether the rows of A are gapless, and nothing follows the sums."""
    return g.a_col == 1 and g.bias == NULL and g.activation == FNN_LINEAR


cdef void _dots(const fnn_kernels *table, const fnn_gemm *g, Operand b) noexcept:
    cdef fnn_dots d
    d.m, d.n, d.k = g.m, g.n, g.k
    d.a, d.a_row, d.b, d.b_row, d.c, d.c_row = g.a, g.a_row, b.data, b.column, g.c, g.c_row
    with nogil:
        shared_dots(table, &d)


cdef void _plan_panels(const fnn_kernels *table, const fnn_gemm *g, fnn_unpacked *b) noexcept:
    b.shares = get_num_threads()
    b.room = room_for_panels(table, g.m, g.k, (g.n + b.shares - 1) // b.shares)


cdef cnp.ndarray _put_rows_apart(const fnn_kernels *table, fnn_gemm *g):
    """Copy A to where its rows do not collide in the caches, and return the room of the copy.

    One copy serves all lots of panels.
    """
    cdef int64_t row = (g.k + table.vector_width) * table.itemsize, i
    cdef cnp.ndarray room = _room(g.m * row)
    cdef char *copy = _lines(room)
    for i in range(g.m):
        memcpy(copy + i * row, <const char *>g.a + i * g.a_row * table.itemsize,
               g.k * table.itemsize)
    g.a, g.a_row = copy, g.k + table.vector_width
    return room


cdef int _product_of_tiles(const fnn_kernels *table, const fnn_gemm *whole, Operand b) except -1:
    """Run a product whose A is a transpose that is copied in tiles, some steps of k at a time."""
    cdef int64_t itemsize = table.itemsize, step = steps_in_tiles(table, whole.k), first = 0
    cdef fnn_gemm g = whole[0]
    cdef fnn_unpacked part
    g.k = step
    _plan_panels(table, &g, &part)
    cdef int64_t panels_size = part.shares * part.room * itemsize
    cdef cnp.ndarray room = _room(panels_size + g.m * step * itemsize)
    cdef char *tiles = _lines(room) + panels_size
    part.panels, part.columns, part.b_row, part.b_col = _lines(room), g.n, b.row, b.column
    g.a = tiles
    with nogil:
        while first < whole.k:
            g.k, g.add = min(step, whole.k - first), first > 0
            part.b = b.data + first * b.row * itemsize
            shared_copy_in_tiles(
                table, g.m, g.k, <const char *>whole.a + first * whole.a_col * itemsize,
                whole.a_col, tiles)
            shared_gemm_of_tiles(table, &g, &part)
            first += step
    return 0


cdef int _product(const fnn_kernels *table, fnn_gemm *g, Operand b) except -1:
    """Run `g`, whose B is given by strides, packing as much of B as must be or pays.

    The transpose of a matrix is taken row by row where that pays. Whole vectors of B's rows can be
    read where they are. A last panel that ends within a vector is packed, so that nothing outside
    is read.
    """
    if b.row == 1 and _is_plain_product(g) and table.dots_pay(g.m, g.k):
        _dots(table, g, b)
        return 0
    cdef int64_t width = table.panel_width, itemsize = table.itemsize
    cdef int64_t direct = 0
    if b.column == 1 and not table.packing_pays(g.m, g.n, b.data, b.row):
        direct = g.n - (g.n % width if g.n % table.vector_width else 0)
    cdef fnn_gemm part = g[0]
    part.whole_m, part.add = g.m, 0
    cdef cnp.ndarray packed, apart
    if direct > 0:
        part.n = direct
        part.b = b.data
        part.b_row = b.row
        part.b_panel = width
        with nogil:
            shared_gemm(table, &part)
    part.n = g.n - direct
    if part.n == 0:
        return 0
    cdef double[STACK_DOUBLES] stack  # of doubles, to be aligned for either type
    cdef fnn_unpacked rest
    rest.b, rest.columns = b.data + direct * b.column * itemsize, part.n
    rest.b_row, rest.b_col = b.row, b.column
    _plan_panels(table, &part, &rest)
    if rest.room * itemsize <= 8 * STACK_DOUBLES:
        rest.panels, rest.shares = stack, 1
    else:
        packed = _room(rest.shares * rest.room * itemsize)
        rest.panels = _lines(packed)
    part.b, part.b_row = rest.panels, width
    if table.rows_go_apart(&part) and part.m * part.k * itemsize <= APART_BYTES:
        apart = _put_rows_apart(table, &part)
    part.c = <char *>g.c + direct * itemsize
    if g.bias != NULL:
        part.bias = <const char *>g.bias + direct * itemsize
    with nogil:
        shared_packing_gemm(table, &part, &rest)
    return 0


cdef int _dense_forward(
    const real[:, :] x,
    const real[:, :] kernel,
    const real[:] bias,
    real[:, ::1] out,
    const Function *function,
) except -1:
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    cdef int64_t n = x.shape[0], units = kernel.shape[1]
    cdef bint rowwise = function.kind >= FNN_SOFTMAX
    cdef fnn_gemm g
    cdef Operand b
    if n == 0 or units == 0:
        return 0
    g.m, g.n, g.k = n, units, kernel.shape[0]
    g.a, g.a_row, g.a_col = &x[0, 0], x.strides[0] // sizeof(real), x.strides[1] // sizeof(real)
    b = _operand(&kernel[0, 0], kernel.strides[0] // sizeof(real),
                 kernel.strides[1] // sizeof(real), g.k, units)
    g.c, g.c_row = &out[0, 0], units
    g.bias = NULL if bias is None else &bias[0]
    g.epilogue = FNN_STORE if rowwise else FNN_STORE_ACTIVATION
    g.activation, g.options, g.saved = function.kind, function.options, NULL
    _product(table, &g, b)
    if rowwise:
        with nogil:
            table.activate_rows(function.kind, n, units, &out[0, 0], units, &out[0, 0], units)
    return 0


def dense_forward(x, kernel, bias=None, activation="linear", *, options=None, out=None):
    cdef Function function
    _look_up(activation, options, &function)
    if function.kind == FNN_GLU or not _operands_agree(x, kernel, bias) or not (
        out is None or _is_result_of(out, x, kernel) and cnp.PyArray_ISWRITEABLE(out)
    ):
        _checks.check_dense(x, kernel, bias, activation, out)
    if function.kind == FNN_GLU:
        return activation_forward(dense_forward(x, kernel, bias), activation, out=out)
    x, kernel = _whole_strides(x), _with_near_elements(kernel)
    if bias is not None and not (
        cnp.PyArray_IS_C_CONTIGUOUS(bias) and cnp.PyArray_ISALIGNED(bias)
    ):
        bias = np.array(bias)
    if out is not None and _can_hold(out, (x, kernel, bias)):
        y = out
    else:
        y = _matrix(
            cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(kernel, 1), cnp.PyArray_TYPE(x), False
        )
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32:
        _dense_forward[float](x, kernel, bias, y, &function)
    else:
        _dense_forward[double](x, kernel, bias, y, &function)
    return _deliver(y, out)


cdef int _dense_backward(
    const real[:, ::1] dz,
    const real[:, :] x,
    const real[:, :] kernel,
    real[:, ::1] grad_x,
    real[:, ::1] grad_kernel,
    real[::1] grad_bias,
) except -1:
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    cdef int64_t n = x.shape[0], inputs = kernel.shape[0], units = kernel.shape[1]
    cdef fnn_gemm g
    cdef Operand b
    g.bias, g.saved, g.epilogue = NULL, NULL, FNN_STORE
    g.activation, g.options = FNN_LINEAR, NULL
    if n > 0 and inputs > 0:  # dZ times the transposed kernel
        g.m, g.n, g.k = n, inputs, units
        g.a, g.a_row, g.a_col = &dz[0, 0], units, 1
        b = _operand(&kernel[0, 0], kernel.strides[1] // sizeof(real),
                     kernel.strides[0] // sizeof(real), units, inputs)
        g.c, g.c_row = &grad_x[0, 0], inputs
        _product(table, &g, b)
    if inputs > 0 and units > 0:  # transposed X times dZ
        g.m, g.n, g.k = inputs, units, n
        g.a, g.a_row = &x[0, 0], x.strides[1] // sizeof(real)
        g.a_col = x.strides[0] // sizeof(real)
        b = _operand(&dz[0, 0], units, 1, n, units)
        g.c, g.c_row = &grad_kernel[0, 0], units
        if g.a_row == 1 and tiles_pay_beside_lots(table, &g):
            _product_of_tiles(table, &g, b)
        else:
            _product(table, &g, b)
    if grad_bias is not None and units > 0:
        shared_column_sums(table, n, units, &dz[0, 0], units, &grad_bias[0], False)
    return 0


def dense_backward(
    grad, x, kernel, bias=None, activation="linear", *, options=None, y=None, out=None
):
    cdef Function function
    _look_up(activation, options, &function)
    if (
        function.kind in (FNN_STEP, FNN_GLU)
        or not _operands_agree(x, kernel, bias)
        or not _is_result_of(grad, x, kernel)
        or not (y is None or _is_result_of(y, x, kernel))
        or not _fit_gradients(out, x, kernel, bias)
    ):
        _checks.check_dense_backward(grad, x, kernel, bias, activation, options, y, out)
    x, kernel = _whole_strides(x), _with_near_elements(kernel)
    if function.kind == FNN_LINEAR:
        dz = _as_rows(grad)
    elif fnn_saves_input(function.kind):
        dz = _gradient_of_activation(grad, dense_forward(x, kernel, bias), None, &function, True)
    else:
        if y is None:
            y = dense_forward(x, kernel, bias, activation, options=options)
        dz = _gradient_of_activation(grad, None, y, &function, True)
    for_x, for_kernel, for_bias = (None, None, None) if out is None else out
    operands = (x, kernel, dz)
    grad_x = _place_like(x, for_x, operands)
    grad_kernel = _place_like(kernel, for_kernel, operands)
    grad_bias = None if bias is None else _place_like(bias, for_bias, operands)
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32:
        _dense_backward[float](dz, x, kernel, grad_x, grad_kernel, grad_bias)
    else:
        _dense_backward[double](dz, x, kernel, grad_x, grad_kernel, grad_bias)
    return (
        _deliver(grad_x, for_x), _deliver(grad_kernel, for_kernel), _deliver(grad_bias, for_bias)
    )


# Activations


cdef _as_rows(array):
    """Return `array` as a contiguous matrix over its last axis."""
    array = _aligned(array)
    if cnp.PyArray_NDIM(array) == 2:
        return array
    return array.reshape(array.size // max(array.shape[-1], 1), array.shape[-1])


cdef bint _is_plain(array):
    """Whether `array` can be gone through from the first element to the last as it is."""
    return (
        _is_gapless(array)
        and cnp.PyArray_TYPE(array) in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64)
        and cnp.PyArray_ISNOTSWAPPED(array)
    )


cdef bint _takes_result(cnp.ndarray out, cnp.ndarray x):
    """Whether the result of plain `x` can go straight to `out`, which may be `x` itself."""
    return (
        _is_plain(out)
        and cnp.PyArray_TYPE(out) == cnp.PyArray_TYPE(x)
        and cnp.PyArray_SAMESHAPE(out, x)
        and cnp.PyArray_ISWRITEABLE(out)
        and (cnp.PyArray_DATA(out) == cnp.PyArray_DATA(x) or not _may_overlap(out, x))
    )


cdef void _activate(const Function *function, cnp.ndarray x, cnp.ndarray y) noexcept:
    """Of arrays without gaps; of matrices if rows matter."""
    cdef const fnn_kernels *table = kernels_for(cnp.PyArray_ITEMSIZE(x))
    cdef int64_t size = cnp.PyArray_SIZE(x)
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    cdef const void *source = cnp.PyArray_DATA(x)
    cdef void *target = cnp.PyArray_DATA(y)
    with nogil:
        if function.kind < FNN_SOFTMAX:
            shared_activate(table, function.kind, function.options, size, source, target)
        elif size > 0:
            table.activate_rows(function.kind, shape[0], shape[1], source, shape[1], target,
                                cnp.PyArray_DIM(y, 1))


def activation_forward(x, activation, *, options=None, out=None):
    cdef Function function
    _look_up(activation, options, &function)
    if (
        function.kind < FNN_SOFTMAX
        and _is_plain(x)
        and (out is None or type(out) is cnp.ndarray and _takes_result(out, x))
    ):
        y = _place_like(x, None, None) if out is None else out
        _activate(&function, x, y)
        return y
    _checks.check_activation_forward(x, activation, options, out)
    y = _result(_checks.activation_shape(activation, x.shape), x.dtype, out, (x,))
    result = _as_rows(y)
    _activate(&function, _as_rows(x), result)
    return _deliver(result.reshape(x.shape) if y.ndim == 0 else y, out)


def softmax(x, *, out=None):
    return activation_forward(x, "softmax", out=out)


def log_softmax(x, *, out=None):
    return activation_forward(x, "log_softmax", out=out)


cdef void _multiply_by_slopes(
    const Function *function, cnp.ndarray grad, cnp.ndarray saved, cnp.ndarray out
) noexcept:
    """The gradient at the input, of matrices without gaps."""
    cdef const fnn_kernels *table = kernels_for(cnp.PyArray_ITEMSIZE(out))
    cdef int64_t rows = cnp.PyArray_DIM(out, 0), columns = cnp.PyArray_DIM(out, 1)
    cdef const void *slopes = cnp.PyArray_DATA(grad)
    cdef const void *source = cnp.PyArray_DATA(saved)
    cdef void *target = cnp.PyArray_DATA(out)
    with nogil:
        if function.kind < FNN_SOFTMAX:
            shared_activate_gradient(table, function.kind, function.options, rows * columns,
                                     slopes, source, target)
        elif rows * columns > 0:
            table.activate_rows_gradient(function.kind, rows, columns, slopes,
                                         cnp.PyArray_DIM(grad, 1), source, columns, target,
                                         columns)


cdef _gradient_of_activation(grad, x, y, const Function *function, bint within):
    """Gradient at the input `x`; of `x` and the output `y` only the one in use is needed.

    `within`: no one has it after the call.
    """
    source = x if fnn_saves_input(function.kind) else y
    rows, saved = _as_rows(grad), _as_rows(source)
    cdef int kind = cnp.PyArray_TYPE(saved)
    result = _matrix(cnp.PyArray_DIM(saved, 0), cnp.PyArray_DIM(saved, 1), kind, within)
    _multiply_by_slopes(function, rows, saved, result)
    return result if saved is source else result.reshape(source.shape)


def activation_backward(grad, x, y, activation, *, options=None, out=None):
    cdef Function function
    _look_up(activation, options, &function)
    _checks.check_activation_backward(grad, x, y, activation, options, out)
    return _deliver(_gradient_of_activation(grad, x, y, &function, False), out)


# Dropout


cdef void _dropout(
    cnp.ndarray x, cnp.ndarray y, double rate, uint64_t seed, uint64_t step
) noexcept:
    """Of matrices without gaps."""
    cdef const fnn_kernels *table = kernels_for(cnp.PyArray_ITEMSIZE(x))
    cdef fnn_dropout d
    d.rows, d.columns, d.first_row = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), 0
    d.x, d.x_row, d.y, d.y_row = cnp.PyArray_DATA(x), d.columns, cnp.PyArray_DATA(y), d.columns
    d.factors, d.rate, d.seed, d.step = NULL, rate, seed, step
    with nogil:
        shared_dropout(table, &d)


def dropout(x, rate, seed, step, *, out=None):
    rate, seed, step = _checks.check_dropout(x, rate, seed, step, out)
    y = _result(x.shape, x.dtype, out, (x,))
    _dropout(_aligned(x), y, rate, seed, step)
    return _deliver(y, out)


def permutation(n, seed):
    n, seeds = _checks.check_permutation(n, seed)
    cdef int64_t count = n
    cdef Py_ssize_t i, drawn = seeds.size
    orders = np.empty((*seeds.shape, n), np.int64)
    cdef const uint64_t *first = <const uint64_t *>cnp.PyArray_DATA(seeds)
    cdef int64_t *places = <int64_t *>cnp.PyArray_DATA(orders)
    with nogil:
        for i in range(drawn):
            fnn_permutation(count, first[i], places + i * count)
    return orders


# Losses and metrics


cdef int _loss(
    fnn_loss kind,
    fnn_loss_options options,
    const real[:, ::1] targets,
    const int32_t[::1] labels,
    const real[:, ::1] predictions,
    const real[::1] weights,
    real[::1] values,
    real[:, ::1] gradient,
) except -1:
    cdef fnn_loss_args args
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    args.rows, args.columns = predictions.shape[0], predictions.shape[1]
    if args.rows == 0:
        return 0
    args.kind, args.options = kind, options
    args.predictions, args.predictions_row = &predictions[0, 0], args.columns
    args.targets = NULL if targets is None else &targets[0, 0]
    args.targets_row = 0 if targets is None else targets.shape[1]
    args.order = NULL
    args.labels = NULL if labels is None else &labels[0]
    args.weights = NULL if weights is None else &weights[0]
    args.scale = 1.0
    args.gradient = NULL if gradient is None else &gradient[0, 0]
    args.gradient_row = args.columns
    args.values = NULL if values is None else &values[0]
    args.probabilities, args.probabilities_row = NULL, 0
    with nogil:
        shared_loss(table, &args)
    return 0


cdef _run_loss(loss, options, y_true, y_pred, weights, values, gradient):
    cdef fnn_loss kind = LOSS_CODES[loss]
    cdef fnn_loss_options all_options = {**_checks.LOSS_DEFAULTS, **options}
    y_true, y_pred = _aligned(y_true), _aligned(y_pred)
    sparse = kind == FNN_SPARSE_CATEGORICAL_CROSSENTROPY
    targets, labels = (None, y_true) if sparse else (y_true, None)
    if y_pred.dtype == np.float32:
        _loss[float](kind, all_options, targets, labels, y_pred, weights, values, gradient)
    else:
        _loss[double](kind, all_options, targets, labels, y_pred, weights, values, gradient)


def loss_forward(y_true, y_pred, loss, **options):
    chosen = _checks.check_loss(y_true, y_pred, loss, options)
    values = np.empty(y_pred.shape[0], y_pred.dtype)
    _run_loss(loss, chosen, y_true, y_pred, None, values, None)
    return values


def loss_backward(y_true, y_pred, loss, *, sample_weight=None, out=None, **options):
    chosen = _checks.check_loss(y_true, y_pred, loss, options)
    _checks.check_loss_backward(y_pred, sample_weight, out)
    weights = None if sample_weight is None else _aligned(sample_weight)
    gradient = _result(y_pred.shape, y_pred.dtype, out, (y_true, y_pred, weights))
    _run_loss(loss, chosen, y_true, y_pred, weights, None, gradient)
    return _deliver(gradient, out)


cdef int _metric_values(
    fnn_metric kind,
    const real[:, ::1] targets,
    const int32_t[::1] labels,
    const real[:, ::1] predictions,
    double threshold,
    real[::1] values,
) except -1:
    cdef fnn_metric_args args
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    args.rows, args.columns = predictions.shape[0], predictions.shape[1]
    if args.rows == 0:
        return 0
    args.kind, args.threshold = kind, threshold
    args.predictions, args.predictions_row = &predictions[0, 0], args.columns
    args.targets = NULL if targets is None else &targets[0, 0]
    args.targets_row = args.columns
    args.order = NULL
    args.labels = NULL if labels is None else &labels[0]
    args.values = &values[0]
    with nogil:
        shared_metric(table, &args)
    return 0


def metric_values(y_true, y_pred, metric, *, threshold=0.5):
    threshold = _checks.check_metric(y_true, y_pred, metric, threshold)
    y_true, y_pred = _aligned(y_true), _aligned(y_pred)
    values = np.empty(y_pred.shape[0], y_pred.dtype)
    code = METRIC_CODES[metric]
    sparse = code == FNN_METRIC_SPARSE_CATEGORICAL_ACCURACY
    targets, labels = (None, y_true) if sparse else (y_true, None)
    if y_pred.dtype == np.float32:
        _metric_values[float](code, targets, labels, y_pred, threshold, values)
    else:
        _metric_values[double](code, targets, labels, y_pred, threshold, values)
    return values


# Optimizer steps


cdef int _update(
    fnn_optimizer kind,
    real[::1] parameter,
    const real[::1] gradient,
    real[::1] first,
    real[::1] second,
    real[::1] third,
    const double[::1] hyper,
) except -1:
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    cdef fnn_update u
    if parameter.shape[0] == 0:
        return 0
    u.kind, u.n = kind, parameter.shape[0]
    u.parameter, u.gradient = &parameter[0], &gradient[0]
    u.slots[0] = NULL if first is None else <void *>&first[0]
    u.slots[1] = NULL if second is None else <void *>&second[0]
    u.slots[2] = NULL if third is None else <void *>&third[0]
    u.hyper = &hyper[0]
    with nogil:
        shared_update(table, &u)
    return 0


cdef _run_update(kind, parameter, gradient, hyper, first=None, second=None, third=None):
    hyper = np.array(hyper, dtype=np.float64)
    changed = (parameter, first, second, third)
    used = [None if array is None else _aligned(array) for array in changed]
    flat, *slots = [None if array is None else array.reshape(-1) for array in used]
    slope = _aligned(gradient).reshape(-1)
    if parameter.dtype == np.float32:
        _update[float](UPDATE_CODES[kind], flat, slope, slots[0], slots[1], slots[2], hyper)
    else:
        _update[double](UPDATE_CODES[kind], flat, slope, slots[0], slots[1], slots[2], hyper)
    for array, result in zip(changed, used):
        if array is not None and not cnp.PyArray_ISALIGNED(array):
            array[...] = result.reshape(array.shape)


def sgd(
    parameter,
    gradient,
    velocity=None,
    *,
    learning_rate,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, optional={"velocity": velocity})
    rate, momentum, decay = _checks.check_hyperparameters(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    _checks.check_velocity(velocity, momentum)
    hyper = (rate, momentum, bool(nesterov), decay)
    _run_update("sgd", parameter, gradient, hyper, velocity)


def rmsprop(
    parameter,
    gradient,
    mean_square,
    velocity=None,
    mean=None,
    *,
    learning_rate,
    rho=0.9,
    momentum=0.0,
    epsilon=1e-7,
    weight_decay=0.0,
):
    optional = {"velocity": velocity, "mean": mean}
    _checks.check_update(parameter, gradient, mean_square=mean_square, optional=optional)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate,
        rho=rho,
        momentum=momentum,
        epsilon=epsilon,
        weight_decay=weight_decay,
    )
    _checks.check_velocity(velocity, momentum)
    _run_update("rmsprop", parameter, gradient, hyper, mean_square, velocity, mean)


def adagrad(
    parameter, gradient, accumulator, *, learning_rate, epsilon=1e-7, weight_decay=0.0
):
    _checks.check_update(parameter, gradient, accumulator=accumulator)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate, epsilon=epsilon, weight_decay=weight_decay
    )
    _run_update("adagrad", parameter, gradient, hyper, accumulator)


def adam(
    parameter,
    gradient,
    m,
    v,
    largest=None,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    step,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, m=m, v=v, optional={"largest": largest})
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        weight_decay=weight_decay,
    )
    _run_update("adam", parameter, gradient, hyper, m, v, largest)


def adadelta(
    parameter,
    gradient,
    squared_gradients,
    squared_steps,
    *,
    learning_rate,
    rho=0.95,
    epsilon=1e-7,
    weight_decay=0.0,
):
    _checks.check_update(
        parameter, gradient, squared_gradients=squared_gradients, squared_steps=squared_steps
    )
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate, rho=rho, epsilon=epsilon, weight_decay=weight_decay
    )
    _run_update("adadelta", parameter, gradient, hyper, squared_gradients, squared_steps)


def adamax(
    parameter,
    gradient,
    m,
    u,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    step,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, m=m, u=u)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        weight_decay=weight_decay,
    )
    _run_update("adamax", parameter, gradient, hyper, m, u)


def nadam(
    parameter,
    gradient,
    m,
    v,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    step,
    momentum_product,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, m=m, v=v)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        step=step,
        momentum_product=momentum_product,
        weight_decay=weight_decay,
    )
    _run_update("nadam", parameter, gradient, hyper, m, v)


def ftrl(
    parameter,
    gradient,
    accumulator,
    linear,
    *,
    learning_rate,
    learning_rate_power=-0.5,
    l1_regularization_strength=0.0,
    l2_regularization_strength=0.0,
    l2_shrinkage_regularization_strength=0.0,
    beta=0.0,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, accumulator=accumulator, linear=linear)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate,
        learning_rate_power=learning_rate_power,
        l1_regularization_strength=l1_regularization_strength,
        l2_regularization_strength=l2_regularization_strength,
        l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
        beta=beta,
        weight_decay=weight_decay,
    )
    _run_update("ftrl", parameter, gradient, hyper, accumulator, linear)


def lion(
    parameter,
    gradient,
    m,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.99,
    weight_decay=0.0,
):
    _checks.check_update(parameter, gradient, m=m)
    hyper = _checks.check_hyperparameters(
        learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, weight_decay=weight_decay
    )
    _run_update("lion", parameter, gradient, hyper, m)


# Constraints and penalties


cdef int _min_max_norm(real[::1] values, int64_t columns, double low, double high,
                       double rate) except -1:
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    cdef int64_t rows
    if values.shape[0] == 0:
        return 0
    rows = values.shape[0] // columns
    with nogil:
        shared_min_max_norm(table, rows, columns, low, high, rate, &values[0])
    return 0


def min_max_norm(parameter, *, min_value=0.0, max_value=1.0, rate=1.0):
    _checks.check_constrained(parameter)
    low, high, rate = _checks.check_norm_bounds(min_value, max_value, rate)
    columns = parameter.size // max(parameter.shape[0], 1)
    values = _aligned(parameter).reshape(-1)
    if parameter.dtype == np.float32:
        _min_max_norm[float](values, columns, low, high, rate)
    else:
        _min_max_norm[double](values, columns, low, high, rate)
    _return_unaligned(values, parameter)


cdef int _non_neg(real[::1] values) except -1:
    cdef const fnn_kernels *table = kernels_for(sizeof(real))
    cdef int64_t n = values.shape[0]
    if n == 0:
        return 0
    with nogil:
        shared_non_neg(table, n, &values[0])
    return 0


def non_neg(parameter):
    _checks.check_constrained(parameter)
    values = _aligned(parameter).reshape(-1)
    if parameter.dtype == np.float32:
        _non_neg[float](values)
    else:
        _non_neg[double](values)
    _return_unaligned(values, parameter)


def all_finite(x):
    cdef const fnn_kernels *table
    cdef const void *values
    cdef int64_t size
    cdef bint finite
    if not (_is_gapless(x) and x.dtype in _checks.FLOAT_TYPES):
        _checks.check_numbers(x)
        x = _aligned(x)
    table, size = kernels_for(x.itemsize), x.size
    values = cnp.PyArray_DATA(x)
    with nogil:
        finite = shared_all_finite(table, size, values)
    return finite


cdef _return_unaligned(values, array):
    """Copy the changed `values` back if they are those of a copy of `array`."""
    if not cnp.PyArray_ISALIGNED(array):
        array[...] = values.reshape(array.shape)


cdef double _orthogonal(w, factor, mode, gradient):
    """Return the penalty, and add its gradient to `gradient` if that is given."""
    cdef Orthogonal o
    cdef list workspace = prepare_orthogonal(&o, w.shape, w.dtype, factor, mode)
    cdef const char *values = <const char *>cnp.PyArray_DATA(w)
    cdef char *slopes = NULL if gradient is None else <char *>cnp.PyArray_DATA(gradient)
    cdef int64_t first = 0
    cdef double total = 0
    with nogil:
        begin_orthogonal(&o, values)
        while first < o.vectors.count:
            total += orthogonal_block(&o, first, slopes)
            first += o.block
    workspace.clear()  # alive until here
    return total


def orthogonal_penalty(w, *, factor=0.01, mode="rows"):
    factor = _checks.check_orthogonal(w, factor, mode)
    return _orthogonal(_aligned(w), factor, mode, None)


def orthogonal_gradient(w, *, factor=0.01, mode="rows"):
    factor = _checks.check_orthogonal(w, factor, mode)
    gradient = np.zeros(w.shape, w.dtype)
    _orthogonal(_aligned(w), factor, mode, gradient)
    return gradient
