"""Training and evaluation: many steps in one call, without the GIL.

A step is a pass over its rows (passes.pyx), penalties, the update of the parameters, and what
follows from it. A large batch is passed over in parts. Unless there are many weights, threads share
the parts and not what they consist of: each part writes its gradients to a place of its own, and
these are added in the order of the parts, whoever made them.

An exception, an interrupt for one, drops the step that is being computed and leaves everything as
the last finished one left it: nothing but the update and the constraints after it change
parameters, and nothing raises there but constraints written in Python, before which a copy is made.
"""

cimport numpy as np
from cpython.ref cimport PyObject
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastnn.native.ckernels cimport *
from fastnn.native.ops cimport (
    ACTIVATION,
    DENSE,
    DROPOUT,
    LAYER,
    Op,
    Ops,
    address,
    heed_signals,
)
from fastnn.native.orthogonal cimport (
    Orthogonal,
    begin_orthogonal,
    orthogonal_block,
    prepare_orthogonal,
)
from fastnn.native.passes cimport MOST_DEFERRED_ROWS, Batch, Pass
from fastnn.native.team cimport *

import numpy

from fastnn._checks import UPDATE_ARGUMENTS, check_orthogonal
from fastnn.native.kernels import UPDATE_CODES
from fastnn.native.parts import flops_per_row
from fastnn.native.team import get_num_threads
from fastnn.program import NotFiniteError, aligned_zeros

np.import_array()

cdef extern from "c/subnormals.h" nogil:
    uint64_t fnn_flush_subnormals()
    void fnn_restore_subnormals(uint64_t before)

cdef enum:
    # A large kernel, its gradient and two moments do not all stay in the second-level cache, so the
    # gradient goes out of it and comes back for the update. Taken part by part, as its product is
    # worked out, it stays there. The more rows, the less that weighs. No signal is heeded
    # meanwhile, so the product must not be too long.
    LARGE_KERNEL = 1 << 18     # bytes
    DEFERRED_FLOPS = 1 << 30

    # What finding a row by its number takes, counted in elements of an update among all rows. Before
    # 1,024 numbers are worth it a table has to have 8,192 rows of 4, or 1,500 of 64.
    NAMED_ROW = 28

    TOGETHER = 8               # parts that are passed over at a time, at most: MOST_TOGETHER

# A run of parameters that lie side by side, and what belongs to them.
cdef struct Range:
    int64_t size
    char *values
    char *gradient
    void *slots[FNN_SLOTS]
    char *average
    char *accumulated
    Op *source                 # of a single parameter, which has an update of its own: a kernel
    int weight                 # whose gradient may wait for it, or a weight that has it by rows
    int64_t width              # columns of it

cdef enum PenaltyKind:
    L1_L2
    ORTHOGONAL
    OWN_PENALTY

cdef struct Penalty:
    PenaltyKind kind
    int64_t size
    double l1, l2
    Orthogonal orthogonal
    int own                    # number of the Python regularizer
    char *values
    char *gradient

# Columns are held to norms between two bounds, or all numbers to at least 0.
cdef struct Constraint:
    bint of_norms
    int64_t rows, columns
    double low, high, rate
    char *values


# Parts of a batch that are passed over together, those of each share on one thread.
cdef struct Region:
    PyObject **crew            # passes, for each share one
    const Batch *batch
    const int64_t *order
    int64_t start, first, parts
    bint training
    uint64_t iteration
    char *places[TOGETHER]     # where each part's gradients go,
    double *sums               # and their sums
    int sum_count


cdef bint leaves_others_alone(const fnn_update *u) noexcept nogil:
    """Whether nothing changes where the gradient is zero."""
    if u.kind == FNN_SGD:
        return u.slots[0] == NULL and u.hyper[3] == 0
    return u.kind == FNN_ADAGRAD and u.hyper[1] > 0 and u.hyper[2] == 0


cdef void choose_part(Batch *batch, int64_t part, int64_t parts) noexcept nogil:
    """Let the batch stand at one of so many parts of about the same size."""
    batch.first = batch.whole * part // parts
    batch.rows = batch.whole * (part + 1) // parts - batch.first


ctypedef int (*parts_function)(PyObject *, Region *, int64_t, int64_t) except -1 nogil


cdef int pass_over(Pass passing, Region *p, int64_t first, int64_t count) except -1 nogil:
    cdef Batch batch = p.batch[0]
    cdef int64_t i
    batch.add = False
    passing.ops.quiet = True
    for i in range(first, first + count):
        choose_part(&batch, p.first + i, p.parts)
        passing.write_gradients_to(p.places[i])
        passing.run(&batch, p.order, p.start + batch.first, p.training, p.iteration)
        memcpy(p.sums + i * p.sum_count, passing.sums, p.sum_count * sizeof(double))
    passing.ops.quiet = False
    return 0


cdef void run_parts(void *context, int64_t share, int64_t first, int64_t count) noexcept nogil:
    """Run the parts of a share. Who does so has no GIL to count references: passes as pointers."""
    cdef Region *p = <Region *>context
    cdef parts_function run = <parts_function>pass_over
    run(p.crew[share], p, first, count)


cdef void *listed(size_t count, size_t size) except NULL:
    """Return zeroed memory for so many things."""
    cdef void *memory = calloc(count + 1, size)
    if memory == NULL:
        raise MemoryError("no memory for the lists of a trainer")
    return memory


cdef double seconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


cdef class Trainer:
    """Runs training and evaluation steps; see `fastnn.program.Trainer`."""

    cdef readonly np.ndarray totals
    cdef public int64_t rows

    cdef readonly object state
    cdef object program, objective, rule
    cdef Pass passing          # over the rows of a batch, or of a part of it
    cdef object parts          # in which batches are passed over; see fastnn.native.parts
    cdef int64_t usual         # rows of the steps of a run, but the last may have less;
    cdef int64_t in_usual, in_last  # and the parts of these steps
    cdef int64_t divided, divided_by  # the rows of that run, and of its batches
    cdef Ops ops               # of the pass
    cdef int crew_count        # of parts that can be passed over at once: `passing`,
    cdef list companions       # and others like it
    cdef PyObject *crew[TOGETHER]
    cdef char *gradients       # of the whole batch
    cdef int64_t gradient_size # elements of them
    cdef char *places          # of the gradients of parts at once; NULL if there is only one
    cdef list blocks
    cdef list arrays           # keeps everything alive that the structs point into
    cdef const fnn_kernels *table
    cdef int64_t itemsize
    cdef int sum_count         # of the loss and the metrics
    cdef double *sums          # of the step under way
    # Penalties and parameters
    cdef Penalty *penalties
    cdef int penalty_count
    cdef list own_penalties    # (parameter, regularizer) of those written in Python
    cdef Constraint *constraints
    cdef int constraint_count
    cdef list own_constraints  # parameters with a constraint that has to be called
    cdef int own_constraint_count
    cdef list backups          # of what an update changes: (array, copy)
    cdef Range *ranges         # runs of trainable parameters, for the update
    cdef int range_count
    cdef Range *trainables     # one by one, for clipping
    cdef int trainable_count
    cdef double row_flops      # of the products of a training step, for each row of the batch
    cdef double row_work       # and of all that parts consist of
    cdef bint long_products    # of parts, which several threads may share
    cdef int not_finite        # whether the step under way met NaN or infinity in gathered rows of x
    cdef Pace pace             # also of other trainers of the same model, one after the other
    cdef bint update_follows   # nothing but penalties works on gradients before the update,
    cdef bint at_once          # and in this step all rows are passed over at once
    cdef int64_t deferred_rows # of steps in which gradients may wait for the update, at most
    cdef fnn_optimizer optimizer
    cdef bint own_step         # which the user wrote
    cdef list trainable        # the parameters that are trained
    cdef int64_t accumulation  # steps of training to one of the optimizer
    cdef double ema_momentum   # of moving averages, if there are any
    cdef bint averaging
    cdef int64_t overwrite     # steps after which averages become the parameters, 0: never
    cdef double clipnorm, clipvalue, global_clipnorm  # 0: none
    cdef bint clipping         # by any of them

    def __cinit__(self):
        self.sums = NULL
        self.penalties = NULL
        self.constraints = NULL
        self.ranges = NULL
        self.trainables = NULL

    def __dealloc__(self):
        free(self.sums)
        free(self.penalties)
        free(self.constraints)
        free(self.ranges)
        free(self.trainables)

    def __init__(self, program, objective, rule, state, capacity, parts, Pace pace not None):
        rule.check(state)
        self.program, self.objective, self.rule, self.state = program, objective, rule, state
        self.passing = Pass(program, objective, parts.longest(capacity))
        self.ops = self.passing.ops
        self.table, self.itemsize = self.ops.table, self.ops.itemsize
        self.blocks = list({id(p.block): p.block for p in program.parameters}.values())
        self.row_flops = 3 * flops_per_row(program)
        self.pace = pace
        self.arrays = []
        self._plan_parts(parts, capacity)
        self._plan_update()
        self._plan_deferral()
        self._list_trainables()
        self._list_penalties()
        self._list_constraints()
        self.reset()

    cdef int _plan_parts(self, parts, capacity) except -1:
        self.parts, self.row_work = parts, parts.flops
        self.long_products = parts.long_products
        self.gradients = address(self.passing.slopes)
        self.gradient_size = self.program.layout.size
        self.crew[0], self.crew_count, self.companions = <PyObject *>self.passing, 1, []
        self.sum_count = 1 + self.passing.metric_count
        self.totals = numpy.zeros(self.sum_count)
        self.sums = <double *>listed((1 + TOGETHER) * self.sum_count, sizeof(double))
        if parts.at_once(capacity) > 1:
            size = parts.at_once(capacity) * self.gradient_size
            self.arrays.append(aligned_zeros(size, self.program.dtype))
            self.places = address(self.arrays[-1])
        return 0

    cdef int _divide(self, int64_t rows, int64_t size) except -1:
        """Say in how many parts the steps of a run over so many rows are passed over.

        If threads share them, have a pass for each thread.
        """
        cdef Pass companion
        if rows == self.divided and size == self.divided_by and self.places == NULL:
            return 0
        self.divided, self.divided_by = rows, size
        self.usual = min(rows, size)
        self.in_usual, self.in_last = self._count(self.usual), self._count(rows % size)
        while (self.places != NULL
               and self.crew_count < min(self.in_usual, get_num_threads(), TOGETHER)):
            companion = Pass(self.program, self.objective, self.passing.capacity)
            self.companions.append(companion)
            self.crew[self.crew_count] = <PyObject *>companion
            self.crew_count += 1
        return 0

    cdef int64_t _count(self, int64_t rows) except -1:
        cdef int64_t capacity = self.passing.capacity
        return max(<int64_t>self.parts.count(rows), (rows + capacity - 1) // capacity)

    cdef Range _range(self, parameter):
        cdef Range r
        cdef int64_t offset = self.program.layout.offsets[parameter] * self.itemsize
        cdef int i
        r.size = parameter.size
        r.values = address(parameter.array)
        r.gradient = self.passing.gradient_of(parameter)
        for i in range(FNN_SLOTS):
            r.slots[i] = NULL
        for i, slot in enumerate(self.state.slots[:FNN_SLOTS]):
            r.slots[i] = address(slot) + offset
        r.average = r.accumulated = NULL
        r.source = NULL
        if self.state.average is not None:
            r.average = address(self.state.average) + offset
        if self.state.accumulated is not None:
            r.accumulated = address(self.state.accumulated) + offset
        return r

    cdef int _list_trainables(self) except -1:
        """Trainable parameters, one by one and, where they lie side by side, in runs."""
        self.trainable = [p for p in self.program.parameters if p.trainable]
        cdef Range r
        cdef Range *last
        self.trainables = <Range *>listed(len(self.trainable), sizeof(Range))
        self.ranges = <Range *>listed(len(self.trainable), sizeof(Range))
        for parameter in self.trainable:
            r = self._range(parameter)
            self.trainables[self.trainable_count] = r
            self.trainable_count += 1
            self._find_source(&r)
            if r.source != NULL:
                r.width = parameter.shape[-1]
            last = &self.ranges[self.range_count - 1] if self.range_count > 0 else NULL
            if last != NULL and last.source == NULL and r.source == NULL:
                # Padding between neighbours is zero in values and gradients, and stays zero.
                gap = r.gradient - (last.gradient + last.size * self.itemsize)
                if gap < 64 and r.values - last.values == r.gradient - last.gradient:
                    last.size = (r.gradient - last.gradient) // self.itemsize + r.size
                    continue
            self.ranges[self.range_count] = r
            self.range_count += 1
        return 0

    cdef void _find_source(self, Range *r) noexcept:
        """Find the op that lets a parameter have an update of its own."""
        cdef int i, weight
        cdef Op *op
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.deferrable and op.kernel_gradient == r.gradient:
                r.source = op
            if op.by_rows:
                for weight in range(op.weights):
                    if op.layer.weight_gradients[weight] == r.gradient:
                        r.source, r.weight = op, weight

    cdef int _list_penalties(self) except -1:
        penalised = [
            p for p in self.program.parameters if p.trainable and p.regularizer is not None
        ]
        cdef Penalty *penalty
        self.own_penalties = []
        self.penalties = <Penalty *>listed(len(penalised), sizeof(Penalty))
        for parameter in penalised:
            penalty = &self.penalties[self.penalty_count]
            penalty.size = parameter.size
            penalty.values = address(parameter.array)
            penalty.gradient = self.passing.gradient_of(parameter)
            self._plan_penalty(penalty, parameter)
            self.penalty_count += 1
        return 0

    cdef int _plan_penalty(self, Penalty *penalty, parameter) except -1:
        regularizer = parameter.regularizer
        if regularizer.kernel == "l1_l2":
            penalty.kind = L1_L2
            penalty.l1, penalty.l2 = regularizer.l1, regularizer.l2
        elif regularizer.kernel == "orthogonal":
            check_orthogonal(parameter.array, regularizer.factor, regularizer.mode)
            penalty.kind = ORTHOGONAL
            self.arrays += prepare_orthogonal(
                &penalty.orthogonal, parameter.shape, self.program.dtype, regularizer.factor,
                regularizer.mode,
            )
        else:
            penalty.kind = OWN_PENALTY
            penalty.own = len(self.own_penalties)
            self.own_penalties.append((parameter, regularizer))
        return 0

    cdef int _list_constraints(self) except -1:
        """Constraints that have a kernel, and those that have to be called."""
        constrained = [
            p for p in self.program.parameters if p.trainable and p.constraint is not None
        ]
        self.own_constraints = [p for p in constrained if p.constraint.kernel is None]
        self.own_constraint_count = len(self.own_constraints)
        self.constraints = <Constraint *>listed(len(constrained), sizeof(Constraint))
        for parameter in constrained:
            if parameter.constraint.kernel is not None:
                self._add_constraint(&self.constraints[self.constraint_count], parameter)
                self.constraint_count += 1
        self.backups = []
        if self.own_constraints:
            changed = [p.array for p in self.program.parameters if p.trainable]
            self.backups = [(array, array.copy()) for array in changed + self.state.buffers]
        return 0

    cdef int _add_constraint(self, Constraint *c, parameter) except -1:
        options = parameter.constraint.options
        c.of_norms = parameter.constraint.kernel == "min_max_norm"
        c.rows = parameter.shape[0]
        c.columns = parameter.size // c.rows
        c.low = options.get("min_value", 0.0)
        c.high = options.get("max_value", 1.0)
        c.rate = options.get("rate", 1.0)
        c.values = address(parameter.array)
        return 0

    cdef int _plan_deferral(self) except -1:
        """Find kernels whose gradients nobody but the update needs, and it part by part.

        They can be those of the two lowest ops with any: what is multiplied for them is still in
        the two buffers of gradients after the backward pass.
        """
        cdef int i, found = 0
        cdef int64_t size = 0
        cdef Op *op
        if not self.update_follows:
            return 0
        for i in range(self.passing.lowest, self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                kernel = self.ops.parameters[i][0]
                op.deferrable = (
                    kernel.trainable
                    and kernel.regularizer is None
                    and kernel.size * self.itemsize >= LARGE_KERNEL
                )
                size += op.deferrable * <int64_t>kernel.size
                found += 1
            elif op.kind not in (ACTIVATION, DROPOUT) or op.inputs != op.outputs:
                break
            if found == 2 or self.passing.begins_branch(i):
                break
        if size > 0:
            self.deferred_rows = min(<int64_t>MOST_DEFERRED_ROWS, DEFERRED_FLOPS // (2 * size))
        return 0

    cdef int _plan_update(self) except -1:
        rule = self.rule
        self.own_step = rule.kernel is None
        if rule.kernel is not None:
            self.optimizer = UPDATE_CODES[rule.kernel]
            if rule.hyperparameters != UPDATE_ARGUMENTS[rule.kernel]:
                raise ValueError(
                    f"an optimizer with the kernel '{rule.kernel}' must have the arguments "
                    f"{UPDATE_ARGUMENTS[rule.kernel]}, got {rule.hyperparameters}"
                )
        self.accumulation = rule.accumulation
        self.averaging = rule.ema_momentum is not None
        self.ema_momentum = rule.ema_momentum or 0.0
        self.overwrite = rule.ema_overwrite_frequency or 0
        self.clipnorm = rule.clipnorm or 0.0
        self.clipvalue = rule.clipvalue or 0.0
        self.global_clipnorm = rule.global_clipnorm or 0.0
        self.clipping = self.clipnorm != 0 or self.clipvalue != 0 or self.global_clipnorm != 0
        self.update_follows = not (self.own_step or self.accumulation > 1 or self.clipping)
        return 0

    def reset(self):
        """Set `totals` and `rows` to zero."""
        self.totals[:] = 0
        self.rows = 0

    # Runs of steps

    def train(self, data, np.ndarray order, batch_size, first, np.ndarray hyperparameters, budget,
              np.ndarray ends=None):
        """Run training steps; see `fastnn.program.Trainer.train`."""
        cdef int64_t step = 0, steps = len(hyperparameters), rows = len(data), row, epoch
        cdef int64_t size = batch_size, start = first, of_epoch = (rows + size - 1) // size
        cdef int64_t last = of_epoch if ends is None else of_epoch * len(ends)
        cdef int64_t iteration = self.state.iterations
        cdef Py_ssize_t width = len(self.rule.hyperparameters)
        cdef const double *hyper = self._rows_of(hyperparameters)
        cdef const int64_t *visits = NULL if order is None else <const int64_t *>address(order)
        cdef double *sums = NULL if ends is None else <double *>address(ends)
        cdef Batch batch = self._batch(data)
        self._divide(rows, size)
        cdef double work = self._work_to_share(self.usual)
        cdef double now = seconds()
        cdef bint paced = get_num_threads() > 1
        cdef uint64_t float_mode = fnn_flush_subnormals()
        cdef double end = now + <double>budget
        self.pace.begin(now)
        try:
            with nogil:
                while step < steps and start + step < last:
                    keep_alone(paced and self.pace.alone)
                    wake_team(work)
                    epoch = (start + step) // of_epoch
                    row = (start + step - epoch * of_epoch) * size
                    batch.whole = min(size, rows - row)
                    self._step(&batch, NULL if visits == NULL else visits + epoch * rows, row,
                               iteration + step, hyper + step * width)
                    if self.not_finite:
                        break
                    step += 1
                    if sums != NULL and row + batch.whole == rows:
                        self._end_epoch(sums + epoch * self.sum_count)
                    now = seconds()
                    if paced:
                        self.pace.end_step(now)
                    if now > end:
                        break
        finally:
            keep_alone(False)
            fnn_restore_subnormals(float_mode)
            self.state.iterations = iteration + step
            for block in self.blocks:
                block.touch()
        if self.not_finite:
            raise NotFiniteError()
        return step

    def evaluate(self, data, batch_size, first, budget):
        """Run evaluation steps; see `fastnn.program.Trainer.evaluate`."""
        cdef int64_t step = 0, size = batch_size, start = first, rows = len(data), row
        cdef double end = seconds() + <double>budget
        cdef Batch batch = self._batch(data)
        self._divide(rows, size)
        cdef uint64_t float_mode = fnn_flush_subnormals()
        try:
            with nogil:
                while (start + step) * size < rows:
                    row = (start + step) * size
                    batch.whole = min(size, rows - row)
                    self._pass(&batch, NULL, row, False, 0)
                    self._add_penalties(batch.whole, False)
                    self._commit(&batch)
                    step += 1
                    if seconds() > end:
                        break
        finally:
            fnn_restore_subnormals(float_mode)
        return step

    cdef const double *_rows_of(self, np.ndarray hyperparameters) except NULL:
        """Where the values for the steps are; check that there are as many as will be read."""
        if (
            hyperparameters.ndim != 2
            or hyperparameters.shape[1] != len(self.rule.hyperparameters)
            or hyperparameters.dtype != numpy.float64
            or not hyperparameters.flags.c_contiguous
        ):
            raise ValueError(
                "hyperparameters must be a C-contiguous array of float64 with a column for each of "
                f"{self.rule.hyperparameters}, got shape {(<object>hyperparameters).shape}, "
                f"{hyperparameters.dtype}"
            )
        return <const double *>address(hyperparameters)

    def gradient(self, data, np.ndarray out):
        """Write the gradient of the loss over `data` to `out`; see `fastnn.program.Trainer`."""
        cdef Batch batch = self._batch(data)
        cdef uint64_t iteration = self.state.iterations
        batch.whole = len(data)
        self._divide(batch.whole, batch.whole)
        cdef uint64_t float_mode = fnn_flush_subnormals()
        try:
            with nogil:
                wake_team(self._work_to_share(batch.whole))
                self.passing.deferring = False
                self._pass(&batch, NULL, 0, True, iteration)
                self._add_penalties(batch.whole, True)
                self._commit(&batch)
        finally:
            fnn_restore_subnormals(float_mode)
        layout = self.program.layout
        out[...] = 0
        for parameter in self.trainable:
            layout.view(out, parameter)[...] = layout.view(self.passing.slopes, parameter)

    cdef Batch _batch(self, data):
        cdef Batch batch
        batch.all_x = address(data.x)
        batch.sparse = data.y.ndim == 1
        batch.all_y = address(data.y)
        batch.all_weights = NULL if data.weights is None else address(data.weights)
        self.not_finite = False
        batch.not_finite = &self.not_finite
        return batch

    cdef int64_t _parts_of(self, int64_t rows) noexcept nogil:
        """In how many parts a step of so many rows is passed over."""
        return self.in_usual if rows == self.usual else self.in_last

    cdef double _work_to_share(self, int64_t rows) noexcept nogil:
        """The operations of a step with so many rows that may be done by several threads."""
        cdef bint in_parts = self.places != NULL and self._parts_of(rows) > 1
        return rows * (self.row_work if in_parts else self.row_flops)

    cdef int _pass(self, Batch *batch, const int64_t *order, int64_t start, bint training,
                   uint64_t iteration) except -1 nogil:
        """Go through a step's rows, from `start` on in the data, in parts of about the same size.

        Leaves the sums of loss and metrics and, in training, the gradients.
        """
        cdef int64_t parts = self._parts_of(batch.whole), i
        memset(self.sums, 0, self.sum_count * sizeof(double))
        if parts > 1 and self.places != NULL:
            return self._pass_together(batch, order, start, training, iteration, parts)
        self.passing.write_gradients_to(self.gradients)
        for i in range(parts):
            choose_part(batch, i, parts)
            batch.add = i > 0
            self.passing.run(batch, order, start + batch.first, training, iteration)
            self._add_sums(self.passing.sums)
        return 0

    cdef int _pass_together(self, const Batch *batch, const int64_t *order, int64_t start,
                            bint training, uint64_t iteration, int64_t parts) except -1 nogil:
        """Go through so many parts, some of them at a time, and add up what they leave, in order."""
        cdef Region p
        cdef int64_t size = self.gradient_size * self.itemsize, threads, count, i
        p.crew, p.batch, p.order, p.start, p.parts = self.crew, batch, order, start, parts
        p.training, p.iteration = training, iteration
        p.sums, p.sum_count = self.sums + self.sum_count, self.sum_count
        p.first = 0
        while p.first < parts:
            count = min(<int64_t>TOGETHER, parts - p.first)
            threads = team_size(self.row_work * batch.whole * count / parts)
            for i in range(count):
                p.places[i] = self.places + i * size
            if p.first == 0:
                p.places[0] = self.gradients
            if self.long_products and threads > count:
                threads = 1  # goes from part to part, and all share the products of each
            share_out(min(threads, <int64_t>self.crew_count), count, 1, run_parts, &p)
            for i in range(count):
                self._add_sums(p.sums + i * self.sum_count)
                if training and p.first + i > 0:
                    self._add_gradients(p.places[i])
            p.first += count
            heed_signals(self.row_work * batch.whole * count / parts)
        return 0

    cdef void _add_gradients(self, const char *place) noexcept nogil:
        """Add the gradients of a part to those of the parts before it."""
        cdef fnn_update u
        u.kind, u.hyper, u.n = FNN_ACCUMULATE, NULL, self.gradient_size
        u.parameter, u.gradient = self.gradients, place
        shared_update(self.table, &u)

    cdef void _add_sums(self, const double *sums) noexcept nogil:
        """Add a part's sums to those of the step."""
        cdef int i
        for i in range(self.sum_count):
            self.sums[i] += sums[i]

    cdef int _step(self, Batch *batch, const int64_t *order, int64_t start, uint64_t iteration,
                   const double *hyper) except -1 nogil:
        self.at_once = self.update_follows and self._parts_of(batch.whole) == 1
        self.passing.deferring = self.at_once and batch.whole <= self.deferred_rows
        self._pass(batch, order, start, True, iteration)
        if self.not_finite:
            return 0
        self._add_penalties(batch.whole, True)
        if self.own_constraint_count:
            self._back_up()
        if self._accumulate(iteration):
            self._clip()
            self._update_or_call(hyper, iteration)
        self._average(iteration)
        self._constrain()
        self.passing.renew_statistics()
        self._commit(batch)
        return 0

    cdef void _commit(self, Batch *batch) noexcept nogil:
        """Add the finished step's sums to the totals."""
        cdef double *totals = <double *>np.PyArray_DATA(self.totals)
        cdef int i
        for i in range(self.sum_count):
            totals[i] += self.sums[i]
        self.rows += batch.whole

    cdef void _end_epoch(self, double *sums) noexcept nogil:
        """Move the totals to `sums`."""
        cdef size_t size = self.sum_count * sizeof(double)
        memcpy(sums, np.PyArray_DATA(self.totals), size)
        memset(np.PyArray_DATA(self.totals), 0, size)

    cdef int _add_penalties(self, int64_t rows, bint gradients) except -1 nogil:
        """Add the regularisers' penalties to the loss, and their gradients to the gradients."""
        cdef Penalty *p
        cdef double penalty = 0
        cdef int i
        for i in range(self.penalty_count):
            p = &self.penalties[i]
            if p.kind == ORTHOGONAL:
                penalty += self._orthogonal_penalty(p, gradients)
            elif p.kind == OWN_PENALTY:
                penalty += self._own_penalty(p, gradients)
            else:
                penalty += self._l1_l2_penalty(p, gradients)
        self.sums[0] += penalty * rows
        return 0

    cdef double _l1_l2_penalty(self, const Penalty *p, bint gradients) noexcept nogil:
        cdef double penalty = 0
        if p.l1 != 0:
            penalty += p.l1 * self.table.sum_of_magnitudes(p.size, p.values)
        if p.l2 != 0:
            penalty += p.l2 * self.table.sum_of_squares(p.size, p.values)
        if gradients:
            self.table.penalise(p.size, p.l1, p.l2, p.values, p.gradient)
        return penalty

    cdef double _orthogonal_penalty(self, Penalty *p, bint gradients) except? -1 nogil:
        cdef double penalty = 0
        cdef int64_t first = 0
        begin_orthogonal(&p.orthogonal, p.values)
        while first < p.orthogonal.vectors.count:
            penalty += orthogonal_block(&p.orthogonal, first, p.gradient if gradients else NULL)
            heed_signals(p.orthogonal.block_flops)
            first += p.orthogonal.block
        return penalty

    cdef double _own_penalty(self, const Penalty *p, bint gradients) except? -1 with gil:
        parameter, regularizer = self.own_penalties[p.own]
        cdef double penalty = regularizer(parameter.value)
        if gradients:
            slope = numpy.array(regularizer.gradient(parameter.value), self.program.dtype)
            check_returned(slope, parameter, f"{type(regularizer).__name__}.gradient")
            gradient = self.program.layout.view(self.passing.slopes, parameter)
            gradient += slope
        return penalty

    # Update

    cdef bint _accumulate(self, uint64_t iteration) noexcept nogil:
        """Whether it is time for a step of the optimizer; if not, keep the gradients for it."""
        cdef fnn_update u
        cdef bint complete = (iteration + 1) % self.accumulation == 0
        cdef Range *r
        cdef int i
        if self.accumulation == 1:
            return True
        u.kind, u.hyper = FNN_ACCUMULATE, NULL
        for i in range(self.range_count):
            r = &self.ranges[i]
            u.n, u.slots = r.size, r.slots
            if complete:
                u.parameter, u.gradient = r.gradient, r.accumulated
            else:
                u.parameter, u.gradient = r.accumulated, r.gradient
            shared_update(self.table, &u)
            if complete:
                self.table.scale(r.size, 1.0 / self.accumulation, r.gradient)
        return complete

    cdef int _clip(self) except -1 nogil:
        cdef int i
        cdef Range *r
        cdef double squares = 0, norm
        if not self.clipping:
            return 0
        for i in range(self.trainable_count):
            r = &self.trainables[i]
            if self.clipvalue != 0:
                self.table.clip(r.size, self.clipvalue, r.gradient)
            elif self.clipnorm != 0:
                norm = sqrt(self.table.sum_of_squares(r.size, r.gradient))
                if not norm <= self.clipnorm:  # NaN goes on, to be seen
                    self.table.scale(r.size, self.clipnorm / norm, r.gradient)
            elif self.global_clipnorm != 0:
                squares += self.table.sum_of_squares(r.size, r.gradient)
        if self.global_clipnorm != 0 and not sqrt(squares) <= self.global_clipnorm:
            for i in range(self.trainable_count):
                r = &self.trainables[i]
                self.table.scale(r.size, self.global_clipnorm / sqrt(squares), r.gradient)
        return 0

    cdef void _update(self, const double *hyper) noexcept nogil:
        cdef fnn_update u
        cdef const Range *r
        cdef int i
        u.kind, u.hyper = self.optimizer, hyper
        for i in range(self.range_count):
            r = &self.ranges[i]
            u.n, u.parameter, u.gradient, u.slots = r.size, r.values, r.gradient, r.slots
            if r.source != NULL and r.source.kind == LAYER:
                self._update_by_rows(r, &u)
            elif r.source != NULL and self.passing.deferring:
                self.passing.pack_gradient(&r.source.product)
                shared_gradient_and_update(self.table, &r.source.product, r.source.gap, &u)
            else:
                shared_update(self.table, &u)

    cdef void _update_by_rows(self, const Range *r, const fnn_update *whole) noexcept nogil:
        """Update a weight, in the rows alone that the batch names if that is all there is to do."""
        cdef const fnn_layer *l = &r.source.layer
        cdef bint few = l.rows * l.inputs * (NAMED_ROW + r.width) <= r.size
        cdef bint alone = self.at_once and few and leaves_others_alone(whole)
        cdef fnn_update u = whole[0]
        cdef int64_t j
        if not alone:
            shared_update(self.table, whole)
        if not self.at_once:
            return
        if few:
            u.n = r.width
            for j in range(l.inputs):
                self._update_named_rows(r, j, &u, alone)
        else:
            memset(r.gradient, 0, r.size * self.itemsize)
        r.source.cleared = True

    cdef void _update_named_rows(self, const Range *r, int64_t column, fnn_update *u,
                                 bint alone) noexcept nogil:
        """Update the weight's rows that a column names, if that is still to do, and clear gradients.

        A row that is named again has no gradient left, so that it stays as it is.
        """
        cdef int64_t i, row, offset
        cdef int weight, slot
        for i in range(r.source.layer.rows):
            row = r.source.steps.named_row(&r.source.layer, i, column, &weight)
            if weight != r.weight:
                break
            if row < 0:
                continue
            offset = row * r.width * self.itemsize
            if alone:
                u.parameter, u.gradient = r.values + offset, r.gradient + offset
                for slot in range(FNN_SLOTS):
                    u.slots[slot] = NULL if r.slots[slot] == NULL else <char *>r.slots[slot] + offset
                self.table.update(u)
            memset(r.gradient + offset, 0, r.width * self.itemsize)

    cdef int _update_or_call(self, const double *hyper, uint64_t iteration) except -1 nogil:
        """Take the optimizer's step, and begin to accumulate gradients anew."""
        cdef int i
        if self.own_step:
            self._call_own_step(hyper, iteration)
        else:
            self._update(hyper)
        if self.accumulation > 1:
            for i in range(self.range_count):
                memset(self.ranges[i].accumulated, 0, self.ranges[i].size * self.itemsize)
        return 0

    cdef int _call_own_step(self, const double *hyper, uint64_t iteration) except -1 with gil:
        """Let the user's step work on copies, which are taken over when it is through with all."""
        cdef np.ndarray original, copy
        if self.rule.step is None:
            raise ValueError("this trainer gives gradients only, for its rule has no step")
        layout, state = self.program.layout, self.state
        state.iterations = iteration
        changed = []
        for parameter in self.trainable:
            originals = [parameter.array, *(layout.view(slot, parameter) for slot in state.slots)]
            copies = [array.copy() for array in originals]
            self.rule.take_own_step(copies[0], layout.view(self.passing.slopes, parameter), copies[1:],
                                    hyper[0], hyper[1])
            changed += zip(originals, copies)
        # From here on no Python code runs, in which a signal handler could raise.
        for original, copy in changed:
            memcpy(np.PyArray_DATA(original), np.PyArray_DATA(copy), np.PyArray_NBYTES(copy))
        return 0

    cdef void _average(self, uint64_t iteration) noexcept nogil:
        """Let the moving averages follow the parameters, and take their place when it is time."""
        cdef fnn_update u
        cdef uint64_t finished = iteration // self.accumulation
        cdef double momentum = self.ema_momentum if finished > 0 else 0.0
        cdef bint overwrite = self.overwrite > 0 and (finished + 1) % self.overwrite == 0
        cdef Range *r
        cdef int i
        if not self.averaging:
            return
        u.kind, u.hyper = FNN_MOVING_AVERAGE, &momentum
        for i in range(self.range_count):
            r = &self.ranges[i]
            u.n, u.parameter, u.gradient, u.slots = r.size, r.average, r.values, r.slots
            shared_update(self.table, &u)
            if overwrite:
                memcpy(r.values, r.average, r.size * self.itemsize)

    cdef int _constrain(self) except -1 nogil:
        """Hold the parameters that have just been updated to their constraints."""
        cdef Constraint *c
        cdef int i
        for i in range(self.constraint_count):
            c = &self.constraints[i]
            if c.of_norms:
                shared_min_max_norm(self.table, c.rows, c.columns, c.low, c.high, c.rate, c.values)
            else:
                shared_non_neg(self.table, c.rows * c.columns, c.values)
        if self.own_constraint_count:
            self._constrain_in_python()
        return 0

    cdef int _back_up(self) except -1 with gil:
        """Copy what the update is going to change."""
        for array, copy in self.backups:
            copy[...] = array
        return 0

    cdef int _constrain_in_python(self) except -1 with gil:
        """Call the constraints that have no kernel; take the update back if one of them raises."""
        try:
            for parameter in self.own_constraints:
                values = numpy.array(parameter.constraint(parameter.value), self.program.dtype)
                check_returned(values, parameter, type(parameter.constraint).__name__)
                parameter.array[...] = values
        except BaseException:
            for array, copy in self.backups:
                array[...] = copy
            raise
        return 0


cdef int check_returned(array, parameter, source) except -1:
    """Check that what Python code returned for a parameter has its shape."""
    if array.shape != parameter.shape:
        raise ValueError(
            f"{source} must return an array of shape {parameter.shape}, got {array.shape}; "
            "correct it there"
        )
    return 0
