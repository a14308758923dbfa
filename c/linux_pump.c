/*
 * The pump: one thread per process that waits on epoll for the descriptors of all jobs and moves bytes in turns.
 *
 * Everything in a job belongs to the lock, except while its state is BUSY: then the thread alone touches its
 * descriptors and offsets. A job's descriptors are duplicates of its own, so a number that somebody closes and another
 * connection gets is never written to.
 */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURN (4 * 1024 * 1024)
#define PIPE_SIZE (1024 * 1024)
#define IDLE_MILLISECONDS 1000
#define MOST_JOBS (1 << 20)
#define MOST_CHANNELS 256

enum { WAITING = 1, BUSY, ENDED };

typedef struct job {
  uint32_t index, generation;
  int32_t kind, channel;
  int state, stopped;
  int out, in, pipe[2];
  int armed;   /* the descriptor that epoll watches, or -1 */
  int ready;   /* in the list of jobs that need no waiting: regular files */
  int fifo;    /* out is a pipe */
  double offset, out_offset, count, moved, held, status;
  struct job *next, *previous; /* in that list, or in the channel's list of ended jobs (next only) */
} job;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static job **jobs;
static uint32_t job_room, *free_indices, free_count;
static uint32_t generations = 1;
static int running, poller = -1, waker = -1;
static int active;
static job *ready_jobs;
static struct {
  int used, end;
  job *first, *last;
} channels[MOST_CHANNELS];

static double name_of(const job *one) { return (double)one->generation * MOST_JOBS + one->index; }

static job *find(double name) {
  if (!(name >= 0)) return NULL;
  uint64_t number = (uint64_t)name;
  uint32_t index = (uint32_t)(number % MOST_JOBS);
  job *one = index < job_room ? jobs[index] : NULL;
  return one && one->generation == (uint32_t)(number / MOST_JOBS) ? one : NULL;
}

static void wake(void) {
  uint64_t tick = 1;
  if (waker >= 0) (void)!write(waker, &tick, sizeof tick);
}

static void drop(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void disarm(job *one) {
  if (one->armed >= 0) epoll_ctl(poller, EPOLL_CTL_DEL, one->armed, NULL);
  one->armed = -1;
  if (!one->ready) return;
  if (one->previous) one->previous->next = one->next;
  else ready_jobs = one->next;
  if (one->next) one->next->previous = one->previous;
  one->next = one->previous = NULL;
  one->ready = 0;
}

/* Lets epoll, or the list of what is always ready, bring the job its next turn. */
static double arm(job *one, int fd, uint32_t events) {
  if (one->armed == fd) return 0;
  disarm(one);
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)name_of(one)};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0) {
    one->armed = fd;
    return 0;
  }
  if (errno != EPERM) return -(double)errno;
  one->ready = 1;
  one->previous = NULL;
  one->next = ready_jobs;
  if (ready_jobs) ready_jobs->previous = one;
  ready_jobs = one;
  return 0;
}

static void close_all(job *one) {
  disarm(one);
  drop(&one->out);
  drop(&one->in);
  drop(&one->pipe[0]);
  drop(&one->pipe[1]);
}

static void forget(job *one) {
  jobs[one->index] = NULL;
  free_indices[free_count++] = one->index;
  free(one);
}

static void end(job *one, double status) {
  close_all(one);
  active--;
  one->state = ENDED;
  one->status = status;
  one->next = NULL;
  int channel = one->channel;
  if (!channels[channel].used) {
    forget(one);
    return;
  }
  int first = channels[channel].first == NULL;
  if (first) channels[channel].first = one;
  else channels[channel].last->next = one;
  channels[channel].last = one;
  if (first) (void)!send(channels[channel].end, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- a turn ---- */

static double move_splice(job *one) {
  double moved = 0;
  while (moved < TURN) {
    if (one->held == 0) {
      double left = one->count - one->moved - moved;
      if (left <= 0) break;
      double got = oc_splice(one->in, one->pipe[1], left < TURN ? left : TURN);
      if (got == 0) return moved > 0 ? moved : 0;
      if (got < 0) return moved > 0 && got == -EAGAIN ? moved : got;
      one->held = got;
    }
    double put = oc_splice(one->pipe[0], one->out, one->held);
    if (put <= 0) return moved > 0 && put == -EAGAIN ? moved : put == 0 ? -EPIPE : put;
    one->held -= put;
    moved += put;
  }
  return moved;
}

/* Bytes moved, 0 at the end of the input, or -errno. */
static double move(job *one) {
  double left = one->count - one->moved;
  size_t length = left < TURN ? (size_t)left : TURN;
  switch (one->kind) {
    case OC_JOB_SENDFILE: {
      off_t at = (off_t)(one->offset + one->moved);
      ssize_t sent;
      do sent = one->fifo ? splice(one->in, &at, one->out, NULL, length, SPLICE_F_NONBLOCK)
                          : sendfile(one->out, one->in, &at, length);
      while (sent < 0 && errno == EINTR);
      return sent < 0 ? -(double)errno : (double)sent;
    }
    case OC_JOB_COPY: return oc_send_copy(one->out, one->in, one->offset + one->moved, left);
    case OC_JOB_SPLICE: return move_splice(one);
    case OC_JOB_COPY_RANGE:
      return oc_copy_range(one->in, one->offset + one->moved, one->out, one->out_offset + one->moved,
                           left < 4 * TURN ? left : 4 * TURN);
  }
  return -EINVAL;
}

/* Called with the lock held, which is given back while bytes move. */
static void take_turn(job *one, uint32_t events) {
  if (one->kind == OC_JOB_WRITABLE || one->kind == OC_JOB_READABLE) {
    end(one, 0);
    return;
  }
  one->state = BUSY;
  pthread_mutex_unlock(&lock);
  double moved = move(one);
  pthread_mutex_lock(&lock);
  one->state = WAITING;
  if (one->stopped) {
    close_all(one);
    active--;
    forget(one);
    return;
  }
  if (moved == -EAGAIN && (events & (EPOLLERR | EPOLLHUP))) moved = -EPIPE;
  if (moved > 0) one->moved += moved;
  if (moved == 0) end(one, 1);
  else if (moved > 0 && one->moved >= one->count) end(one, 0);
  else if (moved < 0 && moved != -EAGAIN) end(one, moved);
  else if (one->kind == OC_JOB_SPLICE) {
    double armed = one->held > 0 ? arm(one, one->out, EPOLLOUT) : arm(one, one->in, EPOLLIN);
    if (armed < 0) end(one, armed);
  }
}

static void *run(void *unused) {
  (void)unused;
  struct epoll_event events[64];
  pthread_mutex_lock(&lock);
  for (;;) {
    int timeout = ready_jobs ? 0 : active > 0 ? -1 : IDLE_MILLISECONDS;
    pthread_mutex_unlock(&lock);
    int count = epoll_wait(poller, events, 64, timeout);
    pthread_mutex_lock(&lock);
    if (count == 0 && active == 0) break;
    for (int i = 0; i < count; i++) {
      if (events[i].data.u64 == UINT64_MAX) {
        uint64_t drained;
        (void)!read(waker, &drained, sizeof drained);
        continue;
      }
      job *one = find((double)events[i].data.u64);
      if (one && one->state == WAITING) take_turn(one, events[i].events);
    }
    /* One turn for each; a turn may take any job off the list, so names, not pointers, are gone through. */
    double names[64];
    int ready = 0;
    for (job *one = ready_jobs; one && ready < 64; one = one->next) names[ready++] = name_of(one);
    for (int i = 0; i < ready; i++) {
      job *one = find(names[i]);
      if (one && one->state == WAITING && one->ready) take_turn(one, 0);
    }
  }
  close(poller);
  close(waker);
  poller = waker = -1;
  running = 0;
  pthread_mutex_unlock(&lock);
  return NULL;
}

static double start(void) {
  if (running) return 0;
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) return -(double)errno;
  waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
  int failure = waker < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, waker, &event) < 0 ? errno : 0;
  if (!failure) {
    /* No signal of the runtime's may land here. */
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failure = pthread_create(&thread, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
  }
  if (failure) {
    drop(&poller);
    drop(&waker);
    return -(double)failure;
  }
  running = 1;
  return 0;
}

/* ---- jobs ---- */

static job *make(void) {
  if (free_count == 0) {
    uint32_t room = job_room ? job_room * 2 : 64;
    if (room > MOST_JOBS) return NULL;
    job **larger = realloc(jobs, room * sizeof *jobs);
    if (!larger) return NULL;
    jobs = larger;
    uint32_t *indices = realloc(free_indices, room * sizeof *free_indices);
    if (!indices) return NULL;
    free_indices = indices;
    for (uint32_t i = room; i-- > job_room;) {
      jobs[i] = NULL;
      free_indices[free_count++] = i;
    }
    job_room = room;
  }
  job *one = calloc(1, sizeof *one);
  if (!one) return NULL;
  one->index = free_indices[--free_count];
  one->generation = generations;
  generations = generations == INT32_MAX ? 1 : generations + 1;
  one->out = one->in = one->pipe[0] = one->pipe[1] = one->armed = -1;
  jobs[one->index] = one;
  return one;
}

static double prepare(job *one, int32_t out, int32_t in) {
  if (out >= 0 && (one->out = fcntl(out, F_DUPFD_CLOEXEC, 3)) < 0) return -(double)errno;
  if (in >= 0 && (one->in = fcntl(in, F_DUPFD_CLOEXEC, 3)) < 0) return -(double)errno;
  if (one->kind == OC_JOB_SPLICE) {
    if (pipe2(one->pipe, O_CLOEXEC | O_NONBLOCK) < 0) return -(double)errno;
    fcntl(one->pipe[0], F_SETPIPE_SZ, PIPE_SIZE);
  }
  struct stat status;
  one->fifo = one->out >= 0 && fstat(one->out, &status) == 0 && S_ISFIFO(status.st_mode);
  double started = start();
  if (started < 0) return started;
  int reads = one->kind == OC_JOB_READABLE || one->kind == OC_JOB_SPLICE;
  double armed = reads ? arm(one, one->in, EPOLLIN) : arm(one, one->out, EPOLLOUT);
  if (armed < 0) return armed;
  if (one->ready) wake();
  return 0;
}

double oc_job_add(int32_t channel, int32_t kind, int32_t out, int32_t in, double offset, double out_offset,
                  double count) {
  if (channel < 0 || channel >= MOST_CHANNELS || kind < OC_JOB_WRITABLE || kind > OC_JOB_COPY_RANGE) return -EINVAL;
  pthread_mutex_lock(&lock);
  double result;
  job *one = channels[channel].used ? make() : NULL;
  if (!one) {
    result = channels[channel].used ? -ENOMEM : -EINVAL;
  } else {
    one->kind = kind;
    one->channel = channel;
    one->offset = offset;
    one->out_offset = out_offset;
    one->count = count;
    one->state = WAITING;
    result = prepare(one, out, in);
    if (result < 0) {
      close_all(one);
      forget(one);
    } else {
      active++;
      result = name_of(one);
    }
  }
  pthread_mutex_unlock(&lock);
  return result;
}

double oc_job_moved(double name, int32_t unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  job *one = find(name);
  double moved = one ? one->moved : -ENOENT;
  pthread_mutex_unlock(&lock);
  return moved;
}

double oc_job_stop(double name, int32_t unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  job *one = find(name);
  double moved = one ? one->moved : -ENOENT;
  if (one && one->state == BUSY) {
    one->stopped = 1;
    moved = -EBUSY;
  } else if (one && one->state == WAITING) {
    close_all(one);
    active--;
    forget(one);
    if (active == 0) wake(); /* it waits without a limit, and should begin to count its idle time */
  } else if (one) {
    job **link = &channels[one->channel].first, *before = NULL;
    while (*link && *link != one) before = *link, link = &before->next;
    if (*link) *link = one->next;
    if (channels[one->channel].last == one) channels[one->channel].last = before;
    forget(one);
  }
  pthread_mutex_unlock(&lock);
  return moved;
}

double oc_job_take(int32_t channel, double *out, double capacity) {
  if (channel < 0 || channel >= MOST_CHANNELS) return -EINVAL;
  pthread_mutex_lock(&lock);
  double taken = 0;
  for (job *one; taken < capacity && (one = channels[channel].first); taken++) {
    channels[channel].first = one->next;
    *out++ = name_of(one);
    *out++ = one->moved;
    *out++ = one->status;
    forget(one);
  }
  if (!channels[channel].first) channels[channel].last = NULL;
  pthread_mutex_unlock(&lock);
  return taken;
}

double oc_pump_state(double *out, int32_t unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  out[0] = active;
  out[1] = running;
  pthread_mutex_unlock(&lock);
  return 0;
}

/* ---- channels ---- */

double oc_channel_open(double *out, int32_t unused) {
  (void)unused;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return -(double)errno;
  pthread_mutex_lock(&lock);
  int channel = 0;
  while (channel < MOST_CHANNELS && channels[channel].used) channel++;
  if (channel < MOST_CHANNELS) {
    channels[channel].used = 1;
    channels[channel].end = ends[1];
    channels[channel].first = channels[channel].last = NULL;
  }
  pthread_mutex_unlock(&lock);
  if (channel == MOST_CHANNELS) {
    close(ends[0]);
    close(ends[1]);
    return -EMFILE;
  }
  out[0] = ends[0];
  return channel;
}

double oc_channel_close(int32_t channel, int32_t unused) {
  (void)unused;
  if (channel < 0 || channel >= MOST_CHANNELS) return -EINVAL;
  pthread_mutex_lock(&lock);
  if (channels[channel].used) {
    close(channels[channel].end);
    for (job *one; (one = channels[channel].first);) {
      channels[channel].first = one->next;
      forget(one);
    }
    channels[channel].used = 0;
  }
  pthread_mutex_unlock(&lock);
  return 0;
}
