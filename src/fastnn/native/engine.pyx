"""The native engine: runs a whole program without Python in between.

The weights are packed into panels when they have changed. Chunks of rows go through all ops
before the next chunk, so that activations stay in the cache.
"""

cimport cython
cimport numpy as np
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastnn.native.ckernels cimport *
from fastnn.native.ops cimport ACTIVATION, DENSE, Op, Ops, address, round_up

import numpy

from fastnn.native.trainer import Trainer
from fastnn.program import aligned_zeros

np.import_array()

cdef enum:
    CHUNK_ROWS = 96            # rows that go through all ops together

cdef double SHORT_FLOPS = 2e4     # below it, to release the GIL costs more than it gives


cdef class NativeEngine:
    """Runs a program with the C kernels; see `fastnn.program.Engine`."""

    name = "native"

    cdef object program
    cdef Ops ops
    cdef list blocks
    cdef const int64_t **counters  # of changes in the blocks
    cdef int64_t *packed_at        # what they were when the kernels were packed
    cdef int block_count
    cdef object packed
    cdef object scratch        # workspace that no call is using, or None
    cdef int64_t chunk_bytes
    cdef int64_t inputs, outputs
    cdef int type_number
    cdef double row_flops

    def __cinit__(self):
        self.counters = NULL
        self.packed_at = NULL

    def __dealloc__(self):
        free(self.counters)
        free(self.packed_at)

    def __init__(self, program):
        self.program = program
        self.inputs, self.outputs = program.inputs, program.outputs
        self.type_number = np.NPY_FLOAT32 if program.dtype == numpy.float32 else np.NPY_FLOAT64
        self.ops = Ops(program, training=False)
        self._watch_blocks()
        self.row_flops = sum([2.0 * p.size for p in program.parameters])
        self._allocate()

    cdef int _watch_blocks(self) except -1:
        cdef int i
        self.blocks = list({id(p.block): p.block for p in self.program.parameters}.values())
        self.block_count = len(self.blocks)
        self.counters = <const int64_t **>calloc(self.block_count + 1, sizeof(int64_t *))
        self.packed_at = <int64_t *>calloc(self.block_count + 1, sizeof(int64_t))
        if self.counters == NULL or self.packed_at == NULL:
            raise MemoryError("no memory for the list of parameter blocks")
        for i in range(self.block_count):
            self.counters[i] = <const int64_t *>address(self.blocks[i].counter)
            self.packed_at[i] = -1
        return 0

    cdef int _allocate(self) except -1:
        """Room for packed kernels; and for activations, which is made when first needed."""
        cdef int64_t widest = 0, size = 0, width = self.ops.table.panel_width
        cdef int i
        cdef Op *op
        self.scratch = None
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            widest = max(widest, op.row)
            if op.kind == DENSE:
                size += round_up(op.outputs, width) * op.inputs
        self.chunk_bytes = CHUNK_ROWS * widest * self.ops.itemsize
        self.packed = aligned_zeros(size, self.program.dtype)
        cdef char *panels = address(self.packed)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                op.panels = panels
                panels += round_up(op.outputs, width) * op.inputs * self.ops.itemsize
        return 0

    cdef int _renew_panels(self) except -1:
        """Pack the kernels again if any block has changed."""
        cdef int i
        cdef bint changed = False
        cdef Op *op
        for i in range(self.block_count):
            if self.counters[i][0] != self.packed_at[i]:
                self.packed_at[i] = self.counters[i][0]
                changed = True
        if not changed:
            return 0
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                self.ops.table.pack(op.inputs, op.outputs, op.kernel, op.outputs, 1, op.panels)
        return 0

    def forward(self, np.ndarray x, np.ndarray out):
        """Write the program's output for the rows of `x` to `out`."""
        self._forward(x, out)

    cdef bint accepts(self, x):
        """Whether `x` can be read as it is: an aligned, C-contiguous matrix of the right type."""
        return (
            type(x) is np.ndarray
            and np.PyArray_TYPE(x) == self.type_number
            and np.PyArray_NDIM(x) == 2
            and np.PyArray_DIM(x, 1) == self.inputs
            and np.PyArray_IS_C_CONTIGUOUS(x)
            and np.PyArray_ISBEHAVED_RO(x)
        )

    cdef np.ndarray result(self, np.ndarray x):
        """Return the output for an `x` that is accepted."""
        cdef np.npy_intp[2] shape
        shape[0], shape[1] = np.PyArray_DIM(x, 0), self.outputs
        out = np.PyArray_EMPTY(2, shape, self.type_number, 0)
        self._forward(x, out)
        return out

    cdef int _forward(self, np.ndarray x, np.ndarray out) except -1:
        cdef int64_t rows = np.PyArray_DIM(x, 0)
        self._renew_panels()
        scratch, self.scratch = self.scratch, None
        if scratch is None:
            scratch = numpy.empty(2 * self.chunk_bytes + 64, numpy.uint8)
        cdef char *first = address(scratch)
        cdef const char *source = address(x)
        cdef char *target = address(out)
        first += -<size_t>first % 64
        if rows * self.row_flops < SHORT_FLOPS:
            self._run(rows, source, target, first)
        else:
            with nogil:
                self._run(rows, source, target, first)
        self.scratch = scratch
        return 0

    cdef int _run(self, int64_t rows, const char *x, char *out, char *scratch) except -1 nogil:
        cdef int64_t size = self.ops.itemsize, start = 0
        if self.ops.count == 0:
            memcpy(out, x, rows * self.inputs * size)
            return 0
        while start < rows:
            self._run_chunk(min(CHUNK_ROWS, rows - start), x + start * self.inputs * size,
                            out + start * self.outputs * size, scratch)
            start += CHUNK_ROWS
        return 0

    cdef int _run_chunk(self, int64_t rows, const char *x, char *out, char *scratch) except -1 nogil:
        """All ops over one chunk; the buffers take turns, and the last op writes to `out`."""
        cdef int i, turn = 0
        cdef int64_t row = self.inputs, next_row
        cdef const char *current = x
        cdef char *target
        cdef Op *op
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE or i == 0:
                if i == self.ops.count - 1:
                    target, next_row = out, op.outputs
                else:
                    target, next_row = scratch + turn * self.chunk_bytes, op.row
                    turn = 1 - turn
            elif i == self.ops.count - 1:
                target, next_row = out, op.outputs
            else:  # in place
                target, next_row = <char *>current, row
            if op.kind == DENSE:
                self._dense(op, rows, current, row, target, next_row)
            elif op.kind == ACTIVATION:
                self.ops.elementwise(op, rows, current, row, target, next_row)
            else:
                self.ops.custom_forward(op, rows, current, row, target, next_row)
            current, row = target, next_row
        return 0

    cdef int _dense(self, Op *op, int64_t rows, const char *x, int64_t x_row, char *y,
                    int64_t y_row) except -1 nogil:
        cdef fnn_gemm g
        g.m, g.n, g.k = rows, min(self.ops.stored(op.outputs), y_row), op.inputs
        g.a, g.a_row, g.a_col = x, x_row, 1
        g.b, g.b_row = op.panels, self.ops.table.panel_width
        g.b_panel = g.b_row * op.inputs
        g.c, g.c_row = y, y_row
        g.bias, g.saved = op.bias, NULL
        g.epilogue, g.activation, g.alpha = FNN_STORE_ACTIVATION, op.activation, op.alpha
        return self.ops.product(&g)

    def trainer(self, objective, rule, state, capacity):
        """Return a `Trainer` for batches of at most `capacity` rows."""
        return Trainer(self.program, objective, rule, state, capacity)


@cython.auto_pickle(False)  # those who inherit say what belongs into a copy
cdef class FastCall:
    """Base class of models: takes the usual calls straight to a `NativeEngine`.

    Calling a model of a few hundred weights takes less time than a Python function does to begin.
    All calls that are not of the usual kind go on to the methods `_call` and `_predict` of the
    class that inherits.
    """

    cdef public NativeEngine _native  # None: no call is of the usual kind

    def __call__(self, x, training=False):
        """Return the outputs for `x`, with the least work around the computation.

        Parameters
        ----------
        x : array_like of shape (n, features)
            Not searched for NaN and infinity: they go through the network. A model that does
            not know the shape of its input yet is built for that of `x`.
        training : bool, default False
            Let `Dropout` layers act, with another mask at each call.

        Returns
        -------
        ndarray of shape (n, outputs), of the model's dtype
        """
        if self._native is not None and training is False and self._native.accepts(x):
            return self._native.result(x)
        return self._call(x, training)

    def predict(self, x, batch_size=None, verbose="auto", callbacks=None):
        """Return the outputs for `x`.

        Parameters
        ----------
        x : array_like of shape (n, features)
            Finite numbers, as in `fit`; n may be 0.
        batch_size : int, optional
            Samples that are handed to the engine at a time. Default: 32 if callbacks ask for
            batches, else what suits the engine.
        verbose : {"auto", 0, 1, 2}, default "auto"
            1 and 2 print the time it took; "auto" is silent.
        callbacks : sequence of Callback, optional

        Returns
        -------
        ndarray of shape (n, outputs), of the model's dtype

        Raises
        ------
        TypeError, ValueError
            If `x` is not as described, or the model does not know the shape of its input yet.
        """
        cdef NativeEngine engine = self._native
        if (
            engine is not None
            and batch_size is None
            and callbacks is None
            and (verbose == "auto" or verbose == 0)
            and engine.accepts(x)
            and engine.ops.table.all_finite(np.PyArray_SIZE(x), address(x))
        ):
            return engine.result(x)
        return self._predict(x, batch_size, verbose, callbacks)
