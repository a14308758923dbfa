/* What macOS does its own way. Compiled for macOS 11 on both processors; it has not been run. */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <limits.h>
#include <mach/mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <unistd.h>

/* Constants that older headers lack; the kernel answers EINVAL or ENOTTY where it lacks them too. */
#ifndef F_OFD_SETLK
#define F_OFD_SETLK 90
#endif
#ifndef F_PUNCHHOLE
#define F_PUNCHHOLE 99
typedef struct fpunchhole {
  unsigned int fp_flags;
  unsigned int reserved;
  off_t fp_offset;
  off_t fp_length;
} fpunchhole_t;
#endif

#define RESULT(expression) ((expression) < 0 ? -(double)errno : 0)

/* ---- about the system ---- */

static double resource_limit(int which) {
  struct rlimit limit;
  if (getrlimit(which, &limit) < 0) return -(double)errno;
  return limit.rlim_cur >= (rlim_t)OC_UNLIMITED ? OC_UNLIMITED : (double)limit.rlim_cur;
}

static double open_descriptors(void) {
  /* Without a buffer the answer is the size of one that surely suffices, not the number. */
  int size = proc_pidinfo(getpid(), PROC_PIDLISTFDS, 0, NULL, 0);
  if (size <= 0) return -ENOSYS;
  void *list = malloc((size_t)size);
  if (!list) return -ENOMEM;
  int used = proc_pidinfo(getpid(), PROC_PIDLISTFDS, 0, list, size);
  free(list);
  return used < 0 ? -ENOSYS : (double)(used / (int)PROC_PIDLISTFD_SIZE);
}

static double available_memory(void) {
  mach_port_t host = mach_host_self();
  vm_statistics64_data_t statistics;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  kern_return_t result = host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&statistics, &count);
  mach_port_deallocate(mach_task_self(), host);
  if (result != KERN_SUCCESS) return -ENOSYS;
  return ((double)statistics.free_count + (double)statistics.inactive_count) * (double)sysconf(_SC_PAGESIZE);
}

static double resident_memory(void) {
  mach_task_basic_info_data_t info;
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) != KERN_SUCCESS) return -ENOSYS;
  return (double)info.resident_size;
}

double oc_limit(int32_t which) {
  switch (which) {
    case OC_LIMIT_DESCRIPTORS: return resource_limit(RLIMIT_NOFILE);
    case OC_LIMIT_DESCRIPTORS_OPEN: return open_descriptors();
    case OC_LIMIT_ADDRESS_SPACE: return resource_limit(RLIMIT_AS);
    case OC_LIMIT_MAPS:
    case OC_LIMIT_MAPS_USED: return -ENOSYS;
    case OC_LIMIT_LOCKED: return resource_limit(RLIMIT_MEMLOCK);
    case OC_LIMIT_MEMORY: {
      uint64_t bytes = 0;
      size_t size = sizeof bytes;
      return sysctlbyname("hw.memsize", &bytes, &size, NULL, 0) < 0 ? -(double)errno : (double)bytes;
    }
    case OC_LIMIT_MEMORY_AVAILABLE: return available_memory();
    case OC_LIMIT_RESIDENT: return resident_memory();
  }
  return -EINVAL;
}

static double has_ofd_locks(void) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  int result = fcntl(fd, F_OFD_SETLK, &lock);
  int reason = errno;
  close(fd);
  return result == 0 || (reason != EINVAL && reason != ENOTTY);
}

double oc_feature(int32_t which) {
  switch (which) {
    case OC_FEATURE_OFD_LOCKS: return has_ofd_locks();
    case OC_FEATURE_POPULATE_READ:
    case OC_FEATURE_PAGEMAP_SCAN:
    case OC_FEATURE_OPENAT2:
    case OC_FEATURE_MEMFD: return 0;
    case OC_FEATURE_FALLOCATE: return 1;
  }
  return -EINVAL;
}

/* ---- descriptors ---- */

static int is_one_of(const char *name, const char *const *names) {
  for (; *names; names++)
    if (strncmp(name, *names, strlen(*names)) == 0) return 1;
  return 0;
}

static double kind_of_file_system(const struct statfs *status) {
  static const char *const memory[] = {"tmpfs", NULL};
  static const char *const virtual[] = {"devfs", "fdesc", "autofs", NULL};
  /* FUSE and shared folders of a virtual machine claim to be local. */
  static const char *const network[] = {"nfs",     "smbfs", "afpfs", "webdav",        "ftp", "macfuse",
                                        "osxfuse", "fuse",  "9p",    "AppleVirtIOFS", NULL};
  if (is_one_of(status->f_fstypename, memory)) return OC_FS_MEMORY;
  if (is_one_of(status->f_fstypename, virtual)) return OC_FS_VIRTUAL;
  if (!(status->f_flags & MNT_LOCAL) || is_one_of(status->f_fstypename, network)) return OC_FS_NETWORK;
  return OC_FS_LOCAL;
}

double oc_file_system_of(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) == 0) return kind_of_file_system(&status);
  /* A shared memory object lies in no file system, and its mode names no type. */
  struct stat object;
  return fstat(fd, &object) == 0 && (object.st_mode & S_IFMT) == 0 ? OC_FS_MEMORY : OC_FS_LOCAL;
}

double oc_room(const uint8_t *path, double *out) {
  struct statfs status;
  if (statfs((const char *)path, &status) < 0) return -(double)errno;
  out[0] = (double)status.f_bavail * (double)status.f_bsize;
  out[1] = (double)status.f_blocks * (double)status.f_bsize;
  out[2] = kind_of_file_system(&status);
  return 0;
}

/* Writes one byte of each block back, so that the holes get blocks. A writer between the two calls would lose that
 * byte, as with posix_fallocate of a C library: whoever shares the file allocates before sharing. */
static double fill_holes(int fd, off_t offset, off_t end, off_t block) {
  for (off_t at = offset; at < end; at = at - at % block + block) {
    uint8_t byte = 0;
    double got = oc_pread(fd, &byte, 0, 1, (double)at);
    if (got < 0) return got;
    double put = oc_pwrite(fd, &byte, 0, 1, (double)at);
    if (put < 0) return put;
  }
  return 0;
}

/* F_PREALLOCATE only adds blocks beyond the end of the file. */
double oc_allocate(int32_t fd, double offset, double length) {
  struct stat status;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (fstat(fd, &status) < 0) return -(double)errno;
  off_t start = (off_t)offset, end = start + (off_t)length;
  if ((off_t)status.st_blocks * 512 < status.st_size && start < status.st_size) {
    off_t block = status.st_blksize > 0 && status.st_blksize < 4096 ? status.st_blksize : 4096;
    double result = fill_holes(fd, start, end < status.st_size ? end : status.st_size, block);
    if (result < 0) return result;
  }
  if (end <= status.st_size) return 0;
  fstore_t wish = {.fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE, .fst_length = end - status.st_size};
  if (fcntl(fd, F_PREALLOCATE, &wish) < 0) return -(double)errno;
  return oc_truncate(fd, (double)end);
}

static double write_zeros(int fd, off_t offset, off_t end) {
  static const uint8_t zeros[65536];
  while (offset < end) {
    off_t span = end - offset < (off_t)sizeof zeros ? end - offset : (off_t)sizeof zeros;
    double put = oc_pwrite(fd, zeros, 0, (double)span, (double)offset);
    if (put < 0) return put;
    offset += (off_t)put;
  }
  return 0;
}

/* F_PUNCHHOLE wants whole blocks within the file; what is left at both ends is overwritten. */
double oc_punch(int32_t fd, double offset, double length) {
  struct stat status;
  struct statfs volume;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (fstat(fd, &status) < 0 || fstatfs(fd, &volume) < 0) return -(double)errno;
  off_t block = (off_t)volume.f_bsize, start = (off_t)offset, end = start + (off_t)length;
  if (end > status.st_size) end = status.st_size;
  if (start >= end) return 0;
  off_t first = (start + block - 1) / block * block, last = end / block * block;
  if (first >= last) return write_zeros(fd, start, end);
  fpunchhole_t hole = {.fp_offset = first, .fp_length = last - first};
  if (fcntl(fd, F_PUNCHHOLE, &hole) < 0) return -(double)errno;
  double result = write_zeros(fd, start, first);
  return result < 0 ? result : write_zeros(fd, last, end);
}

/* fsync stops at the drive's own cache; only F_FULLFSYNC makes durable. Some file systems do not have it. */
double oc_sync(int32_t fd, int32_t data_only) {
  (void)data_only;
  int result;
  do result = fcntl(fd, F_FULLFSYNC);
  while (result < 0 && errno == EINTR);
  if (result >= 0) return 0;
  if (errno != ENOTSUP && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOTTY) return -(double)errno;
  do result = fsync(fd);
  while (result < 0 && errno == EINTR);
  return RESULT(result);
}

double oc_sync_begin(int32_t fd, double offset, double length) {
  (void)fd;
  (void)offset;
  (void)length;
  return -ENOSYS;
}

static double read_ahead(int fd, off_t offset, off_t length) {
  double size = oc_size(fd, 0);
  if (size < 0) return size;
  off_t end = length == 0 || offset + length > (off_t)size ? (off_t)size : offset + length;
  while (offset < end) {
    off_t most = INT_MAX - INT_MAX % 65536;
    off_t span = end - offset < most ? end - offset : most;
    struct radvisory advice = {.ra_offset = offset, .ra_count = (int)span};
    if (fcntl(fd, F_RDADVISE, &advice) < 0) return -(double)errno;
    offset += span;
  }
  return 0;
}

/* Reading ahead is switched for the whole descriptor, whatever the range. */
double oc_fadvise(int32_t fd, double offset, double length, int32_t advice) {
  switch (advice) {
    case OC_ADVISE_NORMAL:
    case OC_ADVISE_SEQUENTIAL: return RESULT(fcntl(fd, F_RDAHEAD, 1));
    case OC_ADVISE_RANDOM: return RESULT(fcntl(fd, F_RDAHEAD, 0));
    case OC_ADVISE_WILLNEED: return read_ahead(fd, (off_t)offset, (off_t)length);
    case OC_ADVISE_DONTNEED: return -ENOSYS;
  }
  return -EINVAL;
}

/* A kernel without OFD locks locks the whole file by flock, which belongs to the open file description too: a range
 * then excludes more than it says, and unlocking any range unlocks all. */
static double lock_whole(int fd, int32_t kind) {
  static const int operations[] = {LOCK_UN, LOCK_SH, LOCK_EX};
  if (flock(fd, operations[kind] | LOCK_NB) == 0) return 0;
  return errno == EWOULDBLOCK ? -EAGAIN : -(double)errno;
}

double oc_lock(int32_t fd, int32_t kind, double offset, double length) {
  static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
  if (kind < 0 || kind > OC_LOCK_EXCLUSIVE || offset < 0 || length < 0) return -EINVAL;
  struct flock lock = {.l_type = types[kind], .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)length};
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
  if (errno == EINVAL || errno == ENOTTY) return lock_whole(fd, kind);
  return errno == EACCES ? -EAGAIN : -(double)errno;
}

/* ---- names ---- */

/* A shared memory object whose name is removed at once. Its size can be set only once and is rounded up to a page, and
 * oc_pread and oc_pwrite do not work on it: it is there to be mapped. */
double oc_memory_file(const uint8_t *label, int32_t unused) {
  (void)label;
  (void)unused;
  for (int attempt = 0; attempt < 16; attempt++) {
    char name[32]; /* the longest that the system takes has 31 bytes */
    snprintf(name, sizeof name, "/oc-%08x%08x", arc4random(), arc4random());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, (mode_t)0600);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -(double)errno;
    shm_unlink(name);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
  }
  return -EEXIST;
}

double oc_unnamed(const uint8_t *path, int32_t mode) {
  (void)path;
  (void)mode;
  return -ENOSYS;
}

double oc_link(int32_t fd, const uint8_t *path) {
  (void)fd;
  (void)path;
  return -ENOSYS;
}

/* ---- memory ---- */

/* DONTNEED and COLD only make the pages the first to go: nothing is lost, and anonymous memory keeps its content.
 * MADV_FREE_REUSABLE would give anonymous memory back at once, but what is read there afterwards is undefined until
 * MADV_FREE_REUSE, so it is no DONTNEED. MADV_PAGEOUT is the kernel's own. */
double oc_advise(double address, double length, int32_t kind) {
  void *start = OC_POINTER(address);
  size_t size = (size_t)length;
  switch (kind) {
    case OC_ADVISE_NORMAL: return RESULT(madvise(start, size, MADV_NORMAL));
    case OC_ADVISE_SEQUENTIAL: return RESULT(madvise(start, size, MADV_SEQUENTIAL));
    case OC_ADVISE_RANDOM: return RESULT(madvise(start, size, MADV_RANDOM));
    case OC_ADVISE_WILLNEED: return RESULT(madvise(start, size, MADV_WILLNEED));
    case OC_ADVISE_DONTNEED:
    case OC_ADVISE_COLD: return RESULT(madvise(start, size, MADV_DONTNEED));
    case OC_ADVISE_DONTFORK: return RESULT(minherit(start, size, VM_INHERIT_NONE));
    case OC_ADVISE_POPULATE_READ:
    case OC_ADVISE_POPULATE_WRITE:
    case OC_ADVISE_HUGEPAGE:
    case OC_ADVISE_NOHUGEPAGE:
    case OC_ADVISE_PAGEOUT:
    case OC_ADVISE_DONTDUMP: return -ENOSYS;
  }
  return -EINVAL;
}

double oc_resident(double address, double length) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char states[4096];
  double resident = 0;
  uintptr_t at = (uintptr_t)address, end = at + (size_t)length;
  while (at < end) {
    size_t span = end - at < sizeof states * page ? end - at : sizeof states * page;
    if (mincore((void *)at, span, states) < 0) return -(double)errno;
    size_t pages = (span + page - 1) / page;
    for (size_t i = 0; i < pages; i++) resident += states[i] & MINCORE_INCORE;
    at += span;
  }
  return resident * (double)page;
}
