from libc.stdint cimport int64_t

from fastnn.native.ckernels cimport fnn_kernels

cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil
cdef int64_t room_for_panels(
    const fnn_kernels *table, int64_t rows, int64_t k, int64_t columns
) noexcept nogil
