"""Kernels shared out over the team; explained in c/shares.h and c/team.h."""

from libc.stdint cimport int64_t

from fastnn.native.ckernels cimport *

cdef extern from "c/shares.h" nogil:
    ctypedef struct fnn_unpacked:
        const void *b
        int64_t b_row, b_col, columns
        void *panels
        int64_t room, shares

    ctypedef struct fnn_halves:
        const fnn_gemm *product
        int64_t gap
        const fnn_unpacked *unpacked
        const void *x
        int64_t x_row
        const int64_t *order
        int *not_finite
        void *second

    enum:
        FNN_PARTS, FNN_TILE_BYTES, FNN_LEAST_STEPS

    int64_t fnn_first_half(int64_t k)
    bint fnn_halves_pay(int64_t m, int64_t n, int64_t k)

    ctypedef void (*fnn_layer_step)(const fnn_layer *) noexcept nogil
    ctypedef void (*fnn_range)(void *, int64_t, int64_t, int64_t) noexcept nogil

cdef class Pace:
    cdef readonly bint alone
    cdef bint trying, settling, waking
    cdef int64_t steps, windows, pause, beginnings
    cdef double last, spent, usual, before, before_that

    cpdef void begin(self, double now) noexcept nogil
    cpdef void end_step(self, double now) noexcept nogil
    cdef bint _is_hopeless(self) noexcept nogil
    cdef void _note(self, double step) noexcept nogil
    cdef void _end_trial(self, bint changing) noexcept nogil

cdef void keep_alone(bint yes) noexcept nogil
cdef void wake_team(double work) noexcept nogil
cdef void call_alone(double work) noexcept nogil
cdef int team_size(double work) noexcept nogil
cdef void share_out(
    int64_t shares, int64_t total, int64_t unit, fnn_range body, void *context) noexcept nogil
cdef void share_out_by_parts(
    int64_t shares, int64_t parts, int64_t total, int64_t unit, fnn_range body,
    void *context) noexcept nogil
cdef void shared_gemm(const fnn_kernels *table, const fnn_gemm *g) noexcept nogil
cdef void shared_packing_gemm(
    const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) noexcept nogil
cdef void shared_halves(const fnn_kernels *table, const fnn_halves *h) noexcept nogil
cdef bint tiles_pay(int64_t m, int64_t n, int64_t k) noexcept nogil
cdef bint tiles_pay_beside_lots(const fnn_kernels *table, const fnn_gemm *g) noexcept nogil
cdef int64_t steps_in_tiles(const fnn_kernels *table, int64_t k) noexcept nogil
cdef void shared_gemm_of_tiles(
    const fnn_kernels *table, const fnn_gemm *g, const fnn_unpacked *b) noexcept nogil
cdef void shared_copy_in_tiles(
    const fnn_kernels *table, int64_t m, int64_t k, const void *a, int64_t a_col,
    void *copy) noexcept nogil
cdef void shared_dots(const fnn_kernels *table, const fnn_dots *d) noexcept nogil
cdef void shared_pack(
    const fnn_kernels *table, int64_t k, int64_t n, const void *b, int64_t b_row, int64_t b_col,
    void *packed) noexcept nogil
cdef bint shared_all_finite(const fnn_kernels *table, int64_t n, const void *x) noexcept nogil
cdef void shared_activate(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *x, void *y) noexcept nogil
cdef void shared_activate_gradient(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *gradient, const void *saved, void *out) noexcept nogil
cdef void shared_activate_with_slope(
    const fnn_kernels *table, fnn_activation kind, const double *options, int64_t n,
    const void *x, void *y, void *slopes) noexcept nogil
cdef bint shared_gather(
    const fnn_kernels *table, int64_t rows, int64_t columns, const void *x, int64_t x_row,
    const int64_t *order, void *out, int64_t out_row) noexcept nogil
cdef void shared_column_sums(
    const fnn_kernels *table, int64_t rows, int64_t columns, const void *x, int64_t x_row,
    void *out, bint add) noexcept nogil
cdef double shared_loss(const fnn_kernels *table, const fnn_loss_args *args) noexcept nogil
cdef double shared_metric(const fnn_kernels *table, const fnn_metric_args *args) noexcept nogil
cdef void shared_dropout(const fnn_kernels *table, const fnn_dropout *d) noexcept nogil
cdef void shared_layer_step(
    const fnn_kernels *table, fnn_layer_step step, fnn_split split,
    const fnn_layer *l) noexcept nogil
cdef void shared_update(const fnn_kernels *table, const fnn_update *u) noexcept nogil
cdef void shared_gradient_and_update(
    const fnn_kernels *table, const fnn_gemm *g, int64_t gap, const fnn_update *u) noexcept nogil
cdef void shared_min_max_norm(
    const fnn_kernels *table, int64_t rows, int64_t columns, double low, double high, double rate,
    void *x) noexcept nogil
cdef void shared_non_neg(const fnn_kernels *table, int64_t n, void *x) noexcept nogil
