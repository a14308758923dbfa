/* What transactional arrays need: which pages of a private mapping were copied, many runs of a mapping in one call. */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <stddef.h>

#if defined(_WIN32)
double oc_dirty(double a, double l, int32_t m, double *o, double c) { (void)a, (void)l, (void)m, (void)o, (void)c; return -ENOSYS; }
double oc_differ(double a, double l, int32_t f, double t, double *o, double c) { (void)a, (void)l, (void)f, (void)t, (void)o, (void)c; return -ENOSYS; }
double oc_write_runs(int32_t f, double t, const uint8_t *h, double l, double a, const double *r, double c) { (void)f, (void)t, (void)h, (void)l, (void)a, (void)r, (void)c; return -ENOSYS; }
double oc_log_runs(int32_t f, double o, double a, const double *r, double c, double p, uint32_t *s) { (void)f, (void)o, (void)a, (void)r, (void)c, (void)p, (void)s; return -ENOSYS; }
double oc_gather_runs(double a, const double *r, double c, double p, uint32_t *s, uint8_t *o) { (void)a, (void)r, (void)c, (void)p, (void)s, (void)o; return -ENOSYS; }
double oc_write_pages(int32_t f, double o, const uint8_t *b, double l, double p, uint32_t *s) { (void)f, (void)o, (void)b, (void)l, (void)p, (void)s; return -ENOSYS; }
double oc_apply_runs(int32_t f, double a, const double *r, double c, double p, uint32_t *s) { (void)f, (void)a, (void)r, (void)c, (void)p, (void)s; return -ENOSYS; }
double oc_copy_runs(int32_t f, double o, int32_t t, const double *r, double c) { (void)f, (void)o, (void)t, (void)r, (void)c; return -ENOSYS; }
double oc_same_runs(double a, const double *r, double c, int32_t f, double t, double *o, double m) { (void)a, (void)r, (void)c, (void)f, (void)t, (void)o, (void)m; return -ENOSYS; }
double oc_release_runs(double a, const double *r, double c, int32_t f, double o) { (void)a, (void)r, (void)c, (void)f, (void)o; return -ENOSYS; }
double oc_advise_runs(double a, const double *r, double c, int32_t k) { (void)a, (void)r, (void)c, (void)k; return -ENOSYS; }
double oc_overlay_runs(double a, const double *r, double c, int32_t f) { (void)a, (void)r, (void)c, (void)f; return -ENOSYS; }
#else

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Runs gathered into out as (start, length) in bytes, neighbours merged. */
typedef struct {
  double *out;
  size_t count, capacity;
} run_list;

/* 0 when there is no room left. */
static int add_run(run_list *list, double start, double length) {
  if (list->count > 0) {
    double *last = list->out + 2 * (list->count - 1);
    if (last[0] + last[1] == start) {
      last[1] += length;
      return 1;
    }
  }
  if (list->count == list->capacity) return 0;
  list->out[2 * list->count] = start;
  list->out[2 * list->count + 1] = length;
  list->count++;
  return 1;
}

#if defined(__linux__)
#include <sys/ioctl.h>

/* linux/fs.h of kernels before 6.7 lacks these. */
typedef struct {
  uint64_t start, end, categories;
} scan_region;
typedef struct {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
      category_anyof_mask, return_mask;
} scan_request;
#define SCAN_REQUEST _IOWR('f', 16, scan_request)
#define IS_FILE (1u << 2)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)
#define IS_PFNZERO (1u << 5)
#define SCAN_REGIONS 512

static double dirty_by_scan(int fd, uintptr_t base, uintptr_t end, run_list *list) {
  scan_region regions[SCAN_REGIONS];
  uintptr_t at = base;
  while (at < end) {
    scan_request request = {.size = sizeof request,
                            .start = at,
                            .end = end,
                            .vec = (uintptr_t)regions,
                            .vec_len = SCAN_REGIONS,
                            .category_inverted = IS_FILE | IS_PFNZERO,
                            .category_mask = IS_FILE | IS_PFNZERO,
                            .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
                            .return_mask = IS_FILE};
    int got = ioctl(fd, SCAN_REQUEST, &request);
    if (got < 0) {
      if (errno == EINTR) continue;
      return -(double)errno;
    }
    for (int i = 0; i < got; i++)
      if (!add_run(list, (double)(regions[i].start - base), (double)(regions[i].end - regions[i].start))) return 0;
    /* walk_end may lie before the end although the walk is complete, and before regions that were reported. */
    if (got < SCAN_REGIONS) return 0;
    uintptr_t last = regions[got - 1].end;
    at = request.walk_end > last ? request.walk_end : last;
  }
  return 0;
}

static double dirty_by_pagemap(int fd, uintptr_t base, uintptr_t end, run_list *list) {
  uint64_t words[4096];
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (uintptr_t at = base; at < end;) {
    size_t wanted = (end - at) / page < 4096 ? (end - at) / page : 4096;
    ssize_t got = pread(fd, words, wanted * 8, (off_t)(at / page * 8));
    if (got <= 0) return got < 0 ? -(double)errno : -(double)EIO;
    size_t pages = (size_t)got / 8;
    for (size_t i = 0; i < pages; i++) {
      int there = (words[i] >> 62) != 0, of_file = words[i] >> 61 & 1;
      if (there && !of_file && !add_run(list, (double)(at + i * page - base), (double)page)) return 0;
    }
    at += pages * page;
  }
  return 0;
}

/* The descriptor of this process's page map, which stays open: to open it takes as long as to ask it of a few pages. It
 * tells of the memory of the process that opened it, so the child of a fork opens its own. */
static int page_map(void) {
  static struct {
    pthread_mutex_t lock;
    pid_t process;
    int fd;
  } kept = {PTHREAD_MUTEX_INITIALIZER, 0, -1};
  pthread_mutex_lock(&kept.lock);
  pid_t process = getpid();
  if (kept.process != process) {
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      if (kept.fd >= 0) close(kept.fd);
      kept.fd = fd;
      kept.process = process;
    }
    pthread_mutex_unlock(&kept.lock);
    return fd;
  }
  int fd = kept.fd;
  pthread_mutex_unlock(&kept.lock);
  return fd;
}

double oc_dirty(double address, double length, int32_t way, double *out, double capacity) {
  run_list list = {out, 0, (size_t)capacity};
  int fd = page_map();
  if (fd < 0) return -ENOSYS;
  uintptr_t base = (uintptr_t)address;
  double result = way == OC_DIRTY_SCAN ? dirty_by_scan(fd, base, base + (uintptr_t)length, &list)
                                       : dirty_by_pagemap(fd, base, base + (uintptr_t)length, &list);
  if (result == -ENOTTY) return -ENOSYS;
  return result < 0 ? result : (double)list.count;
}
#else
double oc_dirty(double address, double length, int32_t way, double *out, double capacity) {
  (void)address, (void)length, (void)way, (void)out, (void)capacity;
  return -ENOSYS;
}
#endif

double oc_differ(double address, double length, int32_t fd, double offset, double *out, double capacity) {
  enum { BLOCK = 1 << 18 };
  static const size_t none = 0;
  run_list list = {out, none, (size_t)capacity};
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint8_t *block = malloc(BLOCK);
  if (!block) return -ENOMEM;
  const uint8_t *memory = OC_POINTER(address);
  size_t size = (size_t)length;
  double result = 0;
  for (size_t at = 0; at < size && result == 0;) {
    size_t span = size - at < BLOCK ? size - at : BLOCK;
    double got = fd < 0 ? 0 : oc_pread(fd, block, 0, (double)span, offset + (double)at);
    if (got < 0) {
      result = got;
      break;
    }
    memset(block + (size_t)got, 0, span - (size_t)got);
    for (size_t i = 0; i < span; i += page) {
      size_t part = span - i < page ? span - i : page;
      if (memcmp(memory + at + i, block + i, part) != 0 && !add_run(&list, (double)(at + i), (double)page)) {
        result = 1;
        break;
      }
    }
    at += span;
  }
  free(block);
  return result < 0 ? result : (double)list.count;
}

#define PIECES 512

static double write_all(int fd, struct iovec *pieces, int count, off_t offset) {
  double done = 0;
  while (count > 0) {
    ssize_t got = pwritev(fd, pieces, count, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? -(double)errno : -(double)EIO;
    done += (double)got;
    offset += got;
    while (count > 0 && (size_t)got >= pieces->iov_len) {
      got -= (ssize_t)pieces->iov_len;
      pieces++;
      count--;
    }
    if (count > 0) {
      pieces->iov_base = (uint8_t *)pieces->iov_base + got;
      pieces->iov_len -= (size_t)got;
    }
  }
  return done;
}

double oc_write_runs(int32_t fd, double offset, const uint8_t *head, double head_length, double address,
                     const double *runs, double count) {
  struct iovec pieces[PIECES];
  int filled = 0;
  double done = 0;
  size_t total = (size_t)count;
  const size_t most = (size_t)1 << 30;
  if (head_length > 0) pieces[filled++] = (struct iovec){(void *)(uintptr_t)head, (size_t)head_length};
  for (size_t i = 0; i < total; i++) {
    uint8_t *start = (uint8_t *)OC_POINTER(address) + (size_t)runs[2 * i];
    size_t left = (size_t)runs[2 * i + 1];
    while (left > 0) {
      size_t span = left < most ? left : most;
      pieces[filled++] = (struct iovec){start, span};
      start += span;
      left -= span;
      if (filled < PIECES && span < most) continue;
      double got = write_all(fd, pieces, filled, (off_t)offset + (off_t)done);
      if (got < 0) return got;
      done += got;
      filled = 0;
    }
  }
  if (filled == 0) return done;
  double got = write_all(fd, pieces, filled, (off_t)offset + (off_t)done);
  return got < 0 ? got : done + got;
}

/* All of it, or the first error. */
static double put_all(int32_t fd, const uint8_t *bytes, size_t length, double offset) {
  for (double done = 0; done < (double)length;) {
    double got = oc_pwrite(fd, bytes, done, (double)length - done, offset + done);
    if (got < 0) return got;
    done += got;
  }
  return (double)length;
}

/* Checksums of whole pages; where those of the next ones go. */
static uint32_t *add_sums(const uint8_t *bytes, size_t length, size_t page, uint32_t *sums) {
  for (size_t at = 0; at < length; at += page) *sums++ = (uint32_t)oc_crc32c(bytes, (double)at, (double)page, 0);
  return sums;
}

/* What was written to a file last: after each so many bytes the system is asked to begin with the disk, which then works
 * while the next bytes are gathered, and a sync finds less to do. A hint: errors come with the sync. */
#define BEHIND_LOG (1 << 20)
#define BEHIND_HOME (1 << 18)
typedef struct {
  int fd;
  double start, end, step;
} write_behind;

static void wrote(write_behind *behind, double at, double length) {
  if (at != behind->end) behind->start = at;
  behind->end = at + length;
  if (behind->end - behind->start < behind->step) return;
#if defined(__linux__)
  sync_file_range(behind->fd, (off_t)behind->start, (off_t)(behind->end - behind->start), SYNC_FILE_RANGE_WRITE);
#endif
  behind->start = behind->end;
}

/* Another thread may write to the memory meanwhile: what is summed and what is written must be the same, so both are of a
 * copy, which the processor's cache still holds. */
#define LOG_BYTES ((size_t)1 << 16)

double oc_log_runs(int32_t fd, double offset, double address, const double *runs, double count, double page,
                   uint32_t *sums) {
  uint8_t copy[LOG_BYTES];
  write_behind behind = {fd, offset, offset, BEHIND_LOG};
  size_t gathered = 0, total = (size_t)count;
  double done = 0;
  for (size_t i = 0; i < total; i++) {
    const uint8_t *start = (const uint8_t *)OC_POINTER(address) + (size_t)runs[2 * i];
    size_t left = (size_t)runs[2 * i + 1];
    while (left > 0) {
      size_t room = LOG_BYTES - gathered, span = left < room ? left : room;
      memcpy(copy + gathered, start, span);
      gathered += span;
      start += span;
      left -= span;
      if (gathered < LOG_BYTES && (left > 0 || i + 1 < total)) continue;
      sums = add_sums(copy, gathered, (size_t)page, sums);
      double got = put_all(fd, copy, gathered, offset + done);
      if (got < 0) return got;
      wrote(&behind, offset + done, got);
      done += got;
      gathered = 0;
    }
  }
  return done;
}

double oc_gather_runs(double address, const double *runs, double count, double page, uint32_t *sums, uint8_t *out) {
  uint8_t *next = out;
  for (size_t i = 0; i < (size_t)count; i++) {
    size_t length = (size_t)runs[2 * i + 1];
    memcpy(next, (const uint8_t *)OC_POINTER(address) + (size_t)runs[2 * i], length);
    sums = add_sums(next, length, (size_t)page, sums);
    next += length;
  }
  return (double)(next - out);
}

/* A long write makes the page cache use large folios, and every small write into one of those then costs ten times as
 * much (ext4: 40 us and more). So nothing is written in pieces of more than this. */
#define FOLIO_BYTES ((size_t)1 << 16)

static double put_pages(write_behind *behind, double offset, const uint8_t *bytes, size_t length, size_t page,
                        uint32_t *sums) {
  uint8_t copy[FOLIO_BYTES];
  for (size_t at = 0; at < length;) {
    size_t span = length - at < FOLIO_BYTES ? length - at : FOLIO_BYTES;
    memcpy(copy, bytes + at, span);
    sums = add_sums(copy, span, page, sums);
    double place = offset + (double)at;
    double got = put_all(behind->fd, copy, span, place);
    if (got < 0) return got;
    wrote(behind, place, got);
    at += span;
  }
  return (double)length;
}

double oc_write_pages(int32_t fd, double offset, const uint8_t *bytes, double length, double page, uint32_t *sums) {
  write_behind behind = {fd, offset, offset, BEHIND_HOME};
  return put_pages(&behind, offset, bytes, (size_t)length, (size_t)page, sums);
}

double oc_apply_runs(int32_t fd, double address, const double *runs, double count, double page, uint32_t *sums) {
  write_behind behind = {fd, 0, 0, BEHIND_HOME};
  double done = 0;
  for (size_t i = 0; i < (size_t)count; i++) {
    double start = runs[2 * i], length = runs[2 * i + 1];
    const uint8_t *bytes = (const uint8_t *)OC_POINTER(address) + (size_t)start;
    double got = put_pages(&behind, start, bytes, (size_t)length, (size_t)page, sums);
    if (got < 0) return got;
    sums += (size_t)(length / page);
    done += got;
  }
  return done;
}

/* A window of a file that is read from its start to its end. */
typedef struct {
  int32_t fd;
  double offset; /* of the next byte that is handed out */
  size_t at, filled;
  double left;
  uint8_t *block;
} file_window;
enum { WINDOW = 1 << 18 };

/* The next bytes, at most `wanted`; *got says how many. NULL and a negative *got on an error. */
static const uint8_t *window_next(file_window *window, size_t wanted, double *got) {
  if (window->at == window->filled) {
    double span = window->left < WINDOW ? window->left : WINDOW;
    double read = oc_pread(window->fd, window->block, 0, span, window->offset);
    if (read < span) {
      *got = read < 0 ? read : -EIO;
      return NULL;
    }
    window->at = 0;
    window->filled = (size_t)span;
    window->offset += span;
    window->left -= span;
  }
  size_t span = window->filled - window->at < wanted ? window->filled - window->at : wanted;
  const uint8_t *bytes = window->block + window->at;
  window->at += span;
  *got = (double)span;
  return bytes;
}

static double bytes_of(const double *runs, double count) {
  double bytes = 0;
  for (size_t i = 0; i < (size_t)count; i++) bytes += runs[2 * i + 1];
  return bytes;
}

double oc_copy_runs(int32_t from, double offset, int32_t to, const double *runs, double count) {
  file_window window = {from, offset, 0, 0, bytes_of(runs, count), malloc(WINDOW)};
  if (!window.block) return -ENOMEM;
  double done = 0;
  for (size_t i = 0; i < (size_t)count && done >= 0; i++) {
    double end = runs[2 * i] + runs[2 * i + 1];
    for (double at = runs[2 * i]; at < end;) {
      double span = end - at < (double)FOLIO_BYTES ? end - at : (double)FOLIO_BYTES, got;
      const uint8_t *bytes = window_next(&window, (size_t)span, &got);
      double put = bytes ? oc_pwrite(to, bytes, 0, got, at) : got;
      if (put < got || !bytes) {
        done = put < 0 ? put : -ENOSPC;
        break;
      }
      done += got;
      at += got;
    }
  }
  free(window.block);
  return done;
}

double oc_same_runs(double address, const double *runs, double count, int32_t fd, double offset, double *out,
                    double capacity) {
  run_list list = {out, 0, (size_t)capacity};
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  file_window window = {fd, offset, 0, 0, bytes_of(runs, count), malloc(WINDOW)};
  if (!window.block) return -ENOMEM;
  double result = 0;
  for (size_t i = 0; i < (size_t)count && result >= 0; i++)
    for (double at = 0; at < runs[2 * i + 1]; at += (double)page) {
      const uint8_t *bytes = window_next(&window, page, &result);
      if (!bytes) break;
      double start = runs[2 * i] + at;
      if (memcmp((const uint8_t *)OC_POINTER(address) + (size_t)start, bytes, page) != 0) continue;
      if (!add_run(&list, start, (double)page)) break;
    }
  free(window.block);
  return result < 0 ? result : (double)list.count;
}

/* Bytes of a page that was taken away which are not as the file has them go back, where nobody has written since. */
static void give_back(uint8_t *page, const uint8_t *taken, const uint8_t *filed, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (taken[i] != filed[i] && page[i] == filed[i]) page[i] = taken[i];
}

/* Takes the private pages of a part of one mapping away, all at once, and leaves the mapping as it was: no write can come
 * between a look at such a page and its end. Where they are now, or MAP_FAILED (Linux before 5.13, several mappings). The
 * system looks at the last argument with this flag too, which C libraries do not say: it must be there. */
static uint8_t *take_pages(uint8_t *start, size_t length) {
#if defined(__linux__)
  enum { DONTUNMAP = 4 };
  return mremap(start, length, length, MREMAP_MAYMOVE | DONTUNMAP, NULL);
#else
  (void)start, (void)length;
  return MAP_FAILED;
#endif
}

double oc_release_runs(double address, const double *runs, double count, int32_t fd, double offset) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  file_window window = {fd, offset, 0, 0, bytes_of(runs, count), malloc(WINDOW)};
  if (!window.block) return -ENOMEM;
  double result = 0;
  for (size_t i = 0; i < (size_t)count && result >= 0; i++) {
    uint8_t *start = (uint8_t *)OC_POINTER(address) + (size_t)runs[2 * i];
    size_t most = WINDOW;
    for (size_t left = (size_t)runs[2 * i + 1]; left > 0 && result >= 0;) {
      size_t span = left < most ? left : most;
      uint8_t *taken = take_pages(start, span);
      if (taken == MAP_FAILED && span > page) {
        /* One page is of one mapping. */
        most = page;
        continue;
      }
      for (size_t at = 0; at < span; at += page) {
        const uint8_t *bytes = window_next(&window, page, &result);
        if (!bytes && taken == MAP_FAILED) break;
        if (!bytes) memcpy(start + at, taken + at, page);
        else if (taken == MAP_FAILED) {
          if (memcmp(start + at, bytes, page) == 0) madvise(start + at, page, MADV_DONTNEED);
        } else if (memcmp(taken + at, bytes, page) != 0)
          give_back(start + at, taken + at, bytes, page);
      }
      if (taken != MAP_FAILED) munmap(taken, span);
      start += span;
      left -= span;
    }
  }
  free(window.block);
  return result < 0 ? result : 0;
}

double oc_advise_runs(double address, const double *runs, double count, int32_t kind) {
  for (size_t i = 0; i < (size_t)count; i++) {
    double result = oc_advise(address + runs[2 * i], runs[2 * i + 1], kind);
    if (result < 0) return result;
  }
  return 0;
}

double oc_overlay_runs(double address, const double *runs, double count, int32_t fd) {
  for (size_t i = 0; i < (size_t)count; i++) {
    int flags = OC_MAP_PRIVATE | OC_MAP_FIXED | (fd < 0 ? OC_MAP_ANONYMOUS : 0);
    double got = oc_map(address + runs[3 * i], runs[3 * i + 1], OC_PROT_WRITE, flags, fd, runs[3 * i + 2]);
    if (got < 0) return got;
  }
  return 0;
}
#endif
