"""The orthogonal penalty of a matrix of weights, and its gradient.

Rows or columns, the vectors are copied to rows of unit length, and from then on it is all the
same: a product of the units with their transpose gives the cosines, and a product of the cosines'
signs with the units gives the slopes. Both products take a block of vectors at a time, so that
the workspace grows with the number of vectors and not with its square.
"""

cimport numpy as np
from libc.stdint cimport int64_t

from fastnn.native.dispatch cimport kernels_for
from fastnn.native.team cimport shared_packing_gemm

import numpy

from fastnn.native.team import get_num_threads
from fastnn.program import aligned_zeros

<void>np._import_array  # not called: no function of its C API is used

cdef enum:
    BLOCK_VECTORS = 256
    PACK_BYTES = 256 * 1024    # at a time


cdef char *allocate(list arrays, int64_t size, dtype) except NULL:
    array = aligned_zeros(size, dtype)
    arrays.append(array)
    return <char *>np.PyArray_DATA(array)


cdef list prepare_orthogonal(Orthogonal *o, shape, dtype, double factor, mode):
    """Lay out the workspace for weights of one shape; return the arrays that it is made of."""
    cdef fnn_vectors *v = &o.vectors
    cdef int64_t rows = shape[0], columns = shape[1], itemsize = dtype.itemsize
    cdef int64_t line = 64 // itemsize
    cdef list arrays = []
    o.table = kernels_for(itemsize)
    v.count, v.length = rows, columns
    v.vector, v.element = columns, 1
    if mode == "columns":
        v.count, v.length = columns, rows
        v.vector, v.element = 1, columns
    o.share = factor / (<double>v.count * (v.count - 1)) if v.count > 1 else 0.0
    o.block = min(v.count, BLOCK_VECTORS)
    o.block_flops = 4.0 * o.block * v.count * v.length
    v.units_row = (v.length + line - 1) // line * line
    o.gram_row = (v.count + line - 1) // line * line
    v.units = allocate(arrays, v.count * v.units_row, dtype)
    v.norms = <double *>allocate(arrays, v.count, numpy.dtype(numpy.float64))
    o.gram = allocate(arrays, o.block * o.gram_row, dtype)
    o.slopes = allocate(arrays, o.block * v.units_row, dtype)
    o.packing.shares = get_num_threads()
    o.packing.room = max(
        max(v.count, v.length) * o.table.panel_width, <int64_t>PACK_BYTES // itemsize
    )
    o.packing.panels = allocate(arrays, o.packing.shares * o.packing.room, dtype)
    return arrays


cdef void begin_orthogonal(Orthogonal *o, const char *w) noexcept nogil:
    """Take the weights; `orthogonal_block` goes on with their units."""
    o.vectors.w = w
    o.table.unit_vectors(&o.vectors)


cdef double orthogonal_block(Orthogonal *o, int64_t first, char *gradient) noexcept nogil:
    """Return the penalty of a block's vectors; add their part of the gradient to `gradient`.

    `gradient` lies as the weights do, or is NULL.
    """
    cdef fnn_vectors *v = &o.vectors
    cdef int64_t rows = min(o.block, v.count - first)
    cdef double total
    cdef fnn_gemm g
    if o.share == 0:
        return 0
    g.m, g.n, g.k = rows, v.count, v.length
    g.whole_m, g.add = rows, 0
    g.a, g.a_row, g.a_col = <char *>v.units + first * v.units_row * o.table.itemsize, v.units_row, 1
    g.c, g.c_row = o.gram, o.gram_row
    g.bias, g.saved, g.epilogue, g.activation, g.options = NULL, NULL, FNN_STORE, FNN_LINEAR, NULL
    o.packing.b, o.packing.b_row, o.packing.b_col = v.units, 1, v.units_row
    o.packing.columns = v.count
    shared_packing_gemm(o.table, &g, &o.packing)
    total = o.table.pair_signs(first, rows, v.count, o.gram, o.gram_row)
    if gradient != NULL:
        g.n, g.k = v.length, v.count
        g.a, g.a_row = o.gram, o.gram_row
        g.c, g.c_row = o.slopes, v.units_row
        o.packing.b_row, o.packing.b_col, o.packing.columns = v.units_row, 1, v.length
        shared_packing_gemm(o.table, &g, &o.packing)
        o.table.orthogonal_gradient(&o.vectors, first, rows, 2 * o.share, o.slopes, gradient)
    return o.share * total
