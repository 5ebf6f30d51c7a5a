"""The team of threads, and the one place where their number is chosen.

What is shared out, and how the team works, is in c/shares.c and c/team.c. The functions below
lend it to the other modules, which are libraries of their own.
"""

import contextlib

cimport cython

from fastnn._threads import MOST_THREADS, default_threads

cdef extern from "c/team.h" nogil:
    void fnn_set_threads(int)
    int fnn_threads()
    void fnn_set_own_threads(int)
    int fnn_own_threads()
    void fnn_keep_alone(int)
    void fnn_prepare_team()
    void fnn_wake_team(double)
    void fnn_call_alone(double)
    int fnn_team_size(double)

cdef extern from "c/shares.h" nogil:
    void fnn_share_out(int64_t, int64_t, int64_t, fnn_range, void *)
    void fnn_share_out_by_parts(int64_t, int64_t, int64_t, int64_t, fnn_range, void *)
    void fnn_shared_gemm(const fnn_kernels *, const fnn_gemm *)
    void fnn_shared_dots(const fnn_kernels *, const fnn_dots *)
    void fnn_shared_pack(
        const fnn_kernels *, int64_t, int64_t, const void *, int64_t, int64_t, void *)
    int fnn_shared_all_finite(const fnn_kernels *, int64_t, const void *)
    void fnn_shared_activate(
        const fnn_kernels *, fnn_activation, const double *, int64_t, const void *, void *)
    void fnn_shared_activate_gradient(
        const fnn_kernels *, fnn_activation, const double *, int64_t, const void *, const void *,
        void *)
    void fnn_shared_activate_with_slope(
        const fnn_kernels *, fnn_activation, const double *, int64_t, const void *, void *, void *)
    bint fnn_shared_gather(
        const fnn_kernels *, int64_t, int64_t, const void *, int64_t, const int64_t *, void *,
        int64_t)
    void fnn_shared_column_sums(
        const fnn_kernels *, int64_t, int64_t, const void *, int64_t, void *, int)
    double fnn_shared_loss(const fnn_kernels *, const fnn_loss_args *)
    double fnn_shared_metric(const fnn_kernels *, const fnn_metric_args *)
    void fnn_shared_dropout(const fnn_kernels *, const fnn_dropout *)
    void fnn_shared_layer_step(
        const fnn_kernels *, fnn_layer_step, fnn_split, const fnn_layer *)
    void fnn_shared_update(const fnn_kernels *, const fnn_update *)
    void fnn_shared_gradient_and_update(
        const fnn_kernels *, const fnn_gemm *, int64_t, const fnn_update *)
    void fnn_shared_min_max_norm(
        const fnn_kernels *, int64_t, int64_t, double, double, double, void *)
    void fnn_shared_non_neg(const fnn_kernels *, int64_t, void *)
    void fnn_shared_packing_gemm(const fnn_kernels *, const fnn_gemm *, const fnn_unpacked *)
    void fnn_shared_halves(const fnn_kernels *, const fnn_halves *)
    bint fnn_tiles_pay(int64_t, int64_t, int64_t)
    bint fnn_tiles_pay_beside_lots(const fnn_kernels *, const fnn_gemm *)
    int64_t fnn_steps_in_tiles(const fnn_kernels *, int64_t)
    void fnn_shared_gemm_of_tiles(const fnn_kernels *, const fnn_gemm *, const fnn_unpacked *)
    void fnn_shared_copy_in_tiles(
        const fnn_kernels *, int64_t, int64_t, const void *, int64_t, void *)


def set_num_threads(n):
    """Let fastnn use up to `n` threads from now on, in the whole process.

    Results are the same bits for any number. Work that is too small for several threads is done
    by one.

    Parameters
    ----------
    n : int
        From 1 to 256. What it is at first, `get_num_threads` tells: the number in the environment
        variable ``FASTNN_NUM_THREADS``, else in ``OMP_NUM_THREADS``, else that of the cores which
        the process may use.

    Raises
    ------
    TypeError, ValueError
        If `n` is not such a number.
    """
    fnn_set_threads(_checked(n))


def get_num_threads():
    """Return how many threads a call from this thread may use at most."""
    own = fnn_own_threads()
    return min(own, fnn_threads()) if own else fnn_threads()


@contextlib.contextmanager
def use_threads(n):
    """Context in which calls from this thread use up to `n` threads, if the process may.

    Unlike `set_num_threads` it does not concern other threads: let each of several that predict
    or train at once use one, for example.

    Parameters
    ----------
    n : int
        From 1 to 256.

    Raises
    ------
    TypeError, ValueError
        If `n` is not such a number.
    """
    before = fnn_own_threads()
    fnn_set_own_threads(_checked(n))
    try:
        yield
    finally:
        fnn_set_own_threads(before)


def _checked(n):
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"the number of threads must be an integer, got {n!r}")
    if not 1 <= n <= MOST_THREADS:
        raise ValueError(f"the number of threads must lie in [1, {MOST_THREADS}], got {n}")
    return n.__index__()


cdef double SETTLING = 100e-6  # after a change: workers wake, caches fill
cdef double WINDOW = 300e-6    # for which steps are timed, at least
cdef double LONG = 2e-3        # of a step that tells enough alone, settling or not
cdef double WORTH = 0.97       # of the time that the other way should take, at most
cdef double HOPELESS = 1.3     # of that time, at which a trial on one thread ends

cdef enum:
    FEWEST = 3    # steps of a window, at least
    SOON = 16     # windows until the first trial, and until the next if one has changed something;
    LATEST = 128  # twice as many each time, but at most these, if they change nothing
    BEGINNINGS = 8  # after which a trial is given up: too few steps come at a time to tell


@cython.final
cdef class Pace:
    """Whether steps that repeat are faster on the calling thread alone, found out by trying.

    What it costs that one core reads what another has just written, and how much it is slowed down
    by its neighbours, is not to be seen in single regions, and changes from one second to the next.
    So the time of whole steps is taken. Every now and then, seldom enough for it not to matter, a
    few steps are done the other way; if they are faster it stays so. A single step may take ten
    times as long, if a processor is taken away or memory is new, most often as a worker wakes.

    Attributes
    ----------
    alone : bool
        Whether the next step should stay on the calling thread.
    """

    def __cinit__(self):
        self.pause = SOON

    cpdef void begin(self, double now) noexcept nogil:
        """Begin with steps, or go on with them after something else."""
        if now - self.last > SETTLING:
            self.settling = True
            self.spent, self.steps = 0, 0
            self.beginnings += 1
            if self.trying and self.beginnings > BEGINNINGS:
                self._end_trial(changing=False)
        self.last = now

    cpdef void end_step(self, double now) noexcept nogil:
        """Note that a step, which began with the end of the one before, has ended."""
        self.spent += now - self.last
        self.last = now
        if self.waking:
            self.waking = False
            self.spent = 0
            return
        self.steps += 1
        if self.spent < LONG * self.steps and not self._is_hopeless():
            if self.settling:
                if self.spent >= SETTLING:
                    self.settling = False
                    self.spent, self.steps = 0, 0
                return
            if self.spent < WINDOW or self.steps < FEWEST:
                return
        self.settling = False
        if self.trying:
            self._end_trial(changing=self.spent / self.steps < WORTH * self.usual)
        else:
            self._note(self.spent / self.steps)
        self.spent, self.steps = 0, 0

    cdef bint _is_hopeless(self) noexcept nogil:
        """Whether a trial on one thread need not go on; one with the team may begin slowly."""
        cdef bint alone = self.trying and self.alone
        return alone and self.spent >= max(SETTLING, HOPELESS * self.usual * self.steps)

    cdef void _note(self, double step) noexcept nogil:
        """Keep the time of a step, the middle one of three; begin a trial if it is time for one."""
        cdef double shorter = min(step, self.before), longer = max(step, self.before)
        self.usual = max(shorter, min(self.before_that, longer))
        self.before_that, self.before = self.before, step
        self.windows += 1
        if self.windows >= self.pause:
            self.waking = self.alone
            self.alone = not self.alone
            self.trying = self.settling = True
            self.beginnings = 0

    cdef void _end_trial(self, bint changing) noexcept nogil:
        """Keep to the way that was tried if that changes something for the better."""
        if changing:
            self.pause = SOON
        else:
            self.alone = not self.alone
            self.settling = True
            self.pause = min(2 * self.pause, LATEST)
        self.trying = False
        self.windows = 0


cdef void keep_alone(bint yes) noexcept nogil:
    fnn_keep_alone(yes)


cdef void wake_team(double work) noexcept nogil:
    fnn_wake_team(work)


cdef void call_alone(double work) noexcept nogil:
    fnn_call_alone(work)


cdef int team_size(double work) noexcept nogil:
    return fnn_team_size(work)


cdef void share_out(
    int64_t shares, int64_t total, int64_t unit, fnn_range body, void *context) noexcept nogil:
    fnn_share_out(shares, total, unit, body, context)


cdef void share_out_by_parts(
    int64_t shares, int64_t parts, int64_t total, int64_t unit, fnn_range body,
    void *context) noexcept nogil:
    fnn_share_out_by_parts(shares, parts, total, unit, body, context)


cdef void shared_gemm(const fnn_kernels *table, const fnn_gemm *g) noexcept nogil:
    fnn_shared_gemm(table, g)


cdef void shared_dots(const fnn_kernels *table, const fnn_dots *d) noexcept nogil:
    fnn_shared_dots(table, d)


cdef void shared_pack(
    const fnn_kernels *table, int64_t k, int64_t n, const void *b, int64_t b_row, int64_t
    b_col, void *packed) noexcept nogil:
    fnn_shared_pack(table, k, n, b, b_row, b_col, packed)


cdef bint shared_all_finite(const fnn_kernels *table, int64_t n, const void *x) noexcept nogil:
    return fnn_shared_all_finite(table, n, x)


cdef void shared_activate(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *x, void *y) noexcept nogil:
    fnn_shared_activate(table, kind, options, n, x, y)


cdef void shared_activate_gradient(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *gradient, const void *saved, void *out) noexcept nogil:
    fnn_shared_activate_gradient(table, kind, options, n, gradient, saved, out)


cdef void shared_activate_with_slope(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *x, void *y, void *slopes) noexcept nogil:
    fnn_shared_activate_with_slope(table, kind, options, n, x, y, slopes)


cdef bint shared_gather(
    const fnn_kernels *table, int64_t rows, int64_t columns, const void *x, int64_t x_row,
    const int64_t *order, void *out, int64_t out_row) noexcept nogil:
    return fnn_shared_gather(table, rows, columns, x, x_row, order, out, out_row)


cdef void shared_column_sums(
    const fnn_kernels *table, int64_t rows, int64_t columns, const void *x, int64_t x_row,
    void *out, bint add) noexcept nogil:
    fnn_shared_column_sums(table, rows, columns, x, x_row, out, add)


cdef double shared_loss(const fnn_kernels *table, const fnn_loss_args *args) noexcept nogil:
    return fnn_shared_loss(table, args)


cdef double shared_metric(const fnn_kernels *table, const fnn_metric_args *args) noexcept nogil:
    return fnn_shared_metric(table, args)


cdef void shared_dropout(const fnn_kernels *table, const fnn_dropout *d) noexcept nogil:
    fnn_shared_dropout(table, d)


cdef void shared_layer_step(
    const fnn_kernels *table, fnn_layer_step step, fnn_split split,
    const fnn_layer *l) noexcept nogil:
    fnn_shared_layer_step(table, step, split, l)


cdef void shared_update(const fnn_kernels *table, const fnn_update *u) noexcept nogil:
    fnn_shared_update(table, u)


cdef void shared_gradient_and_update(
    const fnn_kernels *table, const fnn_gemm *g, int64_t gap, const fnn_update *u) noexcept nogil:
    fnn_shared_gradient_and_update(table, g, gap, u)


cdef void shared_min_max_norm(
    const fnn_kernels *table, int64_t rows, int64_t columns, double low, double high, double rate,
    void *x) noexcept nogil:
    fnn_shared_min_max_norm(table, rows, columns, low, high, rate, x)


cdef void shared_non_neg(const fnn_kernels *table, int64_t n, void *x) noexcept nogil:
    fnn_shared_non_neg(table, n, x)


cdef void shared_packing_gemm(
    const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) noexcept nogil:
    fnn_shared_packing_gemm(table, g, b)


cdef void shared_halves(const fnn_kernels *table, const fnn_halves *h) noexcept nogil:
    fnn_shared_halves(table, h)


cdef bint tiles_pay(int64_t m, int64_t n, int64_t k) noexcept nogil:
    return fnn_tiles_pay(m, n, k)


cdef bint tiles_pay_beside_lots(const fnn_kernels *table, const fnn_gemm *g) noexcept nogil:
    return fnn_tiles_pay_beside_lots(table, g)


cdef int64_t steps_in_tiles(const fnn_kernels *table, int64_t k) noexcept nogil:
    return fnn_steps_in_tiles(table, k)


cdef void shared_gemm_of_tiles(
    const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) noexcept nogil:
    fnn_shared_gemm_of_tiles(table, g, b)


cdef void shared_copy_in_tiles(
    const fnn_kernels *table, int64_t m, int64_t k, const void *a, int64_t a_col,
    void *copy) noexcept nogil:
    fnn_shared_copy_in_tiles(table, m, k, a, a_col, copy)


def _begin():
    try:
        fnn_set_threads(default_threads())
    except ValueError as error:
        raise ImportError(str(error)) from None
    fnn_prepare_team()


_begin()
