"""The orthogonal penalty; explained in orthogonal.pyx."""

from libc.stdint cimport int64_t

from fastnn.native.ckernels cimport *
from fastnn.native.team cimport fnn_unpacked

cdef struct Orthogonal:
    const fnn_kernels *table
    fnn_vectors vectors
    double share               # of each ordered pair in the penalty
    int64_t block              # vectors that are worked on at a time
    double block_flops
    char *gram                 # cosines of a block with all vectors, then their signs
    int64_t gram_row
    char *slopes
    fnn_unpacked packing

cdef list prepare_orthogonal(Orthogonal *o, shape, dtype, double factor, mode)
cdef void begin_orthogonal(Orthogonal *o, const char *w) noexcept nogil
cdef double orthogonal_block(Orthogonal *o, int64_t first, char *gradient) noexcept nogil
