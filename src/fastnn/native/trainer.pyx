"""Training and evaluation: many steps in one call, without the GIL.

The weights change with every step, so they are read where they are, or packed panel by panel just
before use where their rows are long. The gradient of an elementwise activation is applied as the
product above it is stored. The input's gradient is worked out no further down than the lowest
parameter that is trained.

An exception, an interrupt for one, drops the step that is being computed and leaves everything as
the last finished one left it: nothing but the update and the constraints after it change
parameters, and nothing raises there but constraints written in Python, before which a copy is made.
"""

cimport numpy as np
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastnn.native.ckernels cimport *
from fastnn.native.ops cimport (
    ACTIVATION,
    ADD,
    CUSTOM,
    DENSE,
    DIRECT_TILES,
    DIRECT_VECTORS,
    DROPOUT,
    LAYER,
    USER,
    Op,
    Ops,
    address,
    flops_per_row,
    heed_signals,
    padded_row,
    round_up,
)
from fastnn.native.orthogonal cimport (
    Orthogonal,
    begin_orthogonal,
    orthogonal_block,
    prepare_orthogonal,
)
from fastnn.native.team cimport *

import numpy

from fastnn._checks import (
    LOSS_DEFAULTS,
    UPDATE_ARGUMENTS,
    check_orthogonal,
    target_width,
    user_gradients,
)
from fastnn._memory import HUGE_PAGE, zeros_on_huge_pages
from fastnn.native.kernels import LOSS_CODES, METRIC_CODES, UPDATE_CODES
from fastnn.native.team import get_num_threads
from fastnn.program import LayerOp

np.import_array()

cdef extern from "c/subnormals.h" nogil:
    uint64_t fnn_flush_subnormals()
    void fnn_restore_subnormals(uint64_t before)

cdef enum:
    CACHE_LINE = 64            # bytes

    # Rows of targets from which on the loss reads them where they are. It reads them once; copying
    # them into the order of the batch first is a pass more.
    LONG_TARGETS = 256         # bytes

    # The gradient of a large kernel goes to memory and comes back for the update. Taken part by
    # part, as its product is worked out, it stays in the cache: a step of 784-1024-1024-10 takes
    # 1.9 ms without and 1.6 ms with that at batch 1, 14.8 and 14.1 ms at 128, the same at 512. No
    # signal is heeded meanwhile, so the product must not be too long.
    LARGE_KERNEL = 1 << 20     # bytes
    DEFERRED_ROWS = 256
    DEFERRED_FLOPS = 1 << 30

# A run of parameters that lie side by side, and what belongs to them.
cdef struct Range:
    int64_t size
    char *values
    char *gradient
    void *slots[FNN_SLOTS]
    char *average
    char *accumulated
    const Op *source           # of a single kernel whose gradient may wait for the update

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

# The data of an epoch, and the rows of them that a step is working on.
cdef struct Batch:
    const char *all_x
    const char *all_y
    const char *all_weights
    bint sparse                # y holds labels
    int64_t whole              # rows of the step
    int64_t first              # of them, the first that is being worked on,
    int64_t rows               # and how many
    const char *x
    int64_t x_row
    const char *targets
    const int64_t *targets_order  # NULL where they are as the other rows
    const int32_t *labels
    const char *weights

cdef struct MetricSlot:
    fnn_metric kind
    double threshold
    bint native


cdef double seconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


cdef class Trainer:
    """Runs training and evaluation steps; see `fastnn.program.Trainer`."""

    cdef readonly np.ndarray totals
    cdef public int64_t rows

    cdef Ops ops
    cdef object program, objective, rule, state
    cdef list blocks
    cdef list arrays           # keeps everything alive that the structs point into
    cdef const fnn_kernels *table
    cdef int64_t itemsize, capacity, inputs, outputs
    cdef int64_t width         # of targets; metrics compare them with as many outputs
    # A batch
    cdef char *workspace       # of a batch: all that follows, up to the panels
    cdef int64_t used          # bytes of it
    cdef int64_t input_row
    cdef char *x
    cdef char *targets
    cdef int32_t *labels
    cdef char *weights
    cdef char *gradients[2]    # at the outputs of two neighbouring ops
    cdef char *panels          # of matrices that are packed
    cdef char *all_gradients   # of the parameters, in the program's layout
    # The loss
    cdef fnn_loss_args loss
    cdef bint custom_loss
    cdef bint targets_in_place # they are not copied into the order of the batch
    cdef char *predictions
    cdef int64_t predictions_row
    # Metrics, penalties, parameters
    cdef MetricSlot *metrics
    cdef int metric_count
    cdef double *sums          # of the step under way: the loss, then the metrics
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
    cdef double row_flops      # of a training step, for each row of the batch
    cdef Pace pace             # also of other trainers of the same model, one after the other
    cdef int lowest            # the first op with a trainable parameter
    cdef int64_t deferred_rows # of steps in which gradients may wait for the update, at most,
    cdef bint deferring        # and whether the one under way is such
    cdef fnn_optimizer optimizer
    cdef bint own_step         # which the user wrote
    cdef list trainable        # the parameters that are trained
    cdef np.ndarray slopes     # the gradients
    cdef int64_t accumulation  # steps of training to one of the optimizer
    cdef double ema_momentum   # of moving averages, if there are any
    cdef bint averaging
    cdef int64_t overwrite     # steps after which averages become the parameters, 0: never
    cdef double clipnorm, clipvalue, global_clipnorm  # 0: none

    def __cinit__(self):
        self.metrics = NULL
        self.sums = NULL
        self.penalties = NULL
        self.constraints = NULL
        self.ranges = NULL
        self.trainables = NULL

    def __dealloc__(self):
        free(self.metrics)
        free(self.sums)
        free(self.penalties)
        free(self.constraints)
        free(self.ranges)
        free(self.trainables)

    def __init__(self, program, objective, rule, state, capacity, Pace pace not None):
        rule.check(state)
        self.program, self.objective, self.rule, self.state = program, objective, rule, state
        self.ops = Ops(program, training=True, head=objective.head)
        self.table, self.itemsize = self.ops.table, self.ops.itemsize
        self.inputs, self.outputs = program.inputs, program.outputs
        loss = objective.loss
        self.width = target_width(loss.name, program.outputs, loss.outputs_per_target)
        self.capacity = capacity
        self.blocks = list({id(p.block): p.block for p in program.parameters}.values())
        self.row_flops = 3 * flops_per_row(program)
        self.pace = pace
        self.arrays = []
        self._allocate_batch()
        self._plan_update()
        self._plan_backward()
        self._plan_deferral()
        self._allocate_parameters()
        self._plan_loss()
        self._plan_metrics()
        self.reset()

    cdef int _allocate_batch(self) except -1:
        """Lay out the workspace of a batch twice: to see how long it is, and to point into it."""
        cdef np.npy_intp size
        cdef np.ndarray memory
        self._lay_out_batch()
        size = self.used + CACHE_LINE
        if size >= HUGE_PAGE:
            memory = zeros_on_huge_pages(size)
        else:
            memory = np.PyArray_ZEROS(1, &size, np.NPY_UINT8, 0)
        self.arrays.append(memory)
        self.workspace = address(memory) + -<size_t>address(memory) % CACHE_LINE
        self.used = 0
        self._lay_out_batch()
        return 0

    cdef char *_place(self, int64_t size) noexcept:
        """The next place in the workspace for so many elements, with a cache line of zeros behind."""
        cdef char *place = self.workspace + self.used
        self.used += round_up(size * self.itemsize, CACHE_LINE) + CACHE_LINE
        return place

    cdef void _lay_out_batch(self) noexcept:
        cdef int64_t widest = padded_row(self.inputs, self.itemsize)
        cdef int64_t panels = 0
        cdef int i
        cdef Op *op
        self.input_row = widest
        self.x = self._place(self.capacity * self.input_row)
        self.targets = self._place(self.capacity * self.width)
        self.labels = <int32_t *>self._place(self.capacity)
        self.weights = self._place(self.capacity)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            op.y = self._place(self.capacity * op.row)
            op.z = op.y
            if op.activation < FNN_SOFTMAX and fnn_saves_input(op.activation):
                op.z = self._place(self.capacity * op.row)
            if op.kind == LAYER:
                op.layer.room = self._place(self.ops.layer_room(op, self.capacity))
            elif op.kind == ADD:
                op.held = self._place(self.capacity * op.row)
            widest = max(widest, op.row)
            if op.kind == DENSE:
                panels = max(panels, self._panels_of(op))
        for i in range(2):
            self.gradients[i] = self._place(self.capacity * widest)
        self.panels = self._place(panels)
        self.predictions, self.predictions_row = self.x, self.input_row
        if self.ops.count:
            op = &self.ops.items[self.ops.count - 1]
            self.predictions, self.predictions_row = op.y, op.row

    cdef int64_t _panels_of(self, const Op *op) noexcept:
        """Room for the packed parts of a kernel and of its transpose, and for a packed gradient."""
        cdef int64_t kernel = self.ops.packing_size(op.inputs, op.outputs, self.capacity)
        cdef int64_t transpose = self.ops.packing_size(op.outputs, op.inputs, self.capacity)
        cdef int64_t rows = self.capacity, tiles = 0, gradient = 0
        if tiles_pay(op.inputs, op.outputs, rows):
            tiles = self.ops.tiling_size(op.inputs, rows, op.outputs)
            rows = FNN_LEAST_STEPS
        if self._packing_pays(op.outputs, op.inputs):
            gradient = rows * round_up(op.outputs, self.table.panel_width)
        return max(kernel, transpose, tiles, gradient)

    cdef int _allocate_parameters(self) except -1:
        """Gradients in one buffer of the program's layout."""
        cdef int i
        cdef char *gradients
        cdef Op *op
        self.slopes = self.program.layout.zeros()
        gradients = self.all_gradients = address(self.slopes)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            own = [None if p is None else self._gradient_of(gradients, p)
                   for p in self.ops.parameters[i]]
            if op.kind == DENSE:
                op.kernel_gradient = <char *><size_t>own[0]
                op.bias_gradient = NULL if own[1] is None else <char *><size_t>own[1]
            elif op.kind == LAYER:
                self._point_to_gradients(op, own, self.ops.parameters[i])
        self._list_trainables(gradients)
        self._list_penalties(gradients)
        self._list_constraints()
        return 0

    cdef size_t _gradient_of(self, char *gradients, parameter) except 0:
        return <size_t>(gradients + <int64_t>self.program.layout.offsets[parameter] * self.itemsize)

    cdef int _point_to_gradients(self, Op *op, list own, parameters) except -1:
        """Let a layer write the gradients of the weights that are trained."""
        addresses = numpy.zeros(len(own), numpy.uintp)
        for i, parameter in enumerate(parameters):
            if parameter is not None and parameter.trainable:
                addresses[i] = own[i]
        self.arrays.append(addresses)
        op.layer.weight_gradients = <void *const *>address(addresses)
        op.follows = any([p is not None and p.renewed for p in parameters])
        return 0

    cdef Range _range(self, char *gradients, parameter):
        cdef Range r
        cdef int64_t offset = self.program.layout.offsets[parameter] * self.itemsize
        cdef int i
        r.size = parameter.size
        r.values = address(parameter.array)
        r.gradient = gradients + offset
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

    cdef int _list_trainables(self, char *gradients) except -1:
        """Trainable parameters, one by one and, where they lie side by side, in runs."""
        self.trainable = [p for p in self.program.parameters if p.trainable]
        waiting = {self.ops.parameters[i][0]: i
                   for i in range(self.ops.count) if self.ops.items[i].deferrable}
        cdef size_t count = max(len(self.trainable), 1)
        cdef Range r
        cdef Range *last
        self.trainables = <Range *>calloc(count, sizeof(Range))
        self.ranges = <Range *>calloc(count, sizeof(Range))
        if self.trainables == NULL or self.ranges == NULL:
            raise MemoryError("no memory for the list of parameters")
        for parameter in self.trainable:
            r = self._range(gradients, parameter)
            self.trainables[self.trainable_count] = r
            self.trainable_count += 1
            if parameter in waiting:
                r.source = &self.ops.items[<int>waiting[parameter]]
            elif self.range_count > 0 and self.ranges[self.range_count - 1].source == NULL:
                # Padding between neighbours is zero in values and gradients, and stays zero.
                last = &self.ranges[self.range_count - 1]
                gap = r.gradient - (last.gradient + last.size * self.itemsize)
                if gap < 64 and r.values - last.values == r.gradient - last.gradient:
                    last.size = (r.gradient - last.gradient) // self.itemsize + r.size
                    continue
            self.ranges[self.range_count] = r
            self.range_count += 1
        return 0

    cdef int _list_penalties(self, char *gradients) except -1:
        penalised = [
            p for p in self.program.parameters if p.trainable and p.regularizer is not None
        ]
        cdef Penalty *penalty
        self.own_penalties = []
        self.penalties = <Penalty *>calloc(max(len(penalised), 1), sizeof(Penalty))
        if self.penalties == NULL:
            raise MemoryError("no memory for the list of penalties")
        for parameter in penalised:
            penalty = &self.penalties[self.penalty_count]
            penalty.size = parameter.size
            penalty.values = address(parameter.array)
            penalty.gradient = (
                gradients + <int64_t>self.program.layout.offsets[parameter] * self.itemsize
            )
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
        self.constraints = <Constraint *>calloc(max(len(constrained), 1), sizeof(Constraint))
        if self.constraints == NULL:
            raise MemoryError("no memory for the list of constraints")
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

    cdef int _plan_backward(self) except -1:
        """Where the gradient stops, and which derivatives the op above can apply."""
        cdef int i
        cdef Op *op
        self.lowest = self.ops.count
        for i in range(self.ops.count - 1, -1, -1):
            if any(p is not None and p.trainable for p in self.ops.parameters[i]):
                self.lowest = i
        for i in range(self.ops.count - 1):
            op = &self.ops.items[i]
            op.gradient_fused = (
                self.ops.items[i + 1].kind == DENSE
                and op.kind in (DENSE, ACTIVATION)
                and op.activation < FNN_SOFTMAX
                and not self._begins_branch(i + 1)
            )
        return 0

    cdef int _plan_deferral(self) except -1:
        """Find kernels whose gradients nobody but the update needs, and it part by part.

        They can be those of the two lowest ops with any: what is multiplied for them is still in
        the two buffers of gradients after the backward pass.
        """
        cdef int i, found = 0
        cdef int64_t size = 0
        cdef Op *op
        if (self.own_step or self.accumulation > 1
                or self.clipnorm or self.clipvalue or self.global_clipnorm):
            return 0
        for i in range(self.lowest, self.ops.count):
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
            if found == 2 or self._begins_branch(i):
                break
        if size > 0:
            self.deferred_rows = min(<int64_t>DEFERRED_ROWS, DEFERRED_FLOPS // (2 * size))
        return 0

    cdef bint _begins_branch(self, int i) noexcept:
        """Whether the input of op `i` is added again further up, and so has two gradients."""
        cdef int j
        for j in range(i, self.ops.count):
            if self.ops.items[j].kind == ADD and self.ops.items[j].source == i:
                return True
        return False

    cdef int _plan_loss(self) except -1:
        loss = self.objective.loss
        self.custom_loss = loss.kernel is None
        if self.custom_loss:
            return 0
        self.loss.kind = LOSS_CODES[loss.kernel]
        self.loss.options = {**LOSS_DEFAULTS, **loss.kernel_options()}
        if self.objective.head is not None:
            self.loss.options.from_logits = True
        self.loss.columns = self.outputs
        self.loss.predictions, self.loss.predictions_row = self.predictions, self.predictions_row
        if self.objective.head is not None:
            self.loss.probabilities = self.predictions
            self.loss.probabilities_row = self.predictions_row
        self.loss.gradient_row = self.predictions_row
        return 0

    cdef int _plan_metrics(self) except -1:
        cdef int i
        metrics = self.objective.metrics
        self.metric_count = len(metrics)
        self.totals = numpy.zeros(1 + self.metric_count)
        self.metrics = <MetricSlot *>calloc(max(self.metric_count, 1), sizeof(MetricSlot))
        self.sums = <double *>calloc(1 + self.metric_count, sizeof(double))
        if self.metrics == NULL or self.sums == NULL:
            raise MemoryError("no memory for the list of metrics")
        for i, metric in enumerate(metrics):
            self.metrics[i].native = metric.kernel is not None
            if metric.kernel is not None:
                self.metrics[i].kind = METRIC_CODES[metric.kernel]
                self.metrics[i].threshold = 0.5 if metric.threshold is None else metric.threshold
        self.targets_in_place = (
            self.width * self.itemsize >= LONG_TARGETS
            and not self.custom_loss
            and all(metric.kernel is not None for metric in metrics)
        )
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
        cdef double work = self.row_flops * size
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
                    step += 1
                    if sums != NULL and row + batch.whole == rows:
                        self._end_epoch(sums + epoch * (1 + self.metric_count))
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
        return step

    def evaluate(self, data, batch_size, first, budget):
        """Run evaluation steps; see `fastnn.program.Trainer.evaluate`."""
        cdef int64_t step = 0, size = batch_size, start = first, rows = len(data), row
        cdef double end = seconds() + <double>budget
        cdef Batch batch = self._batch(data)
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
        cdef uint64_t float_mode = fnn_flush_subnormals()
        batch.whole = len(data)
        try:
            with nogil:
                wake_team(self.row_flops * batch.whole)
                self.deferring = False
                self._pass(&batch, NULL, 0, True, iteration)
                self._add_penalties(batch.whole, True)
                self._commit(&batch)
        finally:
            fnn_restore_subnormals(float_mode)
        layout = self.program.layout
        out[...] = 0
        for parameter in self.trainable:
            layout.view(out, parameter)[...] = layout.view(self.slopes, parameter)

    cdef Batch _batch(self, data):
        cdef Batch batch
        batch.all_x = address(data.x)
        batch.sparse = data.y.ndim == 1
        batch.all_y = address(data.y)
        batch.all_weights = NULL if data.weights is None else address(data.weights)
        return batch

    cdef void _take(self, Batch *batch, const int64_t *order, int64_t first) noexcept nogil:
        """Point the batch at its rows, gathering them first if they are visited out of order."""
        cdef int64_t i
        batch.targets_order = NULL
        if order == NULL:
            batch.x, batch.x_row = batch.all_x + first * self.inputs * self.itemsize, self.inputs
            batch.labels = <const int32_t *>batch.all_y + first
            batch.targets = batch.all_y + first * self.width * self.itemsize
            batch.weights = NULL
            if batch.all_weights != NULL:
                batch.weights = batch.all_weights + first * self.itemsize
            return
        order += first
        shared_gather(self.table, batch.rows, self.inputs, batch.all_x, order, self.x, self.input_row)
        batch.x, batch.x_row = self.x, self.input_row
        batch.labels, batch.targets, batch.weights = self.labels, self.targets, NULL
        if batch.sparse:
            for i in range(batch.rows):
                self.labels[i] = (<const int32_t *>batch.all_y)[order[i]]
        elif self.targets_in_place:
            batch.targets, batch.targets_order = batch.all_y, order
        else:
            shared_gather(self.table, batch.rows, self.width, batch.all_y, order, self.targets,
                          self.width)
        if batch.all_weights != NULL:
            shared_gather(self.table, batch.rows, 1, batch.all_weights, order, self.weights, 1)
            batch.weights = self.weights

    cdef int _pass(self, Batch *batch, const int64_t *order, int64_t start, bint training,
                   uint64_t iteration) except -1 nogil:
        """Go through a step's rows, from `start` on in the data, in parts of about the same size.

        Leaves the sums of loss and metrics and, in training, the gradients.
        """
        cdef int64_t parts = (batch.whole + self.capacity - 1) // self.capacity, i
        memset(self.sums, 0, (1 + self.metric_count) * sizeof(double))
        for i in range(parts):
            batch.first = batch.whole * i // parts
            batch.rows = batch.whole * (i + 1) // parts - batch.first
            self._take(batch, order, start + batch.first)
            self._forward(batch, training, iteration)
            self._take_loss(batch, self.gradients[0] if training else NULL)
            if training:
                self._backward(batch, iteration)
            # Python metrics may raise, so they come before anything is changed.
            self._take_metrics(batch)
        return 0

    cdef int _step(self, Batch *batch, const int64_t *order, int64_t start, uint64_t iteration,
                   const double *hyper) except -1 nogil:
        self.deferring = batch.whole <= min(self.capacity, self.deferred_rows)
        self._pass(batch, order, start, True, iteration)
        self._add_penalties(batch.whole, True)
        if self.own_constraint_count:
            self._back_up()
        if self._accumulate(iteration):
            self._clip()
            self._update_or_call(hyper, iteration)
        self._average(iteration)
        self._constrain()
        self._renew_statistics()
        self._commit(batch)
        return 0

    cdef void _commit(self, Batch *batch) noexcept nogil:
        """Add the finished step's sums to the totals."""
        cdef double *totals = <double *>np.PyArray_DATA(self.totals)
        cdef int i
        for i in range(1 + self.metric_count):
            totals[i] += self.sums[i]
        self.rows += batch.whole

    cdef void _end_epoch(self, double *sums) noexcept nogil:
        """Move the totals to `sums`."""
        cdef size_t size = (1 + self.metric_count) * sizeof(double)
        memcpy(sums, np.PyArray_DATA(self.totals), size)
        memset(np.PyArray_DATA(self.totals), 0, size)

    # Forward

    cdef int _forward(self, Batch *batch, bint training, uint64_t iteration) except -1 nogil:
        cdef const char *x = batch.x
        cdef int64_t x_row = batch.x_row, rows = batch.rows
        cdef int i
        cdef Op *op
        if self.ops.count == 0:
            self._copy_rows(rows, self.inputs, x, x_row, self.predictions, self.predictions_row)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                self._dense(op, rows, x, x_row)
            elif op.kind == ACTIVATION:
                if op.z != op.y:
                    self._copy_rows(rows, op.outputs, x, x_row, op.z, op.row)
                self.ops.elementwise(op, rows, x, x_row, op.y, op.row)
            elif op.kind == CUSTOM:
                self.ops.custom_forward(op, rows, x, x_row, op.y, op.row)
            elif op.kind == LAYER:
                self._layer(op, batch, x, x_row, training, iteration)
            elif op.kind == ADD:
                self._add(op, batch, x, x_row)
            elif op.kind == USER:
                self.ops.user_forward(op, rows, x, x_row, op.y, op.row, training)
            elif training:
                self._dropout(op, batch, x, x_row, op.y, iteration)
            else:
                self._copy_rows(rows, op.outputs, x, x_row, op.y, op.row)
            x, x_row = op.y, op.row
        return 0

    cdef void _copy_rows(self, int64_t rows, int64_t columns, const char *x, int64_t x_row,
                         char *y, int64_t y_row) noexcept nogil:
        cdef int64_t i
        for i in range(rows):
            memcpy(y + i * y_row * self.itemsize, x + i * x_row * self.itemsize,
                   columns * self.itemsize)

    cdef int _dense(self, Op *op, int64_t rows, const char *x, int64_t x_row) except -1 nogil:
        cdef fnn_gemm g
        cdef bint keep_input = op.z != op.y
        g.m, g.n, g.k = rows, self.ops.stored(op.outputs), op.inputs
        g.whole_m, g.add = rows, 0
        g.a, g.a_row, g.a_col = x, x_row, 1
        g.c, g.c_row = op.z if keep_input else op.y, op.row
        g.bias, g.saved = op.bias, NULL
        g.activation, g.options = op.activation, op.options
        g.epilogue = FNN_STORE if keep_input else FNN_STORE_ACTIVATION
        if self._packing_pays(op.outputs, rows):
            self.ops.packing_product(&g, op.kernel, op.outputs, op.outputs, 1, self.panels)
        else:
            # Reads past the end of a row stay within the parameters' buffer.
            g.b, g.b_row, g.b_panel = op.kernel, op.outputs, self.table.panel_width
            self.ops.product(&g)
        if keep_input:
            shared_activate(self.table, op.activation, op.options, rows * op.row, op.z, op.y)
        return 0

    cdef bint _packing_pays(self, int64_t columns, int64_t rows) noexcept nogil:
        """Whether a B of so many columns had better be packed for an A of so many rows."""
        return (columns > DIRECT_VECTORS * self.table.vector_width
                and rows > DIRECT_TILES * self.table.tile_rows)

    cdef void _layer(self, Op *op, const Batch *batch, const char *x, int64_t x_row,
                     bint training, uint64_t iteration) noexcept nogil:
        cdef fnn_layer *l = &op.layer
        l.rows, l.first_row, l.add = batch.rows, batch.first, batch.first > 0
        l.scale, l.step = 1.0 / batch.whole, iteration
        l.training = training and (op.follows or op.steps.renew == NULL)
        l.x, l.x_row, l.y, l.y_row = x, x_row, op.y, op.row
        shared_layer_step(self.table, op.steps.forward, op.steps.forward_by, l)
        if op.steps.penalty != NULL:
            self.sums[0] += op.steps.penalty(l)

    cdef void _add(self, const Op *op, const Batch *batch, const char *x,
                   int64_t x_row) noexcept nogil:
        cdef const char *other = batch.x
        cdef int64_t other_row = batch.x_row
        if op.source > 0:
            other = self.ops.items[op.source - 1].y
            other_row = self.ops.items[op.source - 1].row
        self.table.add_matrices(batch.rows, op.outputs, x, x_row, other, other_row, op.y, op.row)

    cdef void _dropout(self, const Op *op, const Batch *batch, const char *x, int64_t x_row,
                       char *y, uint64_t iteration) noexcept nogil:
        cdef fnn_dropout d
        d.rows, d.columns, d.first_row = batch.rows, op.outputs, batch.first
        d.x, d.x_row, d.y, d.y_row = x, x_row, y, op.row
        d.rate, d.seed, d.step = op.rate, op.seed, iteration
        shared_dropout(self.table, &d)

    # Loss and metrics

    cdef int _take_loss(self, Batch *batch, char *gradient) except -1 nogil:
        """Mean loss times rows, and its gradient at the last op's output or logits."""
        if self.custom_loss:
            return self._take_custom_loss(batch, gradient)
        self.loss.rows = batch.rows
        self.loss.targets = NULL if batch.sparse else batch.targets
        self.loss.targets_row = self.width
        self.loss.order = batch.targets_order
        self.loss.labels = batch.labels if batch.sparse else NULL
        self.loss.weights = batch.weights
        self.loss.gradient = gradient
        self.loss.scale = 1.0 / batch.whole
        self.sums[0] += shared_loss(self.table, &self.loss)
        return 0

    cdef int _take_custom_loss(self, Batch *batch, char *gradient) except -1 with gil:
        loss = self.objective.loss
        truth, predictions = self._batch_arrays(batch, self.outputs)
        weights = 1.0
        if batch.weights != NULL:
            weights = self.ops.matrix(batch.weights, batch.rows, 1, 1)
        values = numpy.asarray(loss.forward(truth, predictions)).reshape(-1, 1)
        self.sums[0] = float((values * weights).sum(dtype=numpy.float64))
        if gradient != NULL:
            slopes = loss.backward(truth, predictions) * (weights / <double>batch.rows)
            self.ops.put(slopes, f"{loss.name}.backward", gradient, batch.rows, self.outputs,
                         self.predictions_row)
        return 0

    cdef _batch_arrays(self, Batch *batch, int64_t outputs):
        """Copies of the batch's targets and first `outputs` predictions, for Python code."""
        predictions = self.ops.matrix(self.predictions, batch.rows, outputs, self.predictions_row)
        if not batch.sparse:
            truth = self.ops.matrix(batch.targets, batch.rows, self.width, self.width)
            return truth, predictions
        truth = numpy.empty(batch.rows, numpy.int32)
        memcpy(address(truth), batch.labels, batch.rows * sizeof(int32_t))
        return truth, predictions

    cdef int _take_metrics(self, Batch *batch) except -1 nogil:
        cdef fnn_metric_args args
        cdef int i
        args.rows, args.columns, args.values = batch.rows, self.width, NULL
        args.predictions, args.predictions_row = self.predictions, self.predictions_row
        args.targets = NULL if batch.sparse else batch.targets
        args.targets_row = self.width
        args.order = batch.targets_order
        args.labels = batch.labels
        for i in range(self.metric_count):
            if self.metrics[i].native:
                args.kind, args.threshold = self.metrics[i].kind, self.metrics[i].threshold
                self.sums[1 + i] += shared_metric(self.table, &args)
            else:
                self._update_python_metric(batch, i)
        return 0

    cdef int _update_python_metric(self, Batch *batch, int i) except -1 with gil:
        truth, predictions = self._batch_arrays(batch, self.width)
        self.objective.metrics[i].update_state(truth, predictions)
        return 0

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
            gradient = self.program.layout.view(self.slopes, parameter)
            gradient += slope
        return penalty

    # Backward

    cdef int _backward(self, Batch *batch, uint64_t iteration) except -1 nogil:
        """Gradients of all parameters from the one at the output, which is in gradients[0]."""
        cdef int i, turn = 0
        cdef int64_t x_row
        cdef const char *x
        cdef char *gradient
        cdef Op *op
        for i in range(self.ops.count - 1, self.lowest - 1, -1):
            op = &self.ops.items[i]
            gradient = self.gradients[turn]
            x, x_row = batch.x, batch.x_row
            if i > 0:
                x, x_row = self.ops.items[i - 1].y, self.ops.items[i - 1].row
            self._backward_through_activation(op, batch, x, x_row, gradient,
                                              self.gradients[1 - turn], iteration)
            if op.kind == DENSE:
                self._backward_to_parameters(op, batch, x, x_row, gradient)
                if i > self.lowest:
                    self._backward_to_input(op, &self.ops.items[i - 1], batch.rows, gradient,
                                            self.gradients[1 - turn])
                    turn = 1 - turn
            elif op.kind == LAYER or op.kind == USER:
                if op.kind == USER:
                    self._backward_through_user(op, i, batch, gradient, self.gradients[1 - turn])
                else:
                    self._backward_through_layer(op, i, gradient, self.gradients[1 - turn])
                turn = 1 - turn
            elif op.kind == ADD:
                memcpy(op.held, gradient, batch.rows * op.row * self.itemsize)
            elif op.inputs != op.outputs:
                turn = 1 - turn
            if i > self.lowest:
                self._add_held(i, batch.rows, self.gradients[turn])
        return 0

    cdef int64_t _row_below(self, int i) noexcept nogil:
        """Row length of the gradient with respect to the input of op `i`."""
        return self.ops.items[i - 1].row if i > 0 else self.input_row

    cdef void _backward_through_layer(self, Op *op, int i, const char *gradient,
                                      char *out) noexcept nogil:
        """Gradients of a layer's weights and, above the lowest op, of its input."""
        cdef fnn_layer *l = &op.layer
        l.gradient, l.gradient_row = gradient, op.row
        l.input_gradient, l.input_gradient_row = out, self._row_below(i)
        if op.steps.weight_gradients != NULL:
            shared_layer_step(self.table, op.steps.weight_gradients, op.steps.weights_by, l)
        if i > self.lowest:
            shared_layer_step(self.table, op.steps.input_gradient, op.steps.input_by, l)

    cdef int _backward_through_user(self, Op *op, int i, const Batch *batch, const char *gradient,
                                    char *out) except -1 with gil:
        layer = self.ops.customs[op.custom]
        cdef const char *x = self.ops.items[i - 1].y if i > 0 else batch.x
        cdef int64_t x_row = self.ops.items[i - 1].row if i > 0 else batch.x_row
        cdef char *target
        parameters = self.ops.parameters[i]
        result = layer.backward(
            self.ops.matrix(gradient, batch.rows, op.outputs, op.row),
            self.ops.matrix(x, batch.rows, op.inputs, x_row),
            self.ops.matrix(op.y, batch.rows, op.outputs, op.row),
        )
        source = f"{layer.name}.backward"
        of_input, *of_weights = user_gradients(result, len(parameters))
        for parameter, of_weight in zip(parameters, of_weights):
            target = self.all_gradients
            target += <int64_t>self.program.layout.offsets[parameter] * self.itemsize
            shape = numpy.shape(of_weight)
            if shape != parameter.shape:
                raise ValueError(
                    f"{source} must return a gradient of shape {parameter.shape} for "
                    f"'{parameter.name}', got {shape}"
                )
            self.ops.put(numpy.reshape(of_weight, (1, -1)), source, target, 1, parameter.size,
                         parameter.size)
        return self.ops.put(of_input, source, out, batch.rows, op.inputs, self._row_below(i))

    cdef void _add_held(self, int i, int64_t rows, char *gradient) noexcept nogil:
        """Add the gradients of those ops that added the input of op `i`."""
        cdef int j
        cdef Op *op
        for j in range(i, self.ops.count):
            op = &self.ops.items[j]
            if op.kind == ADD and op.source == i:
                self.table.add_matrices(rows, op.outputs, gradient, op.row, op.held, op.row, gradient,
                                    op.row)

    cdef void _renew_statistics(self) noexcept nogil:
        """Let the statistics of layers follow the batch."""
        cdef int i
        for i in range(self.ops.count):
            if self.ops.items[i].kind == LAYER and self.ops.items[i].steps.renew != NULL:
                self.ops.items[i].steps.renew(&self.ops.items[i].layer)

    cdef int _backward_through_activation(self, Op *op, const Batch *batch, const char *x,
                                          int64_t x_row, char *gradient, char *other,
                                          uint64_t iteration) except -1 nogil:
        """Turn the gradient at an op's output into that before its activation.

        It is done in place, or into the `other` buffer where the activation changes the width.
        """
        cdef int64_t rows = batch.rows, below_row = padded_row(op.inputs, self.itemsize)
        cdef bint from_input = fnn_saves_input(op.activation)
        if op.kind == DROPOUT:
            self._dropout(op, batch, gradient, op.row, gradient, iteration)
        elif op.kind == CUSTOM:
            self._custom_backward(op, rows, x, x_row, gradient,
                                  gradient if op.inputs == op.outputs else other, below_row)
        elif op.activation >= FNN_SOFTMAX:
            self.table.activate_rows_gradient(
                op.activation, rows, op.inputs, gradient, op.row,
                x if from_input else op.y, x_row if from_input else op.row,
                gradient if op.inputs == op.outputs else other, below_row)
        elif op.activation != FNN_LINEAR and not op.gradient_fused:
            shared_activate_gradient(self.table, op.activation, op.options, rows * op.row,
                                     gradient, op.z, gradient)
        return 0

    cdef int _custom_backward(self, Op *op, int64_t rows, const char *x, int64_t x_row,
                              const char *gradient, char *out, int64_t out_row) except -1 with gil:
        activation = self.ops.customs[op.custom]
        result = activation.backward(
            self.ops.matrix(gradient, rows, op.outputs, op.row),
            self.ops.matrix(x, rows, op.inputs, x_row),
            self.ops.matrix(op.y, rows, op.outputs, op.row),
        )
        return self.ops.put(result, f"{activation.name}.backward", out, rows, op.inputs, out_row)

    cdef int _backward_to_parameters(self, Op *op, const Batch *batch, const char *x,
                                     int64_t x_row, const char *gradient) except -1 nogil:
        """Kernel: transposed X times dZ; bias: column sums of dZ."""
        cdef int64_t rows = batch.rows
        cdef fnn_gemm *g = &op.product
        g.add = batch.first > 0
        g.m, g.n, g.k = op.inputs, op.outputs, rows
        g.whole_m = op.inputs
        g.a, g.a_row, g.a_col = x, 1, x_row
        g.b, g.b_row, g.b_panel = gradient, op.row, self.table.panel_width
        g.c, g.c_row = op.kernel_gradient, op.outputs
        g.bias, g.saved, g.epilogue = NULL, NULL, FNN_STORE
        g.activation, g.options = FNN_LINEAR, NULL
        if not (self.deferring and op.deferrable):
            self._gradient_of_kernel(g, gradient, op.row)
        if op.bias != NULL:
            shared_column_sums(self.table, rows, op.outputs, gradient, op.row, op.bias_gradient,
                               g.add)
        return 0

    cdef int _gradient_of_kernel(self, fnn_gemm *g, const char *gradient,
                                 int64_t row) except -1 nogil:
        if tiles_pay(g.m, g.n, g.k):
            return self.ops.product_of_tiles(g, gradient, g.n, row, self.panels)
        if self._packing_pays(g.n, g.m):
            shared_pack(self.table, g.k, g.n, gradient, row, 1, self.panels)
            g.b, g.b_row = self.panels, self.table.panel_width
            g.b_panel = g.k * self.table.panel_width
        return self.ops.product(g)

    cdef int _backward_to_input(self, Op *op, Op *below, int64_t rows, const char *gradient,
                                char *out) except -1 nogil:
        """dZ times the transposed kernel, times the derivative of the op below if it is fused."""
        cdef fnn_gemm g
        if dots_pay(self.table, rows, op.outputs):
            return self._backward_to_few_rows(op, below, rows, gradient, out)
        g.m, g.n, g.k = rows, self.ops.stored(op.inputs), op.outputs
        g.whole_m, g.add = rows, 0
        g.a, g.a_row, g.a_col = gradient, op.row, 1
        g.c, g.c_row = out, below.row
        g.bias = NULL
        g.epilogue = FNN_STORE_GRADIENT if below.gradient_fused else FNN_STORE
        g.activation, g.options = below.activation, below.options
        g.saved, g.saved_row = below.z, below.row
        return self.ops.packing_product(&g, op.kernel, op.inputs, 1, op.outputs, self.panels)

    cdef int _backward_to_few_rows(self, Op *op, Op *below, int64_t rows, const char *gradient,
                                   char *out) except -1 nogil:
        """The same for few rows: their products with the kernel's rows, read where they lie."""
        cdef fnn_dots d
        d.m, d.n, d.k = rows, op.inputs, op.outputs
        d.a, d.a_row, d.b, d.b_row = gradient, op.row, op.kernel, op.outputs
        d.c, d.c_row = out, below.row
        self.ops.dots(&d)
        if below.gradient_fused:
            shared_activate_gradient(self.table, below.activation, below.options,
                                     (rows - 1) * below.row + op.inputs, out, below.z, out)
        return 0

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
            if self.deferring and r.source != NULL:
                shared_gradient_and_update(self.table, &r.source.product, &u)
            else:
                shared_update(self.table, &u)

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
            self.rule.take_own_step(copies[0], layout.view(self.slopes, parameter), copies[1:],
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
