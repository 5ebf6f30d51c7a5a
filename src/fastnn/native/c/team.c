/* The team: one pool of threads for the process, its own rather than OpenMP's.
 *
 * Why its own: a region of a training step takes 1 to 1000 us, so what counts is how soon a hot
 * worker begins (0.2 us here and with libgomp), how it waits, and what happens beside other load.
 * libgomp spins for milliseconds or wakes through the kernel each time (42 to 58 us), leaves a
 * forked child hanging at its first region, and can neither share its work out again nor rest.
 *
 * Who does what: tasks are taken one by one from `ticket`, a word that holds the number of the
 * region and which tasks nobody has taken yet. A caller therefore never waits for a worker that is
 * asleep or displaced: it does the work itself, and waits only for tasks under way. It takes them
 * from the beginning and workers from the end, so that with two threads each has the same part of
 * an array in one region as in the next, and finds it in its cache. Long regions have several tasks
 * for each thread, so that one whose processor is slow, or away for a while, does less.
 *
 * How workers wait: PAUSES turns of the processor's pause (some microseconds), then they yield
 * until IDLE_SECONDS are over, then they sleep until a region wakes them. A short call does not wait
 * for that; where one comes soon after another, it wakes them for the next.
 *
 * Other load: where a worker is displaced in the middle of its task, the caller waits for
 * milliseconds. So an account is kept of the time that regions save against doing all of their
 * tasks on the caller, as far as its own tell. When it is in debt by MOST_DEBT the team rests, so
 * that regions run on their caller alone: for REST_SECONDS, twice as long if that comes again soon
 * after and no more than WORTH was saved in between, up to LONGEST_REST. What was saved long ago does
 * not count; but the host of a virtual machine may take a processor away for ten milliseconds
 * several times a second. MOST_CREDIT covers that: with much less the team rested most of the time
 * there. It rests too when a second thread comes with a region of its own while one is under way,
 * for then the processors are taken already. What regions do not show, that one core reads slowly
 * what another has written or is slowed down from outside, training finds out from whole steps: see
 * Pace in team.pyx. */

#define _GNU_SOURCE

#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "subnormals.h"

/* Floating-point operations from which on a region pays whose workers are awake, or asleep; and
 * those of a training step from which on they should be awake. */
#define HOT_WORK 1.5e6
#define COLD_WORK 3e6
#define ROUSE_WORK 4e6
#define PAUSES 100
#define IDLE_SECONDS 200e-6
#define MOST_DEBT 300e-6
#define MOST_CREDIT 0.02
#define REST_SECONDS 0.005
#define LONGEST_REST 0.64
#define CALM 10     /* lengths of the last rest after which one counts as the first again, */
#define WORTH 0.005 /* or seconds that have been saved since */

static struct {
    atomic_int threads;           /* bound of the process */
    atomic_flag busy;             /* a region is under way */
    int workers;                  /* threads that have been started; owner of `busy` only */
    atomic_uint_fast64_t ticket;  /* number of the region << 32 | last place << 24
                                   * | first << 12 | end of the tasks */
    atomic_int_fast64_t running;  /* tasks not yet finished */
    fnn_task run;
    void *context;
    uint64_t float_mode;          /* of the caller; workers adopt it */
    pthread_mutex_t mutex;        /* guards sleeping, */
    pthread_cond_t wake;
    int calls;                    /* and how often sleepers were called */
    atomic_int sleepers;
    _Atomic double rest_until;
    double rest;                  /* length of the last rest */
    double balance;               /* seconds saved, */
    double most;                  /* and the most since the last rest */
} team = {
    .threads = 1,
    .busy = ATOMIC_FLAG_INIT,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
};

static _Thread_local int inside;      /* of a region: those within run on one thread */
static _Thread_local int own_threads; /* bound of this thread, 0 for none */
static _Thread_local int alone;       /* this thread shares nothing for now */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void fnn_set_threads(int count) { atomic_store(&team.threads, count); }
int fnn_threads(void) { return atomic_load(&team.threads); }
void fnn_set_own_threads(int count) { own_threads = count; }
int fnn_own_threads(void) { return own_threads; }
void fnn_keep_alone(int yes) { alone = yes; }

static int bound(void) {
    if (alone) return 1;
    const int all = atomic_load_explicit(&team.threads, memory_order_relaxed);
    return own_threads > 0 && own_threads < all ? own_threads : all;
}

static int resting(void) {
    const double until = atomic_load_explicit(&team.rest_until, memory_order_relaxed);
    return until > 0 && seconds() < until;
}

/* Where the worker is awake a region costs 0.3 us, and what one thread has written and another
 * reads comes slowly; waking it costs the caller some microseconds, and the worker is late. */
int fnn_team_size(double work) {
    if (work < HOT_WORK) return 1;
    const int asleep = atomic_load_explicit(&team.sleepers, memory_order_relaxed) > 0;
    const int size = bound();
    if ((asleep && work < COLD_WORK) || size == 1 || inside || resting()) return 1;
    return size;
}

_Static_assert(FNN_MOST_THREADS <= 1 << 8 && FNN_MOST_TASKS < 1 << 12, "a ticket holds them");

/* The tasks that are left, and whether there are any for the thread of this place. */
static int64_t first_of(uint_fast64_t ticket) { return (int64_t)(ticket >> 12 & 0xfff); }
static int64_t end_of(uint_fast64_t ticket) { return (int64_t)(ticket & 0xfff); }
static int left_for(int64_t place, uint_fast64_t ticket) {
    return first_of(ticket) < end_of(ticket) && place <= (int64_t)(ticket >> 24 & 0xff);
}

/* Take a task of the region under way and do it; return whether there was one. What the region
 * consists of is read after that: it cannot end, and so not change, before this task is done. */
static int do_task(int64_t place) {
    const int from_end = place > 0;
    uint_fast64_t ticket = atomic_load_explicit(&team.ticket, memory_order_acquire), after;
    do {
        if (!left_for(place, ticket)) return 0;
        after = from_end ? ticket - 1 : ticket + (1 << 12);
    } while (!atomic_compare_exchange_weak_explicit(&team.ticket, &ticket, after,
                                                    memory_order_acq_rel, memory_order_acquire));
    fnn_restore_subnormals(team.float_mode); /* training flushes them to zero, inference does not */
    team.run(team.context, place, from_end ? end_of(after) : first_of(ticket));
    atomic_fetch_sub_explicit(&team.running, 1, memory_order_release);
    return 1;
}

static int work_is_left(int64_t place) {
    return left_for(place, atomic_load_explicit(&team.ticket, memory_order_acquire));
}

/* Until there is a task: spin, then yield, then sleep, and begin again when called. */
static void await_work(int64_t place) {
    for (int i = 0; i < PAUSES; i++) {
        if (work_is_left(place)) return;
        relax();
    }
    const double end = seconds() + IDLE_SECONDS;
    while (seconds() < end) {
        if (work_is_left(place)) return;
        sched_yield();
    }
    pthread_mutex_lock(&team.mutex);
    atomic_fetch_add(&team.sleepers, 1);
    /* A caller publishes tasks first and looks for sleepers then; here it is the other way. */
    const int before = team.calls;
    while (!left_for(place, atomic_load(&team.ticket)) && team.calls == before)
        pthread_cond_wait(&team.wake, &team.mutex);
    atomic_fetch_sub(&team.sleepers, 1);
    pthread_mutex_unlock(&team.mutex);
}

static void *work(void *place_of_worker) {
    const int64_t place = (int64_t)(intptr_t)place_of_worker;
    inside = 1;
    for (;;) {
        await_work(place);
        while (do_task(place)) {
        }
    }
    return NULL;
}

/* Start workers until there are `count`, or as many as the system lets us have. */
static void recruit(int count) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for threads that run Python */
    while (team.workers < count) {
        pthread_t thread;
        const intptr_t place = team.workers + 1; /* the caller has the first */
        if (pthread_create(&thread, NULL, work, (void *)place) != 0) break;
        pthread_detach(thread);
        team.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Let the tasks that others have taken end; return the seconds waited, or 0 if they were few. */
static double await_others(void) {
    for (int i = 0; i < PAUSES; i++) {
        if (atomic_load_explicit(&team.running, memory_order_acquire) == 0) return 0;
        relax();
    }
    const double start = seconds();
    while (atomic_load_explicit(&team.running, memory_order_acquire) != 0) sched_yield();
    return seconds() - start;
}

static void take_rest(void) {
    const double now = seconds(), calm = now - atomic_load(&team.rest_until);
    const int anew = calm > CALM * team.rest || team.most > WORTH;
    team.rest = anew ? REST_SECONDS : 2 * team.rest;
    if (team.rest > LONGEST_REST) team.rest = LONGEST_REST;
    team.balance = team.most = 0;
    atomic_store(&team.rest_until, now + team.rest);
}

static void wake_workers(void) {
    if (atomic_load(&team.sleepers) == 0) return;
    pthread_mutex_lock(&team.mutex);
    team.calls++;
    pthread_cond_broadcast(&team.wake);
    pthread_mutex_unlock(&team.mutex);
}

void fnn_wake_team(double work) {
    if (work >= ROUSE_WORK && !inside && bound() > 1 && !resting()) wake_workers();
}

/* A worker that finds nothing to do stays awake for IDLE_SECONDS: the next call has to come by then. */
void fnn_call_alone(double work) {
    static _Thread_local double last;
    if (work < HOT_WORK || inside || bound() == 1) return;
    const double now = seconds(), since = now - last;
    last = now;
    if (since < IDLE_SECONDS / 2 && !resting()) wake_workers();
}

static void publish(int64_t places, int64_t tasks, fnn_task run, void *context) {
    const uint_fast64_t region = (atomic_load(&team.ticket) >> 32) + 1;
    team.run = run;
    team.context = context;
    team.float_mode = fnn_subnormals();
    atomic_store(&team.running, tasks);
    atomic_store(&team.ticket,
                 region << 32 | (uint_fast64_t)(places - 1) << 24 | (uint_fast64_t)tasks);
    wake_workers();
}

/* Book what a region has saved, of which the caller did `own` tasks in `worked` seconds. */
static void settle(int64_t tasks, int64_t own, double worked, double waited) {
    if (own == 0) return; /* nothing to compare with; others were quick */
    team.balance += worked * (double)(tasks - own) / (double)own - waited;
    if (team.balance > MOST_CREDIT) team.balance = MOST_CREDIT;
    if (team.balance > team.most) team.most = team.balance;
    if (team.balance < -MOST_DEBT) take_rest();
}

static void run_region(int64_t places, int64_t tasks, fnn_task run, void *context) {
    inside = 1;
    const double start = seconds();
    publish(places, tasks, run, context);
    int64_t own = 0;
    while (do_task(0)) own++;
    const double worked = seconds() - start;
    settle(tasks, own, worked, await_others());
    inside = 0;
}

void fnn_run_team(int64_t places, int64_t tasks, fnn_task run, void *context) {
    const int64_t allowed = inside ? 1 : bound();
    const int64_t size = places < allowed ? places : allowed;
    const int shareable = tasks > 1 && size > 1;
    if (shareable && !atomic_flag_test_and_set_explicit(&team.busy, memory_order_acquire)) {
        recruit((int)size - 1);
        run_region(size, tasks, run, context);
        atomic_flag_clear_explicit(&team.busy, memory_order_release);
        return;
    }
    if (shareable) atomic_store(&team.rest_until, seconds() + REST_SECONDS); /* a rival is there */
    for (int64_t task = 0; task < tasks; task++) run(context, 0, task);
}

/* A forked child has one thread, in the middle of nothing: its team starts anew. The mutex is held
 * over the fork, so that it is not caught half way. */
static void before_fork(void) { pthread_mutex_lock(&team.mutex); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&team.mutex); }
static void after_fork_in_child(void) {
    pthread_mutex_init(&team.mutex, NULL);
    pthread_cond_init(&team.wake, NULL);
    team.workers = 0;
    inside = 0;
    atomic_store(&team.ticket, 0);
    atomic_store(&team.sleepers, 0);
    atomic_flag_clear(&team.busy);
}

void fnn_prepare_team(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
