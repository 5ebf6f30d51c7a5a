from fastnn.native.ckernels cimport fnn_kernels

cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil
