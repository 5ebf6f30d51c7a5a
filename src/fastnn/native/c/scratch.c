#include "scratch.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int usable;
static _Thread_local void *room;
static _Thread_local size_t room_size;

static void make_key(void) { usable = pthread_key_create(&key, free) == 0; }

void *fnn_scratch(size_t size) {
    if (room_size >= size) return room;
    pthread_once(&once, make_key);
    if (!usable) return NULL;
    free(room);
    room = NULL;
    room_size = 0;
    if (posix_memalign(&room, 64, size) != 0) room = NULL;
    if (room) room_size = size;
    pthread_setspecific(key, room); /* so that it is freed when the thread ends */
    return room;
}
