/* Words that processes share, on all systems; the futex and the waiter thread of Linux and macOS. */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

double oc_load64(double address, int32_t unused) {
  (void)unused;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return (double)__atomic_load_n((uint64_t *)OC_POINTER(address), __ATOMIC_ACQUIRE);
}

double oc_load32(double address, int32_t unused) {
  (void)unused;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return (double)__atomic_load_n((uint32_t *)OC_POINTER(address), __ATOMIC_SEQ_CST);
}

double oc_store64(double address, double value) {
  __atomic_store_n((uint64_t *)OC_POINTER(address), (uint64_t)value, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return 0;
}

double oc_store64_two(double first, double first_value, double second, double second_value) {
  __atomic_store_n((uint64_t *)OC_POINTER(first), (uint64_t)first_value, __ATOMIC_RELEASE);
  __atomic_store_n((uint64_t *)OC_POINTER(second), (uint64_t)second_value, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return 0;
}

double oc_add64(double address, double value) {
  return (double)__atomic_fetch_add((uint64_t *)OC_POINTER(address), (uint64_t)(int64_t)value, __ATOMIC_SEQ_CST);
}

double oc_fence(void) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return 0;
}

#if !defined(_WIN32)

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#endif
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct timespec time_of(uint64_t ns) {
  struct timespec out = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  return out;
}

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static inline uint32_t word_at(const void *address) { return __atomic_load_n((const uint32_t *)address, __ATOMIC_SEQ_CST); }

/* Sleeps while the word is `expected`, at most until `deadline`; may return early. */
static void sleep_on(void *address, uint32_t expected, uint64_t now, uint64_t deadline) {
  uint64_t left = deadline > now ? deadline - now : 0;
#if defined(__linux__)
  struct timespec timeout = time_of(left);
  syscall(SYS_futex, address, FUTEX_WAIT, expected, &timeout, NULL, 0);
#else
  struct timespec timeout = time_of(left < 200000 ? left : 200000);
  if (word_at(address) == expected) nanosleep(&timeout, NULL);
#endif
}

/* Nanoseconds between two looks at a word whose writer wakes nobody. */
#define LOOK_AGAIN 1000000u

double oc_wait_word(double address, double expected, double spin, double timeout) {
  int polled = timeout < 0;
  if (polled) timeout = -timeout;
  void *word = OC_POINTER(address);
  uint32_t value = (uint32_t)expected;
  if (word_at(word) != value) return 1;
  uint64_t start = now_ns(), spun = start + (uint64_t)spin;
  uint64_t deadline = timeout > 9e18 ? UINT64_MAX : start + (uint64_t)timeout, now = start;
  if (spun > deadline) spun = deadline;
  while (now < spun) {
    for (int i = 0; i < 128; i++) {
      if (word_at(word) != value) return 1;
      pause_briefly();
    }
    /* With more spinners than processors the one that would change the word must get to run. */
    sched_yield();
    now = now_ns();
  }
  while (word_at(word) == value) {
    now = now_ns();
    if (now >= deadline) return 0;
    sleep_on(word, value, now, polled && deadline - now > LOOK_AGAIN ? now + LOOK_AGAIN : deadline);
  }
  return 1;
}

double oc_wake(double address, int32_t unused) {
  (void)unused;
#if defined(__linux__)
  return (double)syscall(SYS_futex, OC_POINTER(address), FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
#else
  (void)address;
  return 0;
#endif
}

double oc_lock_test(int32_t fd, double offset) {
#if defined(F_OFD_GETLK)
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
  if (fcntl(fd, F_OFD_GETLK, &lock) < 0) return -(double)errno;
  return lock.l_type != F_UNLCK;
#else
  (void)fd, (void)offset;
  return -ENOSYS;
#endif
}

/* ---- the waiter thread ---- */

#define CHANNELS 1024
#define MOST_WORDS 127 /* futex_waitv takes 128; one is ours */

typedef struct {
  uint32_t *word;
  uint32_t expected;
  int32_t channel;
  int32_t polled;
  double token;
  uint64_t deadline;
} entry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;
static entry *entries;
static size_t count, room;
static int channel_fd[CHANNELS]; /* 0 free, else the writing end + 1 */
static uint32_t generation;      /* bumped to make the thread look again */
static int running;

typedef struct owned {
  struct owned *next; /* of the same thread */
  struct owned *all_next, **all_link;
  int fd;      /* a descriptor to close, or -1 */
  int channel; /* a channel to close, or -1 */
} owned;

static owned *all_owned; /* of all threads, under the mutex */

static void drop_channel(int channel) {
  for (size_t i = 0; i < count;) {
    if (entries[i].channel == channel) entries[i] = entries[--count];
    else i++;
  }
  if (channel_fd[channel] > 0) close(channel_fd[channel] - 1);
  channel_fd[channel] = 0;
}

static void list_owned(owned *item) {
  pthread_mutex_lock(&mutex);
  item->all_next = all_owned;
  item->all_link = &all_owned;
  if (all_owned) all_owned->all_link = &item->all_next;
  all_owned = item;
  pthread_mutex_unlock(&mutex);
}

static void unlist_owned(owned *item) {
  pthread_mutex_lock(&mutex);
  *item->all_link = item->all_next;
  if (item->all_next) item->all_next->all_link = item->all_link;
  pthread_mutex_unlock(&mutex);
}

static void kick(void) {
  __atomic_fetch_add(&generation, 1, __ATOMIC_SEQ_CST);
  oc_wake(OC_DOUBLE(&generation), 0);
}

static void end_thread(void *list) {
  owned *item = list;
  while (item) {
    owned *next = item->next;
    unlist_owned(item);
    if (item->fd >= 0) {
      /* Mappings that the thread leaves hold the open file description, and with it the locks. */
      oc_lock(item->fd, OC_LOCK_NONE, 0, 0);
      close(item->fd);
    }
    if (item->channel >= 0) {
      pthread_mutex_lock(&mutex);
      drop_channel(item->channel);
      pthread_mutex_unlock(&mutex);
      kick();
    }
    free(item);
    item = next;
  }
}

static void before_fork(void) { pthread_mutex_lock(&mutex); }

static void in_parent(void) { pthread_mutex_unlock(&mutex); }

/* A fork has no waiter thread and must not write to the sockets of its parent. Nor may it keep the locks that tell who
 * lives: closed here they stay the parent's, and end with it (mappings of segments do not come along, see Segment). */
static void in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  count = 0;
  running = 0;
  for (int i = 0; i < CHANNELS; i++)
    if (channel_fd[i] > 0) close(channel_fd[i] - 1), channel_fd[i] = 0;
  for (owned *item = all_owned; item; item = item->all_next)
    if (item->fd >= 0) close(item->fd);
  all_owned = NULL;
  pthread_setspecific(at_thread_end, NULL);
}

static void prepare(void) {
  pthread_key_create(&at_thread_end, end_thread);
  pthread_atfork(before_fork, in_parent, in_child);
}

static int own(int fd, int channel) {
  pthread_once(&once, prepare);
  owned *item = malloc(sizeof *item);
  if (!item) return -ENOMEM;
  item->fd = fd;
  item->channel = channel;
  item->next = pthread_getspecific(at_thread_end);
  int result = pthread_setspecific(at_thread_end, item);
  if (result == 0) list_owned(item);
  else free(item);
  return -result;
}

static void disown(int fd, int channel) {
  pthread_once(&once, prepare);
  owned *first = pthread_getspecific(at_thread_end), **link = &first;
  while (*link && ((*link)->fd != fd || (*link)->channel != channel)) link = &(*link)->next;
  if (!*link) return;
  owned *found = *link;
  *link = found->next;
  unlist_owned(found);
  free(found);
  pthread_setspecific(at_thread_end, first);
}

void oc_disown_descriptor(int fd) {
  if (__atomic_load_n(&all_owned, __ATOMIC_ACQUIRE)) disown(fd, -1);
}

double oc_thread_descriptor(int32_t fd, int32_t on) {
  if (on) return own(fd, -1);
  disown(fd, -1);
  return 0;
}

/* Tells one token; true when the entry is done with. */
static int tell(const entry *item) {
  int fd = channel_fd[item->channel] - 1;
  if (fd < 0) return 1;
  ssize_t sent = send(fd, &item->token, sizeof item->token, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOBUFS);
}

#if defined(__linux__)
typedef struct {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
} waited; /* struct futex_waitv */
#endif

static void *wait_for_all(void *unused) {
  (void)unused;
#if defined(__linux__)
  static waited list[MOST_WORDS + 1];
  int has_waitv = 1;
#endif
  pthread_mutex_lock(&mutex);
  for (;;) {
    uint32_t seen = word_at(&generation);
    uint64_t now = now_ns(), deadline = UINT64_MAX;
    size_t words = 0;
    int poll = 0;
    for (size_t i = 0; i < count;) {
      entry *item = &entries[i];
      if (word_at(item->word) != item->expected || item->deadline <= now) {
        if (tell(item)) {
          *item = entries[--count];
          continue;
        }
        poll = 1; /* its socket is full */
      } else if (!item->polled && words < MOST_WORDS) {
#if defined(__linux__)
        list[++words] = (waited){item->expected, (uint64_t)(uintptr_t)item->word, 2 /* 32 bits */, 0};
#else
        words++;
        poll = 1;
#endif
      } else poll = 1;
      if (item->deadline < deadline) deadline = item->deadline;
      i++;
    }
    pthread_mutex_unlock(&mutex);
    if (poll && deadline > now + LOOK_AGAIN) deadline = now + LOOK_AGAIN;
#if defined(__linux__)
    list[0] = (waited){seen, (uint64_t)(uintptr_t)&generation, 2, 0};
    struct timespec until = time_of(deadline);
    struct timespec *limit = deadline == UINT64_MAX ? NULL : &until;
    if (words == 0 || !has_waitv) {
      if (words > 0 && deadline > now + LOOK_AGAIN) deadline = now + LOOK_AGAIN;
      if (deadline == UINT64_MAX) deadline = now + 3600000000000u;
      sleep_on(&generation, seen, now, deadline);
    } else if (syscall(SYS_futex_waitv, list, (unsigned)words + 1, 0, limit, CLOCK_MONOTONIC) < 0 && errno == ENOSYS)
      has_waitv = 0;
#else
    sleep_on(&generation, seen, now, words > 0 ? deadline : now + 20000000u);
#endif
    pthread_mutex_lock(&mutex);
  }
  return NULL;
}

static int start(void) {
  if (running) return 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 262144);
  /* Signals are for other threads, but for those that a word of a truncated file may raise here. */
  sigset_t blocked, before;
  sigfillset(&blocked);
  sigdelset(&blocked, SIGBUS);
  sigdelset(&blocked, SIGSEGV);
  sigdelset(&blocked, SIGILL);
  sigdelset(&blocked, SIGFPE);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  pthread_t thread;
  int result = pthread_create(&thread, &attributes, wait_for_all, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (result == 0) running = 1;
  return -result;
}

double oc_waiter_open(int32_t *out, int32_t unused) {
  (void)unused;
  pthread_once(&once, prepare);
  int pair[2];
#if defined(SOCK_CLOEXEC)
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) return -(double)errno;
#else
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return -(double)errno;
  for (int i = 0; i < 2; i++) fcntl(pair[i], F_SETFD, FD_CLOEXEC), fcntl(pair[i], F_SETFL, O_NONBLOCK);
#endif
  pthread_mutex_lock(&mutex);
  int result = start(), channel = 0;
  while (channel < CHANNELS && channel_fd[channel] != 0) channel++;
  if (result == 0 && channel == CHANNELS) result = -EMFILE;
  if (result == 0) channel_fd[channel] = pair[1] + 1;
  pthread_mutex_unlock(&mutex);
  if (result == 0) result = own(-1, channel);
  if (result < 0) {
    close(pair[0]);
    close(pair[1]);
    return result;
  }
  out[0] = pair[0];
  out[1] = channel;
  return 0;
}

double oc_waiter_add(int32_t channel, double address, double expected, double token, double timeout) {
  if (channel < 0 || channel >= CHANNELS) return -EINVAL;
  int polled = timeout < 0;
  if (polled) timeout = -timeout;
  uint64_t deadline = timeout > 9e18 ? UINT64_MAX : now_ns() + (uint64_t)timeout;
  entry item = {OC_POINTER(address), (uint32_t)expected, channel, polled, token, deadline};
  pthread_mutex_lock(&mutex);
  int result = channel_fd[channel] > 0 ? 0 : -EBADF;
  if (result == 0 && count == room) {
    size_t wider = room ? room * 2 : 64;
    entry *grown = realloc(entries, wider * sizeof *entries);
    if (grown) entries = grown, room = wider;
    else result = -ENOMEM;
  }
  if (result == 0) entries[count++] = item;
  pthread_mutex_unlock(&mutex);
  if (result == 0) kick();
  return result;
}

double oc_waiter_cancel(int32_t channel, double token) {
  int found = 0;
  pthread_mutex_lock(&mutex);
  for (size_t i = 0; i < count && !found; i++) {
    if (entries[i].channel != channel || entries[i].token != token) continue;
    entries[i] = entries[--count];
    found = 1;
  }
  pthread_mutex_unlock(&mutex);
  if (found) kick();
  return found;
}

double oc_waiter_close(int32_t channel, int32_t unused) {
  (void)unused;
  if (channel < 0 || channel >= CHANNELS) return -EINVAL;
  disown(-1, channel);
  pthread_mutex_lock(&mutex);
  drop_channel(channel);
  pthread_mutex_unlock(&mutex);
  kick();
  return 0;
}

#endif
