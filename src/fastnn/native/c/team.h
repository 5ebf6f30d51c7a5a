/* A team of threads that work on one region at a time.
 *
 * A region is a number of tasks, each run once by whichever thread of the team takes it: the
 * caller, or a worker that is awake. Results must not depend on who does what, nor on how many
 * tasks there are; then they are the same, bit for bit, for any number of threads. */
#ifndef FASTNN_TEAM_H
#define FASTNN_TEAM_H

#include <stdint.h>

#define FNN_MOST_THREADS 256

/* How many threads regions may use: of the whole process, and at most for the calling thread
 * (0: no bound of its own). */
void fnn_set_threads(int count);
int fnn_threads(void);
void fnn_set_own_threads(int count);
int fnn_own_threads(void);

/* Whether regions of the calling thread stay on it for the time being. */
void fnn_keep_alone(int yes);

/* How many threads a region of so many floating-point operations would have if it began now. 1 if
 * it is too short, inside of a region, and while the team rests because it met with other load. */
int fnn_team_size(double work);

/* Wake workers that sleep if `work` is enough: the regions to come may be too short for that. */
void fnn_wake_team(double work);

/* Say that a call of so much work goes on alone. Where such calls follow close upon each other, the
 * workers are woken for the next, though one by itself is too short for that. */
void fnn_call_alone(double work);

/* Run tasks 0, ..., tasks - 1, at most FNN_MOST_TASKS; return when all are done. More tasks than one
 * are a region. Each is run in one of so many places, by whoever has it for the region: room of its
 * own belongs to a place. */
#define FNN_MOST_TASKS 4095
typedef void (*fnn_task)(void *context, int64_t place, int64_t task);
void fnn_run_team(int64_t places, int64_t tasks, fnn_task run, void *context);

/* Forks and waiting workers: to be called once, before the first region. */
void fnn_prepare_team(void);

#endif
