/* Room for a kernel that needs some now and then: a few hundred kilobytes for each thread, or as
 * many as 2 MB. */
#ifndef FASTNN_SCRATCH_H
#define FASTNN_SCRATCH_H

#include <stddef.h>

/* Room for `size` bytes that begins on a cache line, the calling thread's until it asks again;
 * NULL if there is no memory. It is kept for the next time, and freed when the thread ends. */
void *fnn_scratch(size_t size);

#endif
