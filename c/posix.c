/* What Linux and macOS do alike. */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RESULT(expression) ((expression) < 0 ? -(double)errno : 0)

double oc_abi(void) { return OC_ABI; }

double oc_page_size(void) { return (double)sysconf(_SC_PAGESIZE); }

double oc_map_granularity(void) { return (double)sysconf(_SC_PAGESIZE); }

double oc_monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double oc_pid(void) { return (double)getpid(); }

static _Atomic int32_t shared[OC_SHARED_COUNT];

double oc_shared(void) { return OC_DOUBLE(shared); }

#define NAME(e) \
  case e: name = #e; break;
double oc_errno_name(int32_t number, uint8_t *out, double capacity) {
  const char *name = "";
  switch (number) {
    NAME(EPERM) NAME(ENOENT) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(E2BIG) NAME(EBADF) NAME(EAGAIN) NAME(ENOMEM)
    NAME(EACCES) NAME(EFAULT) NAME(EBUSY) NAME(EEXIST) NAME(EXDEV) NAME(ENODEV) NAME(ENOTDIR) NAME(EISDIR)
    NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY) NAME(ETXTBSY) NAME(EFBIG) NAME(ENOSPC) NAME(ESPIPE)
    NAME(EROFS) NAME(EMLINK) NAME(EPIPE) NAME(EDOM) NAME(ERANGE) NAME(EDEADLK) NAME(ENAMETOOLONG) NAME(ENOLCK)
    NAME(ENOSYS) NAME(ENOTEMPTY) NAME(ELOOP) NAME(EOVERFLOW) NAME(ENOTSUP) NAME(EDQUOT) NAME(ESTALE)
    NAME(ETIMEDOUT) NAME(ECONNREFUSED) NAME(ECONNRESET) NAME(ECONNABORTED) NAME(ENOTCONN) NAME(ESHUTDOWN)
    NAME(ENOTSOCK) NAME(EINPROGRESS) NAME(EALREADY) NAME(ECANCELED) NAME(EPROTO) NAME(EILSEQ)
  }
  size_t length = strlen(name);
  if (length > (size_t)capacity) length = (size_t)capacity;
  memcpy(out, name, length);
  return (double)length;
}

/* ---- descriptors ---- */

int oc_open_flags(int32_t flags) {
  int system = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | ((flags & OC_OPEN_WRITE) ? O_RDWR : O_RDONLY);
  if (flags & OC_OPEN_CREATE) system |= O_CREAT;
  if (flags & OC_OPEN_EXCLUSIVE) system |= O_EXCL;
  if (flags & OC_OPEN_TRUNCATE) system |= O_TRUNC;
  if (flags & OC_OPEN_NOFOLLOW) system |= O_NOFOLLOW;
  if (flags & OC_OPEN_DIRECTORY) system |= O_DIRECTORY;
  return system;
}

double oc_open(const uint8_t *path, int32_t flags, int32_t mode) {
  int fd;
  do fd = open((const char *)path, oc_open_flags(flags), (mode_t)mode);
  while (fd < 0 && errno == EINTR);
  return fd < 0 ? -(double)errno : fd;
}

double oc_close(int32_t fd, int32_t unused) {
  (void)unused;
  oc_disown_descriptor(fd);
  /* After EINTR the descriptor is gone on Linux; closing it again could hit somebody else's. */
  return close(fd) < 0 && errno != EINTR ? -(double)errno : 0;
}

double oc_dup(int32_t fd, int32_t unused) {
  (void)unused;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -(double)errno : copy;
}

double oc_size(int32_t fd, int32_t unused) {
  (void)unused;
  struct stat status;
  return fstat(fd, &status) < 0 ? -(double)errno : (double)status.st_size;
}

static double kind_of(mode_t mode) {
  if (S_ISREG(mode)) return OC_KIND_FILE;
  if (S_ISDIR(mode)) return OC_KIND_DIRECTORY;
  if (S_ISFIFO(mode)) return OC_KIND_FIFO;
  if (S_ISSOCK(mode)) return OC_KIND_SOCKET;
  if (S_ISCHR(mode)) return OC_KIND_CHARACTER;
  if (S_ISBLK(mode)) return OC_KIND_BLOCK;
#if defined(__APPLE__)
  if ((mode & S_IFMT) == 0) return OC_KIND_FILE; /* a shared memory object */
#endif
  return OC_KIND_OTHER;
}

double oc_file_system_of(int fd);

double oc_stat(int32_t fd, double *out) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -(double)errno;
#if defined(__APPLE__)
  struct timespec modified = status.st_mtimespec;
#else
  struct timespec modified = status.st_mtim;
#endif
  out[OC_STAT_SIZE] = (double)status.st_size;
  out[OC_STAT_KIND] = kind_of(status.st_mode);
  out[OC_STAT_DEVICE] = (double)(uint64_t)status.st_dev;
  out[OC_STAT_INODE_LOW] = (double)((uint64_t)status.st_ino & 0xffffffffu);
  out[OC_STAT_INODE_HIGH] = (double)((uint64_t)status.st_ino >> 32);
  out[OC_STAT_BLOCK_SIZE] = (double)status.st_blksize;
  out[OC_STAT_ALLOCATED] = (double)status.st_blocks * 512;
  out[OC_STAT_MODIFIED] = (double)modified.tv_sec + (double)modified.tv_nsec / 1e9;
  out[OC_STAT_LINKS] = (double)status.st_nlink;
  out[OC_STAT_MODE] = (double)(status.st_mode & 07777);
  out[OC_STAT_OWNER] = (double)status.st_uid;
  out[OC_STAT_FILE_SYSTEM] = oc_file_system_of(fd);
  return 0;
}

double oc_pread(int32_t fd, uint8_t *buffer, double start, double length, double offset) {
  size_t wanted = (size_t)length, done = 0;
  while (done < wanted) {
    ssize_t got = pread(fd, buffer + (size_t)start + done, wanted - done, (off_t)offset + (off_t)done);
    if (got == 0) break;
    if (got > 0) {
      done += (size_t)got;
      continue;
    }
    if (errno == EINTR) continue;
    if (done > 0) break;
    return -(double)errno;
  }
  return (double)done;
}

double oc_pwrite(int32_t fd, const uint8_t *buffer, double start, double length, double offset) {
  size_t wanted = (size_t)length, done = 0;
  while (done < wanted) {
    ssize_t got = pwrite(fd, buffer + (size_t)start + done, wanted - done, (off_t)offset + (off_t)done);
    if (got > 0) {
      done += (size_t)got;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (done > 0) break;
    return got < 0 ? -(double)errno : -(double)EIO;
  }
  return (double)done;
}

double oc_truncate(int32_t fd, double size) {
  int result;
  do result = ftruncate(fd, (off_t)size);
  while (result < 0 && errno == EINTR);
  return RESULT(result);
}

/* ---- names ---- */

double oc_link_name(const uint8_t *name, char *out, size_t capacity) {
  size_t length = strlen((const char *)name);
  if (length == 0 || strchr((const char *)name, '/')) return -EINVAL;
  if (length + 2 > capacity) return -ENAMETOOLONG;
  out[0] = '/';
  memcpy(out + 1, name, length + 1);
  return 0;
}

double oc_object_open(const uint8_t *name, int32_t flags, int32_t mode) {
  char path[258];
  double bad = oc_link_name(name, path, sizeof path);
  if (bad < 0) return bad;
  int system = (flags & OC_OPEN_WRITE) ? O_RDWR : O_RDONLY;
  if (flags & OC_OPEN_CREATE) system |= O_CREAT;
  if (flags & OC_OPEN_EXCLUSIVE) system |= O_EXCL;
  if (flags & OC_OPEN_TRUNCATE) system |= O_TRUNC;
  /* The name may be that of a FIFO, whose opening would wait for its other end. */
  int fd = shm_open(path, system | O_NONBLOCK, (mode_t)mode);
  if (fd < 0) return -(double)errno;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

double oc_object_unlink(const uint8_t *name, int32_t unused) {
  (void)unused;
  char path[258];
  double bad = oc_link_name(name, path, sizeof path);
  return bad < 0 ? bad : RESULT(shm_unlink(path));
}

/* ---- memory ---- */

static int protection_of(int32_t protection) {
  if (protection == OC_PROT_WRITE) return PROT_READ | PROT_WRITE;
  return protection == OC_PROT_READ ? PROT_READ : PROT_NONE;
}

/* Ranges that show zeros before they are given back, oldest first. */
static struct {
  double address;
  double length;
} retired[OC_RETIRED];
static size_t retired_first, retired_count;
static double retired_bytes;
static pthread_mutex_t retired_lock = PTHREAD_MUTEX_INITIALIZER;

/* Gives back the oldest range. Under the lock. */
static void give_back(void) {
  munmap(OC_POINTER(retired[retired_first].address), (size_t)retired[retired_first].length);
  retired_bytes -= retired[retired_first].length;
  retired_first = (retired_first + 1) % OC_RETIRED;
  retired_count--;
}

static int give_back_all(void) {
  pthread_mutex_lock(&retired_lock);
  int some = retired_count > 0;
  while (retired_count > 0) give_back();
  pthread_mutex_unlock(&retired_lock);
  return some;
}

static void *zeros(double address, double length) {
  int system = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
#if defined(MAP_NORESERVE)
  system |= MAP_NORESERVE;
#endif
  return mmap(OC_POINTER(address), (size_t)length, PROT_READ | PROT_WRITE, system, -1, 0);
}

double oc_map(double address, double length, int32_t protection, int32_t flags, int32_t fd, double offset) {
  int system = (flags & OC_MAP_SHARED) ? MAP_SHARED : MAP_PRIVATE;
#if defined(MAP_NORESERVE)
  system |= MAP_NORESERVE;
#endif
  if (flags & OC_MAP_ANONYMOUS) system |= MAP_ANONYMOUS;
  if (flags & OC_MAP_FIXED) system |= MAP_FIXED;
#if defined(MAP_POPULATE)
  if (flags & OC_MAP_POPULATE) system |= MAP_POPULATE;
#endif
  int anonymous = (flags & OC_MAP_ANONYMOUS) != 0;
  void *got = mmap(OC_POINTER(address), (size_t)length, protection_of(protection), system, anonymous ? -1 : fd,
                   anonymous ? 0 : (off_t)offset);
  if (got == MAP_FAILED && errno == ENOMEM && give_back_all())
    got = mmap(OC_POINTER(address), (size_t)length, protection_of(protection), system, anonymous ? -1 : fd,
               anonymous ? 0 : (off_t)offset);
  if (got == MAP_FAILED) return -(double)errno;
  if (!(flags & OC_MAP_FIXED)) atomic_fetch_add(&shared[OC_SHARED_MAPS], 1);
  return OC_DOUBLE(got);
}

double oc_unmap(double address, double length) {
  if (munmap(OC_POINTER(address), (size_t)length) < 0) return -(double)errno;
  atomic_fetch_sub(&shared[OC_SHARED_MAPS], 1);
  return 0;
}

double oc_bury(double address, double length) {
  if (zeros(address, length) == MAP_FAILED) return -(double)errno;
  atomic_fetch_add(&shared[OC_SHARED_BURIED], (int32_t)((length + 1048575) / 1048576));
  return 0;
}

double oc_retire(double address, double length) {
  if (zeros(address, length) == MAP_FAILED) return oc_unmap(address, length);
  pthread_mutex_lock(&retired_lock);
  while (retired_count == OC_RETIRED || (retired_count > 0 && retired_bytes + length > OC_RETIRED_BYTES)) give_back();
  size_t last = (retired_first + retired_count++) % OC_RETIRED;
  retired[last].address = address;
  retired[last].length = length;
  retired_bytes += length;
  pthread_mutex_unlock(&retired_lock);
  atomic_fetch_sub(&shared[OC_SHARED_MAPS], 1);
  return 0;
}

double oc_protect(double address, double length, int32_t protection) {
  return RESULT(mprotect(OC_POINTER(address), (size_t)length, protection_of(protection)));
}

double oc_flush(double address, double length, int32_t wait) {
  return RESULT(msync(OC_POINTER(address), (size_t)length, wait ? MS_SYNC : MS_ASYNC));
}

double oc_pin(double address, double length, int32_t on) {
  return RESULT(on ? mlock(OC_POINTER(address), (size_t)length) : munlock(OC_POINTER(address), (size_t)length));
}

double oc_copy_out(uint8_t *buffer, double start, double address, double length) {
  memmove(buffer + (size_t)start, OC_POINTER(address), (size_t)length);
  return length;
}

double oc_copy_in(double address, const uint8_t *buffer, double start, double length) {
  memmove(OC_POINTER(address), buffer + (size_t)start, (size_t)length);
  return length;
}

double oc_find(double address, double length, const uint8_t *needle, double needle_length) {
  const uint8_t *base = OC_POINTER(address);
  const uint8_t *found = memmem(base, (size_t)length, needle, (size_t)needle_length);
  return found ? (double)(found - base) : -ENOENT;
}

double oc_find_in(const uint8_t *buffer, double start, double length, const uint8_t *needle, double needle_length) {
  return oc_find(OC_DOUBLE(buffer + (size_t)start), length, needle, needle_length);
}

double oc_find_all(double address, double length, int32_t byte, double *out, double capacity) {
  const uint8_t *base = OC_POINTER(address), *at = base, *end = base + (size_t)length;
  size_t count = 0, limit = (size_t)capacity;
  while (count < limit && at < end) {
    const uint8_t *found = memchr(at, byte, (size_t)(end - at));
    if (!found) break;
    out[count++] = (double)(found - base);
    at = found + 1;
  }
  return (double)count;
}
