from libc.stdint cimport int64_t

from fastnn.native.ckernels cimport fnn_kernels

cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil
cdef int64_t near_bytes() noexcept nogil
