"""The program as the C side sees it, and the loops over single ops.

A program is lowered once more, to an array of C structs (`Op`) that hold everything the loops
need: pointers to parameters, gradients and workspace, sizes, codes. An op that ends in an
elementwise activation lets the product apply it; one that looks at whole rows or is
written in Python becomes an op of its own. A branch is no op: what closes it knows where it began.
"""

cimport numpy as np
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastnn.native.ckernels cimport *
from fastnn.native.dispatch cimport kernels_for, room_for_panels
from fastnn.native.team cimport (
    FNN_TILE_BYTES,
    fnn_unpacked,
    shared_activate,
    shared_copy_in_tiles,
    shared_dots,
    shared_gemm,
    shared_gemm_of_tiles,
    shared_packing_gemm,
    steps_in_tiles,
)

import numpy

from fastnn._checks import ROW_ACTIVATIONS
from fastnn.activations import ActivationFunction
from fastnn.native.kernels import lowered_activation
from fastnn.native.team import get_num_threads
from fastnn.program import (
    ActivationOp,
    AddOp,
    BranchOp,
    DenseOp,
    DropoutOp,
    LayerOp,
    UserOp,
    training_only,
)

<void>np._import_array  # not called: no function of its C API is used

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from *:
    """
    /* Flops of this thread since it last looked at signals. */
    static _Thread_local double fnn_work = 0;
    """
    double fnn_work

# Signals are looked at every few milliseconds of work, so that an interrupt is never far off.
cdef double CALL_FLOPS = 1e9      # of one kernel call: 5 to 25 ms
cdef double SIGNAL_FLOPS = 2e8    # between looks at signals

cdef enum:
    FEW_ROWS = 512  # of a product that is divided by columns, not by rows


cdef double call_flops() noexcept nogil:
    """Operations after which a thread should look at signals again."""
    return CALL_FLOPS


cdef int64_t rows_per_call(int64_t rows, double flops_per_row, int64_t tile_rows) noexcept nogil:
    """How many of `rows` one kernel call should take, in whole tiles."""
    cdef double most = CALL_FLOPS / (flops_per_row + 1)
    if rows <= most:
        return rows
    return max(<int64_t>most // tile_rows, 1) * tile_rows


cdef int heed_signals(double flops) except -1 nogil:
    """Look at signals once in a while; `flops` is the work done since the last call."""
    global fnn_work
    fnn_work += flops
    if fnn_work > SIGNAL_FLOPS:
        fnn_work = 0
        with gil:
            PyErr_CheckSignals()
    return 0


cdef const fnn_layer_steps *steps_of(const fnn_kernels *table, str kernel) except NULL:
    """Return the steps of a kernel of `fastnn.program.LayerOp`."""
    cdef const fnn_layer_steps *const *layer = table.layers
    while layer[0] != NULL:
        if layer[0].name.decode() == kernel:
            return layer[0]
        layer += 1
    raise ValueError(
        f"layer kernel must be one of {', '.join(layer_kernels())}, got {kernel!r}: add it to the "
        "layers in kernels.h"
    )


cdef list option_names(const fnn_layer_steps *steps):
    return [] if steps.options == NULL else steps.options.decode().split()


def layer_kernels():
    """Return the options of each kernel of `fastnn.program.LayerOp`, in the order of C, by name."""
    cdef const fnn_layer_steps *const *layer = kernels_for(sizeof(float)).layers
    options = {}
    while layer[0] != NULL:
        options[layer[0].name.decode()] = option_names(layer[0])
        layer += 1
    return options


cdef class Ops:
    """The lowered program, and the loops over one op that inference and training share."""

    def __cinit__(self):
        self.items = NULL

    def __dealloc__(self):
        free(self.items)

    def __init__(self, program, bint training, head=None):
        self.dtype = program.dtype
        self.itemsize = program.dtype.itemsize
        self.table = kernels_for(self.itemsize)
        self.threads = get_num_threads()
        self.customs = []
        self.parameters = []
        self.arrays = []
        steps = []
        sources = {}
        branches = []
        for op in program.ops:
            if isinstance(op, BranchOp):
                branches.append(len(steps))
            elif isinstance(op, AddOp):
                sources[len(steps)] = branches.pop()
            steps += _split(op, training)
        if head is not None:
            _drop_head(steps)
        self.count = len(steps)
        self.items = <Op *>calloc(max(self.count, 1), sizeof(Op))
        if self.items == NULL:
            raise MemoryError("no memory for the lowered program")
        for i, (kind, source, activation) in enumerate(steps):
            self._fill(&self.items[i], kind, source, activation)
            self.items[i].source = sources.get(i, -1)

    cdef int _fill(self, Op *op, kind, source, activation) except -1:
        cdef int i
        op.kind, op.inputs, op.outputs = kind, source.inputs, source.outputs
        if kind == DENSE:
            op.outputs = source.kernel.shape[1]
        elif isinstance(source, DenseOp):  # the activation of one
            op.inputs = source.kernel.shape[1]
        op.activation = FNN_LINEAR
        op.row = self.padded_row(op.outputs)
        if kind == CUSTOM:
            op.custom = len(self.customs)
            self.customs.append(activation)
        elif activation is not None:
            code, options = lowered_activation(activation.name, activation.options)
            op.activation = code
            for i, option in enumerate(options):
                op.options[i] = option
        if kind == DROPOUT:
            op.rate, op.seed = source.rate, source.seed
        if kind == DENSE:
            op.kernel = address(source.kernel.array)
            op.bias = NULL if source.bias is None else address(source.bias.array)
            self.parameters.append((source.kernel, source.bias))
        elif kind == LAYER:
            self._fill_layer(op, source)
            self.parameters.append(source.weights)
        elif kind == USER:
            op.custom = len(self.customs)
            self.customs.append(source.layer)
            self.parameters.append(source.parameters)
        else:
            self.parameters.append(())
        return 0

    cdef int _fill_layer(self, Op *op, source) except -1:
        op.steps = steps_of(self.table, source.kernel)
        values = [source.options[name] for name in option_names(op.steps)]
        options = numpy.array(_numbers(values), numpy.float64)
        addresses = [0 if p is None else p.array.ctypes.data for p in source.weights]
        op.layer.inputs, op.layer.outputs = source.inputs, source.outputs
        op.layer.options = <const double *>self._keep(options)
        op.layer.weights = <const void *const *>self._keep(numpy.array(addresses, numpy.uintp))
        op.layer.seed = source.seed
        return 0

    cdef int64_t layer_room(self, Op *op, int64_t rows) noexcept:
        """Elements that a layer needs beside its input and output, for so many rows."""
        cdef int64_t size = 0
        if op.steps.room_of_row != NULL:
            size += rows * op.steps.room_of_row(&op.layer)
        if op.steps.room_besides != NULL:
            size += op.steps.room_besides(&op.layer)
        return size

    cdef char *_keep(self, np.ndarray array) noexcept:
        self.arrays.append(array)
        return address(array)

    cdef int heed(self, double flops) except -1 nogil:
        return 0 if self.quiet else heed_signals(flops)

    cdef int64_t padded_row(self, int64_t width) noexcept nogil:
        """Length of a workspace row: whole vectors, and not a multiple of 1 kB, for such rows would
        fight for the same few lines of the cache."""
        cdef int64_t row = self.stored(width)
        return row + CACHE_LINE // self.itemsize if row * self.itemsize % 1024 == 0 else row

    cdef int64_t stored(self, int64_t columns) noexcept nogil:
        """Columns to store of a product that goes to the workspace: whole vectors.

        What is written beyond the last column is not used, and what is read for it lies in the
        padding of the parameters' buffer. Whole stores can be read again at once.
        """
        return round_up(columns, self.table.vector_width)

    cdef int product(self, const fnn_gemm *whole) except -1 nogil:
        """Run a product in calls short enough for signals to be heeded in between."""
        cdef double flops = 2.0 * whole.m * whole.n * whole.k
        if flops <= CALL_FLOPS:
            shared_gemm(self.table, whole)
            return self.heed(flops)
        if whole.m <= FEW_ROWS and whole.a_col == 1:
            return self._product_by_columns(whole)
        return self._product_by_rows(whole)

    cdef int _product_by_rows(self, const fnn_gemm *whole) except -1 nogil:
        cdef double per_row = 2.0 * whole.n * whole.k
        cdef int64_t step = rows_per_call(whole.m, per_row, self.table.tile_rows), first = 0
        cdef fnn_gemm g = whole[0]
        while first < whole.m:
            g.m = min(step, whole.m - first)
            g.a = <const char *>whole.a + first * g.a_row * self.itemsize
            g.c = <char *>whole.c + first * g.c_row * self.itemsize
            if g.saved != NULL:
                g.saved = <const char *>whole.saved + first * g.saved_row * self.itemsize
            shared_gemm(self.table, &g)
            self.heed(per_row * g.m)
            first += step
        return 0

    cdef int _product_by_columns(self, const fnn_gemm *whole) except -1 nogil:
        """The whole of a wide B would be read for each call that takes a few of the rows."""
        cdef double per_column = 2.0 * whole.m * whole.k
        cdef int64_t step = self.threads * self._columns_per_call(per_column, 0), first = 0
        cdef fnn_gemm g = whole[0]
        while first < whole.n:
            g.n = min(step, whole.n - first)
            g.b = <const char *>whole.b + first // self.table.panel_width * g.b_panel * self.itemsize
            g.c = <char *>whole.c + first * self.itemsize
            if g.bias != NULL:
                g.bias = <const char *>whole.bias + first * self.itemsize
            if g.saved != NULL:
                g.saved = <const char *>whole.saved + first * self.itemsize
            shared_gemm(self.table, &g)
            self.heed(per_column * g.n)
            first += step
        return 0

    cdef int dots(self, const fnn_dots *whole) except -1 nogil:
        """Run products of rows with rows in calls short enough, as above."""
        cdef double per_column = 2.0 * whole.m * whole.k
        cdef int64_t step, first = 0
        cdef fnn_dots d
        if per_column * whole.n <= CALL_FLOPS:
            shared_dots(self.table, whole)
            return self.heed(per_column * whole.n)
        step = rows_per_call(whole.n, per_column, self.table.tile_rows)
        d = whole[0]
        while first < whole.n:
            d.n = min(step, whole.n - first)
            d.b = <const char *>whole.b + first * d.b_row * self.itemsize
            d.c = <char *>whole.c + first * self.itemsize
            shared_dots(self.table, &d)
            self.heed(per_column * d.n)
            first += step
        return 0

    cdef int packing_product(
        self,
        const fnn_gemm *whole,
        const char *b,
        int64_t columns,
        int64_t b_row,
        int64_t b_column,
        char *panels,
        bint a_in_tiles=False,
    ) except -1 nogil:
        """Run a product whose B is packed a few panels at a time, just before they are used.

        B has so many `columns`; the product may store more, up to whole vectors. A copy of A in
        tiles is taken as a whole.
        """
        cdef fnn_gemm g = whole[0]
        cdef fnn_unpacked part
        cdef int64_t width = self.table.panel_width, size = self.itemsize
        cdef int64_t rows = rows_per_call(whole.m, 2.0 * width * whole.k, self.table.tile_rows)
        cdef int64_t room, packed, row = 0, column
        if a_in_tiles:
            rows = whole.m
            room = self._room_beside_tiles(whole.m, columns)
        else:
            room = room_for_panels(self.table, rows, whole.k, columns)
        packed = room // max(whole.k * width, 1) * width
        cdef int64_t group = self.threads * self._columns_per_call(2.0 * rows * whole.k, packed)
        part.b_row, part.b_col = b_row, b_column
        part.panels, part.room, part.shares = panels, room, self.threads
        while row < whole.m:
            g.m = min(rows, whole.m - row)
            g.a = <const char *>whole.a + row * whole.a_row * size
            column = 0
            while column < whole.n:
                g.n = min(group, whole.n - column)
                part.b, part.columns = b + column * b_column * size, columns - column
                g.c = <char *>whole.c + (row * whole.c_row + column) * size
                if whole.bias != NULL:
                    g.bias = <const char *>whole.bias + column * size
                if whole.saved != NULL:
                    g.saved = <const char *>whole.saved + (row * whole.saved_row + column) * size
                if a_in_tiles:
                    shared_gemm_of_tiles(self.table, &g, &part)
                else:
                    shared_packing_gemm(self.table, &g, &part)
                self.heed(2.0 * g.m * g.n * g.k)
                column += group
            row += rows
        return 0

    cdef int product_of_tiles(
        self, const fnn_gemm *whole, const char *b, int64_t columns, int64_t b_row, char *room
    ) except -1 nogil:
        """Run a product whose A is a transpose, and both of whose operands are packed."""
        cdef fnn_gemm g = whole[0]
        cdef int64_t step = steps_in_tiles(self.table, whole.k), first = 0
        cdef char *panels = room + self._tiles_size(whole.m, step) * self.itemsize
        while first < whole.k:
            g.k = min(step, whole.k - first)
            g.add = whole.add or first > 0
            shared_copy_in_tiles(
                self.table, g.m, g.k,
                <const char *>whole.a + first * whole.a_col * self.itemsize, whole.a_col, room)
            g.a = room
            self.packing_product(&g, b + first * b_row * self.itemsize, columns, b_row, 1, panels,
                                 a_in_tiles=True)
            first += step
        return 0

    cdef int64_t _tiles_size(self, int64_t m, int64_t steps) noexcept nogil:
        """Elements of a copy in tiles, up to where panels can begin."""
        return round_up(m * steps, self.table.panel_width)

    cdef int64_t tiling_size(self, int64_t m, int64_t k, int64_t columns) noexcept nogil:
        """Room that `product_of_tiles` needs for up to so many steps of k, in elements."""
        cdef int64_t steps = min(k, FNN_TILE_BYTES // self.itemsize)
        return self._tiles_size(m, steps) + self.threads * self._room_beside_tiles(m, columns)

    cdef int64_t _room_beside_tiles(self, int64_t m, int64_t columns) noexcept nogil:
        """Elements that a thread has for panels, however many steps there are at a time."""
        return room_for_panels(self.table, m, FNN_TILE_BYTES // self.itemsize, columns)

    cdef int64_t _columns_per_call(self, double flops_per_column, int64_t packed) noexcept nogil:
        """How many columns a thread takes in one kernel call: panels, or what is `packed` at once."""
        cdef int64_t unit = self.table.panel_width
        if packed > unit and CALL_FLOPS >= packed * flops_per_column:
            unit = packed
        return max(<int64_t>(CALL_FLOPS / (flops_per_column + 1) / unit + 0.5), 1) * unit

    cdef int64_t packing_size(self, int64_t k, int64_t columns, int64_t rows) noexcept nogil:
        """Room that `packing_product` needs for k x columns and up to so many rows, in elements."""
        return self.threads * room_for_panels(self.table, rows, k, columns)

    cdef void elementwise(
        self, const Op *op, int64_t rows, const char *x, int64_t x_row, char *y, int64_t y_row
    ) noexcept nogil:
        """An activation op over rows; padding is worked on too where it lies on the way."""
        cdef int64_t i
        if op.activation >= FNN_SOFTMAX:
            self.table.activate_rows(op.activation, rows, op.inputs, x, x_row, y, y_row)
        elif x_row == y_row:
            shared_activate(self.table, op.activation, op.options, rows * x_row, x, y)
        else:
            for i in range(rows):
                self.table.activate(op.activation, op.options, op.outputs,
                                    x + i * x_row * self.itemsize, y + i * y_row * self.itemsize)

    cdef np.ndarray matrix(self, const char *data, int64_t rows, int64_t columns, int64_t row):
        """Return a copy of a part of the workspace, for Python code to keep."""
        result = numpy.empty((rows, columns), self.dtype)
        cdef char *out = address(result)
        cdef int64_t i
        for i in range(rows):
            memcpy(out + i * columns * self.itemsize, data + i * row * self.itemsize,
                   columns * self.itemsize)
        return result

    cdef int put(self, object source, str what, char *data, int64_t rows, int64_t columns,
                 int64_t row) except -1:
        """Copy what Python code returned into the workspace."""
        result = numpy.ascontiguousarray(source, dtype=self.dtype)
        if result.shape != (rows, columns):
            raise ValueError(
                f"{what} must return an array of shape {(rows, columns)}, got {result.shape}"
            )
        cdef const char *values = address(result)
        cdef int64_t i
        for i in range(rows):
            memcpy(data + i * row * self.itemsize, values + i * columns * self.itemsize,
                   columns * self.itemsize)
        return 0

    cdef int custom_forward(self, const Op *op, int64_t rows, const char *x, int64_t x_row,
                            char *y, int64_t y_row) except -1 with gil:
        activation = self.customs[op.custom]
        result = activation.forward(self.matrix(x, rows, op.inputs, x_row))
        return self.put(result, f"{activation.name}.forward", y, rows, op.outputs, y_row)

    cdef int user_forward(self, const Op *op, int64_t rows, const char *x, int64_t x_row,
                          char *y, int64_t y_row, bint training) except -1 with gil:
        layer = self.customs[op.custom]
        result = layer.forward(self.matrix(x, rows, op.inputs, x_row), training)
        return self.put(result, f"{layer.name}.forward", y, rows, op.outputs, y_row)


def _split(op, training):
    """Return the engine's ops for one of the program's, as (kind, op, activation)."""
    if isinstance(op, BranchOp) or (training_only(op) and not training):
        return []
    if isinstance(op, DropoutOp):
        return [(DROPOUT, op, None)] if op.rate > 0 else []
    for kind, alone in ((LAYER, LayerOp), (ADD, AddOp), (USER, UserOp)):
        if isinstance(op, alone):
            return [(kind, op, None)]
    activation = op.activation
    alone = CUSTOM if not activation.builtin else ACTIVATION
    fusible = activation.builtin and activation.name not in ROW_ACTIVATIONS
    if isinstance(op, DenseOp):
        if fusible:
            return [(DENSE, op, activation)]
        return [(DENSE, op, None), (alone, op, activation)]
    if isinstance(op, ActivationOp):
        return [] if activation.name == "linear" else [(alone, op, activation)]
    raise TypeError(f"the native engine does not know ops of type {type(op).__name__}")


def _numbers(values):
    """Return options in one row of numbers: those of tuples, and codes of activations."""
    numbers = []
    for value in values:
        if isinstance(value, (tuple, list)):
            numbers += _numbers(value)
        elif isinstance(value, ActivationFunction):
            code, options = lowered_activation(value.name, value.options)
            numbers += [code, *options]
        else:
            numbers.append(value)
    return numbers


def _drop_head(steps):
    """Take the last activation off: the loss starts from the logits."""
    kind, op, _ = steps.pop()
    if kind == DENSE:
        steps.append((DENSE, op, None))
