"""The native engine: runs a whole program without Python in between.

The weights are packed into panels when they have changed. Chunks of rows go through all ops
before the next chunk, so that activations stay in the cache; through some of them transposed,
where that leaves fewer lanes empty. Doubles become floats chunk by chunk, too.
"""

cimport cython
cimport numpy as np
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastnn.native.ckernels cimport *
from fastnn.native.ops cimport (
    ACTIVATION,
    ADD,
    CUSTOM,
    DENSE,
    LAYER,
    USER,
    Op,
    Ops,
    address,
    call_flops,
    heed_signals,
    round_up,
)
from fastnn.native.team cimport (
    FNN_PARTS,
    Pace,
    call_alone,
    share_out_by_parts,
    shared_gemm,
    shared_pack,
    team_size,
)

import numpy

from fastnn._memory import zeroed_bytes
from fastnn.native.parts import WHOLE, Parts, flops_per_row, work_per_row
from fastnn.native.team import get_num_threads
from fastnn.native.trainer import Trainer
from fastnn.program import LayerOp

np.import_array()

cdef enum:
    CHUNK_ROWS = 96            # rows that go through all ops together: whole wide tiles of them,
    NARROW_CHUNK_ROWS = 128    # or, in narrow networks that transpose them, whole wide panels
    NARROW_BYTES = 512         # of a row of these at most,
    FAR_CHUNK_ROWS = 384       # or more rows where each chunk reads the weights from memory:
    NEAR_WEIGHTS = 3 << 22     # bytes that a third-level cache can be expected to keep
    SHARED_ROWS = 16           # from here on threads share rows, below the columns of each product
    INPUT = -1                 # the slot of the program's input

# A call, as those who share it see it.
cdef struct Call:
    void *engine
    int64_t rows               # of the whole call
    const char *x
    int64_t x_row, x_column    # strides, in bytes
    bint narrowing             # x holds doubles, for a program of floats
    bint *finite               # where to say if x is not; NULL if nobody asks
    char *out
    char *scratch              # `share_bytes` for each share
    int64_t share_bytes

cdef double SHORT_FLOPS = 2e4     # below it, to release the GIL costs more than it gives


# A product has its units in the lanes of vectors: ten units leave six of sixteen lanes empty. In a
# transposed chunk the rows lie in the lanes, which are all used; each output has the same bits. Per
# row it takes so many multiply-adds of whole vectors, or as long as these:
cdef enum:
    FULL_VECTORS = 4                  # of units that go through a product together
    LEAST_LANES = 8                   # with fewer, to transpose takes more than it saves

cdef double[FULL_VECTORS] LAST_VECTORS    # and the last, which wait for what they load
LAST_VECTORS[:] = [0.0, 2.0, 2.3, 3.6]
cdef double ENDS_OF_TILES = 1.05      # times as many as there would be without them
cdef double SAVED_BY_SOFTMAX = 24.0


cdef bint has_transpose(const Op *op, int64_t lanes) noexcept nogil:
    """Whether an op can work on a transposed chunk."""
    if op.kind == ACTIVATION and op.activation in (FNN_SOFTMAX, FNN_LOG_SOFTMAX):
        return op.outputs <= lanes
    return op.kind == DENSE or (op.kind == ACTIVATION and op.activation < FNN_SOFTMAX)


cdef double saved_by_transpose(const Op *op, int64_t lanes) noexcept nogil:
    """How much less a row takes then."""
    cdef int64_t vectors = (op.outputs + lanes - 1) // lanes
    cdef double in_columns = vectors - vectors % FULL_VECTORS + LAST_VECTORS[vectors % FULL_VECTORS]
    if op.kind == DENSE:
        return op.inputs * (in_columns - ENDS_OF_TILES * op.outputs / lanes)
    return SAVED_BY_SOFTMAX if op.activation >= FNN_SOFTMAX else 0.0


cdef double work_of_transpose(int64_t columns, int64_t lanes) noexcept nogil:
    """What it takes to transpose a chunk of so many columns."""
    return 6.0 + 8.0 / lanes * columns


cdef enum:
    SMALL_MATRIX = 4096        # elements of an x that is soon copied; for others checks take no time

cdef extern from "c/narrow.h" nogil:
    void fnn_narrow(int64_t, int64_t, const char *, int64_t, int64_t, float *)


cdef np.ndarray narrowed(np.ndarray x):
    """Return a matrix of doubles as one of floats. NumPy would warn of those that are too large."""
    cdef np.ndarray result = np.PyArray_EMPTY(2, np.PyArray_DIMS(x), np.NPY_FLOAT, 0)
    fnn_narrow(np.PyArray_DIM(x, 0), np.PyArray_DIM(x, 1), address(x), np.PyArray_STRIDE(x, 0),
               np.PyArray_STRIDE(x, 1), <float *>np.PyArray_DATA(result))
    return result


cdef object as_array(x):
    """Return the rows of a list as an array, or None: why not, the checks in Python know."""
    try:
        return numpy.asarray(x)
    except Exception:
        return None


# Whole numbers below these are exact.
cdef double EXACT_FLOATS = 2.0 ** 24
cdef double EXACT_DOUBLES = 2.0 ** 53


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
    cdef int64_t chunk_bytes   # of a slot: an op's output for a chunk of rows
    cdef int64_t share_bytes   # of all slots, and the room of the layers
    cdef int slots
    cdef readonly int transposed_first, transposed_end    # the ops that work on transposed chunks
    cdef int64_t transposed_bytes  # of an input or output of theirs for a chunk of rows
    cdef int64_t chunk_rows
    cdef int64_t inputs, outputs
    cdef int type_number
    cdef double row_flops, row_work
    cdef bint rows_can_be_shared
    cdef object parts          # of batches; None until they are asked for
    cdef Pace pace             # of training with so many rows, from one trainer to the next
    cdef int64_t paced_rows
    cdef readonly bint reads_indices    # the first op is an embedding: x is looked at by itself

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
        self.row_flops, self.row_work = flops_per_row(program), work_per_row(program)
        self._plan_sharing()
        self._plan_transposing()
        self._plan_chunks()
        self._allocate()
        self._plan_slots()
        first = program.ops[0] if program.ops else None
        self.reads_indices = isinstance(first, LayerOp) and first.kernel == "embedding"

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

    cdef int _plan_sharing(self) except -1:
        """Whether threads share the rows of a call, or each product."""
        cdef int i
        self.rows_can_be_shared = NARROW_CHUNK_ROWS * self.row_flops < call_flops()
        for i in range(self.ops.count):
            if self.ops.items[i].kind in (CUSTOM, USER):  # need the GIL
                self.rows_can_be_shared = False
        return 0

    cdef void _plan_transposing(self) noexcept:
        """Choose the ops that work on transposed chunks: those that save most by it.

        A chunk is transposed by one thread. What is added later has to lie in rows.
        """
        cdef int i, first, end
        cdef double saved, best = 0.0
        cdef int64_t lanes = self.ops.table.vector_width
        cdef const Op *op
        self.transposed_first = self.transposed_end = 0
        if lanes < LEAST_LANES or not self.rows_can_be_shared:
            return
        for i in range(self.ops.count):
            if self.ops.items[i].kind == ADD:
                return
        for first in range(self.ops.count):
            if self.ops.items[first].kind != DENSE:
                continue
            saved = -work_of_transpose(self.ops.items[first].inputs, lanes)
            for end in range(first + 1, self.ops.count + 1):
                op = &self.ops.items[end - 1]
                if not has_transpose(op, lanes):
                    break
                saved += saved_by_transpose(op, lanes)
                if saved - work_of_transpose(op.outputs, lanes) > best:
                    best = saved - work_of_transpose(op.outputs, lanes)
                    self.transposed_first, self.transposed_end = first, end

    cdef void _plan_chunks(self) noexcept:
        """Choose how many rows a chunk has."""
        cdef int i
        cdef int64_t widest = self.inputs, turned = self.ops.items[self.transposed_first].inputs
        cdef bint narrow
        for i in range(self.ops.count):
            widest = max(widest, self.ops.items[i].outputs)
            if self.transposed_first <= i < self.transposed_end:
                turned = max(turned, self.ops.items[i].outputs)
        narrow = self.transposed_end > 0 and widest * self.ops.itemsize <= NARROW_BYTES
        self.chunk_rows = NARROW_CHUNK_ROWS if narrow else CHUNK_ROWS
        if self.row_flops / 2 * self.ops.itemsize > NEAR_WEIGHTS:
            self.chunk_rows = FAR_CHUNK_ROWS
        self.transposed_bytes = self.chunk_rows * turned * self.ops.itemsize
        if self.transposed_end == 0:
            self.transposed_bytes = 0

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
        self.chunk_bytes = round_up(self.chunk_rows * widest * self.ops.itemsize, 64)
        self.packed = zeroed_bytes(size * self.ops.itemsize + 128)  # a cache line before and after
        cdef char *panels = address(self.packed)
        panels += -<size_t>panels % 64
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            op.to_result = i == self.ops.count - 1
            if op.kind == DENSE:
                op.panels = panels
                self._prepare(op)
                panels += round_up(op.outputs, width) * op.inputs * self.ops.itemsize
        return 0

    cdef int _plan_slots(self) except -1:
        """Choose the buffer of each op's output: not that of its input, unless it can work in
        place, and none that holds what will be added later."""
        cdef int i, slot = INPUT
        cdef int64_t room = 0
        cdef Op *op
        entering = []
        self.slots = 0
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            entering.append(slot)
            held = self._held_after(i, entering)
            in_place = op.kind in (ACTIVATION, CUSTOM, ADD) and op.inputs == op.outputs
            if not in_place or slot == INPUT or slot in held:
                slot = min(set(range(len(held) + 2)) - held - {slot})
            op.slot = slot
            self.slots = max(self.slots, slot + 1)
            if op.kind == LAYER:
                room = max(room, self.ops.layer_room(op, self.chunk_rows))
        self.share_bytes = self.slots * self.chunk_bytes + 2 * self.transposed_bytes
        self.share_bytes += round_up(room * self.ops.itemsize, 64)
        return 0

    cdef set _held_after(self, int i, list entering):
        """Return the slots that hold what is added after op `i`."""
        cdef int j
        held = set()
        for j in range(i + 1, self.ops.count):
            if self.ops.items[j].kind == ADD and self.ops.items[j].source <= i:
                held.add(entering[self.ops.items[j].source])
        return held

    cdef void _prepare(self, Op *op) noexcept:
        cdef fnn_gemm *g = &op.gemm
        g.n, g.k = op.outputs if op.to_result else self.ops.stored(op.outputs), op.inputs
        g.b, g.b_row = op.panels, self.ops.table.panel_width
        g.b_panel = g.b_row * op.inputs
        g.a_col, g.bias, g.saved, g.add = 1, op.bias, NULL, 0
        g.epilogue, g.activation = FNN_STORE_ACTIVATION, op.activation
        g.options = op.options

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
                shared_pack(self.ops.table, op.inputs, op.outputs, op.kernel, op.outputs, 1,
                            op.panels)
        return 0

    def forward(self, np.ndarray x, np.ndarray out):
        """Write the program's output for the rows of `x` to `out`."""
        self._forward(x, out, False)

    cdef bint accepts(self, x):
        """Whether `x` can be read as it is: an aligned, C-contiguous matrix of the right type.

        Indices that are none are for the layer to complain of.
        """
        return (
            type(x) is np.ndarray
            and np.PyArray_TYPE(x) == self.type_number
            and np.PyArray_NDIM(x) == 2
            and np.PyArray_DIM(x, 1) == self.inputs
            and np.PyArray_IS_C_CONTIGUOUS(x)
            and np.PyArray_ISBEHAVED_RO(x)
            and (not self.reads_indices or self._are_indices(x))
        )

    cdef np.ndarray taken(self, x):
        """Return `x` or a copy of it that can be read, be it as doubles; None if it takes more."""
        if self.accepts(x):
            return x
        if isinstance(x, (list, tuple)) and len(x) * self.inputs <= SMALL_MATRIX:
            x = as_array(x)
        if (
            type(x) is not np.ndarray
            or np.PyArray_NDIM(x) != 2
            or np.PyArray_DIM(x, 1) != self.inputs
            or np.PyArray_TYPE(x) > np.NPY_DOUBLE  # which come after those of bool, int and float
            or not np.PyArray_ISBEHAVED_RO(x)
        ):
            return None
        if self._is_narrowed(x) and not self.reads_indices:
            return x
        if np.PyArray_SIZE(x) > SMALL_MATRIX:
            return None
        x = narrowed(x) if self._is_narrowed(x) else np.PyArray_Cast(x, self.type_number)
        return x if self.accepts(x) else None

    cdef bint _is_narrowed(self, np.ndarray x) noexcept:
        return np.PyArray_TYPE(x) == np.NPY_DOUBLE and self.type_number == np.NPY_FLOAT

    cdef bint _are_indices(self, np.ndarray x) noexcept:
        """Whether each column with a table holds numbers of its rows.

        If all columns have tables, and as large ones, they are looked at as one.
        """
        cdef const double *column = self.ops.items[0].layer.options  # table, rows, width of each
        cdef const fnn_kernels *table = self.ops.table
        cdef const char *data = address(x)
        cdef int64_t j, rows = np.PyArray_DIM(x, 0), size = self.ops.itemsize
        cdef double most = EXACT_FLOATS if size == 4 else EXACT_DOUBLES
        cdef bint right = True, alike = self.inputs > 0
        for j in range(self.inputs):
            if column[3 * j] >= 0 and column[3 * j + 1] > most:
                return False
            alike &= column[3 * j] >= 0 and column[3 * j + 1] == column[1]
        if alike:
            return table.are_row_numbers(rows * self.inputs, data, 1, <int64_t>column[1])
        for j in range(self.inputs):
            if column[3 * j] >= 0:
                right &= table.are_row_numbers(
                    rows, data + j * size, self.inputs, <int64_t>column[3 * j + 1])
        return right

    cdef np.ndarray result(self, x, bint finite):
        """Return the output for `x`; None if it cannot be read, or has to be `finite` and is not."""
        cdef np.ndarray taken = self.taken(x)
        cdef np.npy_intp[2] shape
        if taken is None:
            return None
        shape[0], shape[1] = np.PyArray_DIM(taken, 0), self.outputs
        out = np.PyArray_EMPTY(2, shape, self.type_number, 0)
        return out if self._forward(taken, out, finite) else None

    cdef bint _forward(self, np.ndarray x, np.ndarray out, bint looking) except -1:
        """Write the output for `x`; if `looking`, stop and return False where that is not finite."""
        cdef Call call
        cdef double work = np.PyArray_DIM(x, 0) * self.row_flops
        cdef int shares = 1
        cdef bint finite = True
        call.engine, call.rows = <void *>self, np.PyArray_DIM(x, 0)
        call.x, call.out = address(x), address(out)
        call.x_row, call.x_column = self.inputs * self.ops.itemsize, self.ops.itemsize
        call.share_bytes = self.share_bytes
        call.finite = &finite if looking else NULL
        call.narrowing = self._is_narrowed(x)
        if call.narrowing:
            call.x_row, call.x_column = np.PyArray_STRIDE(x, 0), np.PyArray_STRIDE(x, 1)
            call.share_bytes += round_up(self.chunk_rows * self.inputs * self.ops.itemsize, 64)
        self._renew_panels()
        if self.rows_can_be_shared and call.rows >= SHARED_ROWS:
            shares = team_size(call.rows * self.row_work)
            if shares == 1:
                call_alone(call.rows * self.row_work)
        scratch, self.scratch = self.scratch, None
        if scratch is None or np.PyArray_DIM(scratch, 0) < shares * call.share_bytes + 64:
            scratch = numpy.empty(shares * call.share_bytes + 64, numpy.uint8)
        call.scratch = address(scratch)
        call.scratch += -<size_t>call.scratch % 64
        if work < SHORT_FLOPS:
            self._run_rows(&call, 0, call.rows, call.scratch)
        else:
            with nogil:
                self._run(&call, shares)
        self.scratch = scratch
        return finite

    cdef int _run(self, const Call *call, int shares) except -1 nogil:
        """Run in parts short enough for signals to be heeded in between."""
        cdef Call part = call[0]
        cdef double chunk_flops = self.chunk_rows * self.row_flops + 1
        cdef int64_t least = FNN_PARTS if shares > 1 else 1
        cdef int64_t chunks = max(<int64_t>(call_flops() / chunk_flops), least)
        cdef int64_t step = shares * chunks * self.chunk_rows
        cdef int64_t first = 0, count
        while first < call.rows:
            count = min(step, call.rows - first)
            part.x = call.x + first * call.x_row
            part.out = call.out + first * self.outputs * self.ops.itemsize
            if shares > 1:
                self._share_rows(&part, count, shares)
            else:
                self._run_rows(&part, 0, count, part.scratch)
            heed_signals(count * self.row_flops)
            first += count
        return 0

    cdef void _share_rows(self, Call *part, int64_t count, int shares) noexcept nogil:
        """Have threads take rows, a chunk or more at a time, and equally many if they can."""
        cdef int64_t chunks = (count + self.chunk_rows - 1) // self.chunk_rows
        cdef int64_t parts = min(round_up(chunks, shares), shares * FNN_PARTS)
        share_out_by_parts(shares, parts, count, 1, run_share, part)

    cdef int _run_rows(self, const Call *call, int64_t first, int64_t count,
                       char *scratch) except -1 nogil:
        """Run some rows of a call, in chunks of about the same size."""
        cdef int64_t row_bytes = self.outputs * self.ops.itemsize
        cdef int64_t chunks = (count + self.chunk_rows - 1) // self.chunk_rows
        cdef int64_t i, row, rows
        cdef const char *x
        cdef char *place
        for i in range(chunks):
            row = first + count * i // chunks
            rows = first + count * (i + 1) // chunks - row
            x = call.x + row * call.x_row
            if call.narrowing:
                place = scratch + self.share_bytes
                fnn_narrow(rows, self.inputs, x, call.x_row, call.x_column, <float *>place)
                x = place
            if call.finite != NULL and not self._stays_finite(call, rows, x):
                break
            self._run_chunk(call.rows, rows, x, call.out + row * row_bytes, scratch)
        return 0

    cdef bint _stays_finite(self, const Call *call, int64_t rows, const char *x) noexcept nogil:
        """Whether all that was looked at is finite, with the rows of this chunk; say so if not."""
        if not self.ops.table.all_finite(rows * self.inputs, x):
            call.finite[0] = False
        return call.finite[0]

    cdef int _run_chunk(self, int64_t all_rows, int64_t rows, const char *x, char *out,
                        char *scratch) except -1 nogil:
        """All ops over one chunk, each to its slot, and the last to `out`."""
        cdef int i
        cdef int64_t row = self.inputs, next_row
        cdef const char *current = x
        cdef char *target
        cdef char *turned = scratch + self.slots * self.chunk_bytes
        cdef Op *op
        cdef bint transposing = rows >= self.ops.table.panel_width
        if self.ops.count == 0:
            memcpy(out, x, rows * self.inputs * self.ops.itemsize)
        for i in range(self.ops.count):
            if transposing and self.transposed_first <= i < self.transposed_end - 1:
                continue
            op = &self.ops.items[i]
            target, next_row = scratch + op.slot * self.chunk_bytes, op.row
            if op.to_result:
                target, next_row = out, op.outputs
            if transposing and i == self.transposed_end - 1:
                self._transposed(all_rows, rows, current, row, target, next_row, turned)
            elif op.kind == DENSE:
                self._dense(op, all_rows, rows, current, row, target, next_row)
            elif op.kind == ACTIVATION:
                self.ops.elementwise(op, rows, current, row, target, next_row)
            elif op.kind == LAYER:
                self._layer(op, rows, current, row, target, next_row,
                            turned + 2 * self.transposed_bytes)
            elif op.kind == ADD:
                self._add(op, rows, x, scratch, current, row, target, next_row)
            elif op.kind == USER:
                self.ops.user_forward(op, rows, current, row, target, next_row, False)
            else:
                self.ops.custom_forward(op, rows, current, row, target, next_row)
            current, row = target, next_row
        return 0

    cdef void _transposed(self, int64_t all_rows, int64_t rows, const char *x, int64_t x_row,
                          char *y, int64_t y_row, char *turned) noexcept nogil:
        """The ops that were chosen for it, over a transposed chunk; whole vectors of its rows."""
        cdef const fnn_kernels *table = self.ops.table
        cdef int64_t lanes = round_up(rows, table.vector_width)
        cdef char *current = turned
        cdef char *other = turned + self.transposed_bytes
        cdef const Op *op = &self.ops.items[self.transposed_first]
        cdef int i
        table.transpose(rows, op.inputs, x, x_row, current, lanes, lanes)
        for i in range(self.transposed_first, self.transposed_end):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                self._transposed_dense(op, all_rows, lanes, current, other)
                current, other = other, current
            elif op.activation < FNN_SOFTMAX:
                table.activate(op.activation, op.options, op.outputs * lanes, current, current)
            else:
                table.softmax_columns(op.outputs, lanes, current, lanes,
                                      op.activation == FNN_LOG_SOFTMAX)
        table.transpose(op.outputs, rows, current, lanes, y, y_row,
                        min(self.ops.stored(op.outputs), y_row))

    cdef void _transposed_dense(self, const Op *op, int64_t all_rows, int64_t lanes,
                                const char *x, char *y) noexcept nogil:
        """The transposed kernel, read as it lies, times the transposed rows."""
        cdef fnn_gemm g = op.gemm
        g.whole_m, g.m, g.n = all_rows, op.outputs, lanes
        g.a, g.a_row, g.a_col = op.kernel, 1, op.outputs
        g.b, g.b_row, g.b_panel = x, lanes, self.ops.table.panel_width
        g.c, g.c_row = y, lanes
        g.epilogue = FNN_STORE_TRANSPOSE
        self.ops.table.gemm(&g)

    cdef void _layer(self, const Op *op, int64_t rows, const char *x, int64_t x_row, char *y,
                     int64_t y_row, char *room) noexcept nogil:
        cdef fnn_layer l = op.layer
        l.rows, l.training, l.room = rows, 0, room
        l.x, l.x_row, l.y, l.y_row = x, x_row, y, y_row
        l.first, l.count = 0, l.inputs if op.steps.forward_by == FNN_BY_COLUMNS else rows
        op.steps.forward(&l)

    cdef void _add(self, const Op *op, int64_t rows, const char *input, const char *scratch,
                   const char *x, int64_t x_row, char *y, int64_t y_row) noexcept nogil:
        cdef const char *other = input
        cdef int64_t other_row = self.inputs
        cdef const Op *below
        if op.source > 0:
            below = &self.ops.items[op.source - 1]
            other, other_row = scratch + below.slot * self.chunk_bytes, below.row
        self.ops.table.add_matrices(rows, op.outputs, x, x_row, other, other_row, y, y_row)

    cdef int _dense(self, const Op *op, int64_t all_rows, int64_t rows, const char *x,
                    int64_t x_row, char *y, int64_t y_row) except -1 nogil:
        cdef fnn_gemm g = op.gemm
        g.whole_m, g.m = all_rows, rows
        g.a, g.a_row, g.c, g.c_row = x, x_row, y, y_row
        if not self.rows_can_be_shared:
            return self.ops.product(&g)
        # No chunk keeps signals waiting. A short one is not worth the question for the team.
        if rows * self.row_flops < SHORT_FLOPS:
            self.ops.table.gemm(&g)
        else:
            shared_gemm(self.ops.table, &g)
        return 0

    def _parts_for(self, objective):
        """Return in what parts batches are worked on."""
        if objective.loss.kernel is None or any([m.kernel is None for m in objective.metrics]):
            return WHOLE
        if self.parts is None:
            self.parts = Parts.of(self.program)
        return self.parts

    def room_for(self, objective, batch_size):
        """Return for how many rows, and how many gradients of all parameters, a trainer has room.

        It works on a batch in parts, each pass over one has its gradients, and each part at once.
        """
        parts = self._parts_for(objective)
        at_once = parts.at_once(batch_size)
        passes = min(get_num_threads(), at_once)
        rows = min(batch_size, passes * parts.longest(batch_size))
        return rows, passes + (at_once if at_once > 1 else 0)

    def trainer(self, objective, rule, state, capacity):
        """Return a `Trainer` for batches of at most `capacity` rows."""
        if self.pace is None or self.paced_rows != capacity:
            self.pace, self.paced_rows = Pace(), capacity
        parts = self._parts_for(objective)
        return Trainer(self.program, objective, rule, state, capacity, parts, self.pace)


ctypedef int (*rows_function)(void *, const Call *, int64_t, int64_t, char *) except -1 nogil


cdef int run_rows_of(NativeEngine engine, const Call *call, int64_t first, int64_t count,
                     char *scratch) except -1 nogil:
    return engine._run_rows(call, first, count, scratch)


cdef void run_share(void *context, int64_t share, int64_t first, int64_t count) noexcept nogil:
    """Some rows of a call, with room of their own. Nothing in them can raise.

    Who works on a share has no GIL to count references, so the engine passes as a pointer.
    """
    cdef Call *call = <Call *>context
    cdef rows_function run = <rows_function>run_rows_of
    run(call.engine, call, first, count, call.scratch + share * call.share_bytes)


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
        cdef NativeEngine engine = self._native
        cdef np.ndarray result
        if engine is not None and training is False:
            result = engine.result(x, finite=False)
            if result is not None:
                return result
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
        cdef np.ndarray result
        if (
            engine is not None
            and batch_size is None
            and callbacks is None
            and (verbose == "auto" or verbose == 0)
        ):
            result = engine.result(x, finite=True)
            if result is not None:
                return result
        return self._predict(x, batch_size, verbose, callbacks)
