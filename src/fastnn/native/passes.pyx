"""Ways through a network, forward and, in training, back, for the rows of a batch or a part of them.

The weights change with every step, so they are read where they are, or packed panel by panel just
before use where their rows are long. Products with few rows are summed up in two halves: of two
threads each multiplies the rows of the kernel that it has updated. Where a derivative comes at little
cost with the value, it is what is kept for the way back, and so are the factors of dropout. The
gradient of an op that goes element by element is applied by the product above it, while what that
has worked out is in the cache. The input's gradient is worked out no further down than the lowest
parameter that is trained.
"""

cimport numpy as np
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastnn.native.ckernels cimport *
from fastnn.native.dispatch cimport room_for_panels
from fastnn.native.ops cimport (
    ACTIVATION,
    ADD,
    CACHE_LINE,
    CUSTOM,
    DENSE,
    DROPOUT,
    LAYER,
    USER,
    Op,
    Ops,
    address,
    call_flops,
    round_up,
)
from fastnn.native.team cimport *

import numpy

from fastnn._checks import LOSS_DEFAULTS, target_width, user_gradients
from fastnn._memory import zeroed_bytes
from fastnn.native.kernels import LOSS_CODES, METRIC_CODES

<void>np._import_array  # not called: no function of its C API is used

cdef enum:
    # Rows of targets from which on the loss reads them where they are. It reads them once; copying
    # them into the order of the batch first is a pass more.
    LONG_TARGETS = 256         # bytes


cdef class Pass:
    """The workspace of a pass over up to `capacity` rows, and what it leaves there."""

    def __cinit__(self):
        self.metrics = NULL
        self.sums = NULL

    def __dealloc__(self):
        free(self.metrics)
        free(self.sums)

    def __init__(self, program, objective, capacity):
        self.program, self.objective = program, objective
        self.ops = Ops(program, training=True, head=objective.head)
        self.table, self.itemsize = self.ops.table, self.ops.itemsize
        self.inputs, self.outputs = program.inputs, program.outputs
        loss = objective.loss
        self.width = target_width(loss.name, program.outputs, loss.outputs_per_target)
        self.capacity = capacity
        self.arrays = []
        self._plan_backward()
        self._allocate_batch()
        self._allocate_gradients()
        self._plan_loss()
        self._plan_metrics()

    cdef int _allocate_batch(self) except -1:
        """Lay out the workspace of a batch twice: to see how long it is, and to point into it."""
        cdef np.npy_intp size
        cdef np.ndarray memory
        self._lay_out_batch()
        size = self.used + CACHE_LINE
        memory = zeroed_bytes(size)
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
        cdef int64_t widest = 0, panels = 0
        cdef int i
        cdef Op *op
        self.input_row = self.ops.padded_row(self.inputs)
        if self._takes_gradient_of_input():
            widest = self.input_row
        self.x = self._place(self.capacity * max(self.input_row, self._plan_halves()))
        self.targets = self._place(self.capacity * self.width)
        self.labels = <int32_t *>self._place(self.capacity)
        self.weights = self._place(self.capacity)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            op.y = self._place(self.capacity * op.row)
            op.z, op.derivative = op.y, op.activation
            if op.kind == DROPOUT or fnn_saves_slope(op.activation):
                op.derivative = FNN_EXPONENTIAL
            if op.kind == DROPOUT or (
                op.activation < FNN_SOFTMAX
                and not fnn_output_tells_slope(op.activation, op.options)
            ):
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

    cdef int64_t _plan_halves(self) noexcept:
        """Lay out x in two halves; returns the elements that they have together for each row.

        What one thread writes the other does not read then, nor fetch for what comes beside it. An
        odd number of lines goes to each row: else few places of the cache would hold all of them.
        """
        cdef int64_t first = fnn_first_half(self.inputs), line = CACHE_LINE // self.itemsize
        cdef int64_t lines = round_up(max(first, self.inputs - first), line) // line
        self.half_row = (lines | 1) * line
        # What is added again further up is read in whole rows.
        self.gap = 0 if self.begins_branch(0) else self.capacity * self.half_row - first
        return 2 * self.half_row

    cdef bint _takes_gradient_of_input(self) noexcept:
        """Whether there has to be room for it: for products it is left out."""
        if self.ops.count == 0:
            return True
        return self.lowest == 0 and self.ops.items[0].kind != DENSE

    cdef int64_t _panels_of(self, const Op *op) noexcept:
        """Room for the packed parts of a kernel and of its transpose, and for a packed gradient."""
        cdef int64_t kernel = self.ops.packing_size(op.inputs, op.outputs, self.capacity)
        cdef int64_t transpose = self.ops.packing_size(op.outputs, op.inputs, self.capacity)
        cdef int64_t rows = self.capacity, tiles = 0, gradient = 0
        if tiles_pay(op.inputs, op.outputs, rows):
            tiles = self.ops.tiling_size(op.inputs, rows, op.outputs)
            rows = max(<int64_t>FNN_LEAST_STEPS, min(rows, <int64_t>MOST_DEFERRED_ROWS))
        if self.table.packing_pays(op.inputs, op.outputs, NULL, op.row):
            gradient = rows * round_up(op.outputs, self.table.panel_width)
        return max(kernel, transpose, tiles, gradient)

    cdef int _allocate_gradients(self) except -1:
        """Gradients of the parameters in one buffer of the program's layout."""
        cdef int i
        cdef Op *op
        self.slopes = self.program.layout.zeros()
        self.slopes_at = address(self.slopes)
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            own = [None if p is None else <size_t>self.gradient_of(p)
                   for p in self.ops.parameters[i]]
            if op.kind == DENSE:
                op.kernel_gradient = <char *><size_t>own[0]
                op.bias_gradient = NULL if own[1] is None else <char *><size_t>own[1]
            elif op.kind == LAYER:
                self._point_to_gradients(op, own, self.ops.parameters[i])
        return 0

    cdef char *gradient_of(self, parameter) except NULL:
        """Where the gradient of a parameter is."""
        cdef int64_t offset = self.program.layout.offsets[parameter]
        return address(self.slopes) + offset * self.itemsize

    cdef int _point_to_gradients(self, Op *op, list own, parameters) except -1:
        """Let a layer write the gradients of the weights that are trained."""
        addresses = numpy.zeros(len(own), numpy.uintp)
        for i, parameter in enumerate(parameters):
            if parameter is not None and parameter.trainable:
                addresses[i] = own[i]
        self.arrays.append(addresses)
        op.layer.weight_gradients = <void *const *>address(addresses)
        op.weights = len(own)
        op.by_rows = op.steps.named_row != NULL and all([p.regularizer is None for p in parameters])
        op.follows = any([p is not None and p.renewed for p in parameters])
        return 0

    cdef void write_gradients_to(self, char *place) noexcept nogil:
        """Let the next passes write the gradients to another place, in the same layout."""
        cdef int64_t shift = place - self.slopes_at
        cdef char **addresses
        cdef int i, j
        cdef Op *op
        if shift == 0:
            return
        self.slopes_at = place
        for i in range(self.ops.count):
            op = &self.ops.items[i]
            if op.kind == DENSE:
                op.kernel_gradient += shift
                if op.bias_gradient != NULL:
                    op.bias_gradient += shift
            elif op.kind == LAYER:
                op.cleared = False  # for nothing is known of that place
                addresses = <char **>op.layer.weight_gradients
                for j in range(op.weights):
                    if addresses[j] != NULL:
                        addresses[j] += shift

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
                and op.kind in (DENSE, ACTIVATION, DROPOUT)
                and op.activation < FNN_SOFTMAX
                and not self.begins_branch(i + 1)
            )
        return 0

    cdef bint begins_branch(self, int i) noexcept:
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

    # What a pass consists of

    cdef int run(self, Batch *batch, const int64_t *order, int64_t start, bint training,
                 uint64_t iteration) except -1 nogil:
        """Go through the batch's rows, its `first` being row `start` of the data, in their order.

        Leaves the sums of loss and metrics and, in training, the gradients.
        """
        memset(self.sums, 0, (1 + self.metric_count) * sizeof(double))
        self._take(batch, order, start)
        self._forward(batch, training, iteration)
        if batch.not_finite[0]:
            return 0
        self._take_loss(batch, self.gradients[0] if training else NULL)
        if training:
            self._backward(batch)
        # Python metrics may raise, so they come before anything is changed.
        self._take_metrics(batch)
        return 0

    cdef void _take(self, Batch *batch, const int64_t *order, int64_t first) noexcept nogil:
        """Point the batch at its rows, gathering them first if they are visited out of order."""
        cdef int64_t i
        batch.x_order = batch.targets_order = NULL
        batch.x_gap = 0
        if order == NULL:
            batch.x, batch.x_row = batch.all_x + first * self.inputs * self.itemsize, self.inputs
            batch.labels = <const int32_t *>batch.all_y + first
            batch.targets = batch.all_y + first * self.width * self.itemsize
            batch.weights = NULL
            if batch.all_weights != NULL:
                batch.weights = batch.all_weights + first * self.itemsize
            return
        order += first
        batch.x, batch.x_row = self.x, self.input_row
        if self._in_halves(0, batch.rows):
            batch.x_order = order  # whoever works on a half gathers what it needs
            if self.deferring and self.ops.items[0].deferrable and self.gap > 0:
                batch.x_row, batch.x_gap = self.half_row, self.gap
        elif not shared_gather(self.table, batch.rows, self.inputs, batch.all_x, self.inputs, order,
                               self.x, self.input_row):
            batch.not_finite[0] = True
        batch.labels, batch.targets, batch.weights = self.labels, self.targets, NULL
        if batch.sparse:
            for i in range(batch.rows):
                self.labels[i] = (<const int32_t *>batch.all_y)[order[i]]
        elif self.targets_in_place:
            batch.targets, batch.targets_order = batch.all_y, order
        else:
            shared_gather(self.table, batch.rows, self.width, batch.all_y, self.width, order,
                          self.targets, self.width)
        if batch.all_weights != NULL:
            shared_gather(self.table, batch.rows, 1, batch.all_weights, 1, order, self.weights, 1)
            batch.weights = self.weights

    # Forward

    cdef int _forward(self, Batch *batch, bint training, uint64_t iteration) except -1 nogil:
        cdef const char *x = batch.x
        cdef int64_t x_row = batch.x_row, rows = batch.rows
        cdef int i
        cdef Op *op
        if self.ops.count == 0:
            self._copy_rows(rows, self.inputs, x, x_row, self.predictions, self.predictions_row)
        for i in range(self.ops.count):
            if batch.not_finite[0]:
                break
            op = &self.ops.items[i]
            if op.kind == DENSE:
                self._dense(i, batch, x, x_row, training)
            elif op.kind == ACTIVATION and training and op.z != op.y:
                self._activate_and_save(op, rows, x, x_row)
            elif op.kind == ACTIVATION:
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
                self._dropout(op, batch, x, x_row, iteration)
            else:
                self._copy_rows(rows, op.outputs, x, x_row, op.y, op.row)
            x, x_row = op.y, op.row
        return 0

    cdef void _activate_and_save(self, const Op *op, int64_t rows, const char *x,
                                 int64_t x_row) noexcept nogil:
        """Activate rows, and leave in z the derivative or, if that costs more, the rows; x may be z."""
        cdef int64_t i
        if not fnn_saves_slope(op.activation):
            if x != op.z:
                self._copy_rows(rows, op.outputs, x, x_row, op.z, op.row)
            self.ops.elementwise(op, rows, x, x_row, op.y, op.row)
        elif x_row == op.row:
            shared_activate_with_slope(self.table, op.activation, op.options, rows * x_row, x, op.y,
                                       op.z)
        else:
            for i in range(rows):
                self.table.activate_with_slope(
                    op.activation, op.options, op.outputs, x + i * x_row * self.itemsize,
                    op.y + i * op.row * self.itemsize, op.z + i * op.row * self.itemsize)

    cdef void _copy_rows(self, int64_t rows, int64_t columns, const char *x, int64_t x_row,
                         char *y, int64_t y_row) noexcept nogil:
        cdef int64_t i
        for i in range(rows):
            memcpy(y + i * y_row * self.itemsize, x + i * x_row * self.itemsize,
                   columns * self.itemsize)

    cdef bint _in_halves(self, int i, int64_t rows) noexcept nogil:
        """Whether op `i` is a product that is worked out in halves, in a single kernel call each."""
        cdef const Op *op = &self.ops.items[i]
        if i == self.ops.count or op.kind != DENSE:
            return False
        return (fnn_halves_pay(rows, op.outputs, op.inputs)
                and 2.0 * rows * op.outputs * op.inputs <= call_flops())

    cdef int _dense(self, int i, const Batch *batch, const char *x, int64_t x_row,
                    bint training) except -1 nogil:
        cdef Op *op = &self.ops.items[i]
        cdef fnn_gemm g
        cdef int64_t rows = batch.rows
        cdef bint saving = training and op.z != op.y
        g.m, g.n, g.k = rows, self.ops.stored(op.outputs), op.inputs
        g.whole_m, g.add = rows, 0
        g.a, g.a_row, g.a_col = x, x_row, 1
        g.c, g.c_row = op.z if saving else op.y, op.row
        g.bias, g.saved = op.bias, NULL
        g.activation, g.options = op.activation, op.options
        g.epilogue = FNN_STORE if saving else FNN_STORE_ACTIVATION
        if self._in_halves(i, rows):
            self._product_in_halves(&g, op, batch, batch.x_order if i == 0 else NULL)
        elif self.table.packing_pays(rows, op.outputs, op.kernel, op.outputs):
            self.ops.packing_product(&g, op.kernel, op.outputs, op.outputs, 1, self.panels)
        else:
            # Reads past the end of a row stay within the parameters' buffer.
            g.b, g.b_row, g.b_panel = op.kernel, op.outputs, self.table.panel_width
            self.ops.product(&g)
        if saving:
            self._activate_and_save(op, rows, op.z, op.row)
        return 0

    cdef int _product_in_halves(self, fnn_gemm *g, const Op *op, const Batch *batch,
                                const int64_t *order) except -1 nogil:
        """Run a product in halves; `order` has the rows to gather for it, if they are not there."""
        cdef fnn_halves h
        cdef fnn_unpacked b
        g.b, g.b_row, g.b_panel = op.kernel, op.outputs, self.table.panel_width
        h.product, h.unpacked = g, NULL
        h.gap = batch.x_gap if g.a == batch.x else 0
        h.x, h.x_row, h.order = batch.all_x, self.inputs, order
        h.not_finite = batch.not_finite
        h.second = self.gradients[0]  # which are not there yet
        if self.table.packing_pays(g.m, op.outputs, op.kernel, op.outputs):
            b.b, b.b_row, b.b_col, b.columns = op.kernel, op.outputs, 1, op.outputs
            b.panels, b.shares = self.panels, self.ops.threads
            b.room = room_for_panels(self.table, g.m, g.k, op.outputs)
            h.unpacked = &b
        shared_halves(self.table, &h)
        return self.ops.heed(2.0 * g.m * g.n * g.k)

    cdef void _layer(self, Op *op, const Batch *batch, const char *x, int64_t x_row,
                     bint training, uint64_t iteration) noexcept nogil:
        cdef fnn_layer *l = &op.layer
        l.rows, l.first_row, l.add = batch.rows, batch.first, batch.add or op.cleared
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
                       uint64_t iteration) noexcept nogil:
        cdef fnn_dropout d
        d.rows, d.columns, d.first_row = batch.rows, op.outputs, batch.first
        d.x, d.x_row, d.y, d.y_row, d.factors = x, x_row, op.y, op.row, op.z
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
        self.sums[0] += float((values * weights).sum(dtype=numpy.float64))
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

    # Backward

    cdef int _backward(self, Batch *batch) except -1 nogil:
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
                                              self.gradients[1 - turn])
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
            op.cleared = False
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
            target = self.gradient_of(parameter)
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

    cdef void renew_statistics(self) noexcept nogil:
        """Let the statistics of layers follow the batch."""
        cdef int i
        for i in range(self.ops.count):
            if self.ops.items[i].kind == LAYER and self.ops.items[i].steps.renew != NULL:
                self.ops.items[i].steps.renew(&self.ops.items[i].layer)

    cdef int _backward_through_activation(self, Op *op, const Batch *batch, const char *x,
                                          int64_t x_row, char *gradient,
                                          char *other) except -1 nogil:
        """Turn the gradient at an op's output into that before its activation, or its dropout.

        It is done in place, or into the `other` buffer where the activation changes the width.
        """
        cdef int64_t rows = batch.rows, below_row = self.ops.padded_row(op.inputs)
        cdef bint from_input = fnn_saves_input(op.activation)
        if op.kind == CUSTOM:
            self._custom_backward(op, rows, x, x_row, gradient,
                                  gradient if op.inputs == op.outputs else other, below_row)
        elif op.activation >= FNN_SOFTMAX:
            self.table.activate_rows_gradient(
                op.activation, rows, op.inputs, gradient, op.row,
                x if from_input else op.y, x_row if from_input else op.row,
                gradient if op.inputs == op.outputs else other, below_row)
        elif op.derivative != FNN_LINEAR and not op.gradient_fused:
            shared_activate_gradient(self.table, op.derivative, op.options, rows * op.row,
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
        g.add = batch.add
        g.m, g.n, g.k = op.inputs, op.outputs, rows
        g.whole_m = op.inputs
        g.a, g.a_row, g.a_col = x, 1, x_row
        g.b, g.b_row, g.b_panel = gradient, op.row, self.table.panel_width
        g.c, g.c_row = op.kernel_gradient, op.outputs
        g.bias, g.saved, g.epilogue = NULL, NULL, FNN_STORE
        g.activation, g.options = FNN_LINEAR, NULL
        op.gap = batch.x_gap if x == batch.x else 0
        if not (self.deferring and op.deferrable):
            self._gradient_of_kernel(g)
        if op.bias != NULL:
            shared_column_sums(self.table, rows, op.outputs, gradient, op.row, op.bias_gradient,
                               g.add)
        return 0

    cdef int _gradient_of_kernel(self, fnn_gemm *g) except -1 nogil:
        if tiles_pay(g.m, g.n, g.k):
            return self.ops.product_of_tiles(g, <const char *>g.b, g.n, g.b_row, self.panels)
        self.pack_gradient(g)
        return self.ops.product(g)

    cdef void pack_gradient(self, fnn_gemm *g) noexcept nogil:
        """Pack the B of a kernel's gradient, which is that at the op's output, where it pays."""
        if self.table.packing_pays(g.m, g.n, NULL, g.b_row):
            shared_pack(self.table, g.k, g.n, g.b, g.b_row, 1, self.panels)
            g.b, g.b_row = self.panels, self.table.panel_width
            g.b_panel = g.k * self.table.panel_width

    cdef int _backward_to_input(self, Op *op, Op *below, int64_t rows, const char *gradient,
                                char *out) except -1 nogil:
        """dZ times the transposed kernel, times the derivative of the op below if it is fused."""
        cdef fnn_gemm g
        if self.table.dots_pay(rows, op.outputs):
            return self._backward_to_few_rows(op, below, rows, gradient, out)
        g.m, g.n, g.k = rows, self.ops.stored(op.inputs), op.outputs
        g.whole_m, g.add = rows, 0
        g.a, g.a_row, g.a_col = gradient, op.row, 1
        g.c, g.c_row = out, below.row
        g.bias = NULL
        g.epilogue = FNN_STORE_GRADIENT if below.gradient_fused else FNN_STORE
        g.activation, g.options = below.derivative, below.options
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
            shared_activate_gradient(self.table, below.derivative, below.options,
                                     (rows - 1) * below.row + op.inputs, out, below.z, out)
        return 0
