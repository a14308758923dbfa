/* What Linux does its own way. */
#include "outcore.h"
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Constants that older headers lack; the kernel answers EINVAL or ENOSYS where it lacks them too. */
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef F_OFD_SETLK
#define F_OFD_SETLK 37
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_memfd_create
#if defined(__x86_64__)
#define SYS_memfd_create 319
#else
#define SYS_memfd_create 279
#endif
#endif
#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, uint64_t[12])

#define RESULT(expression) ((expression) < 0 ? -(double)errno : 0)

/* ---- about the system ---- */

/* The number that follows `key` in a file of /proc, or -ENOSYS. */
static double number_in(const char *path, const char *key) {
  FILE *file = fopen(path, "re");
  if (!file) return -ENOSYS;
  char line[512];
  double value = -ENOSYS;
  size_t length = strlen(key);
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, key, length) != 0) continue;
    value = strtod(line + length, NULL);
    break;
  }
  fclose(file);
  return value;
}

static double count_lines(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) return -ENOSYS;
  char block[65536];
  double lines = 0;
  size_t got;
  while ((got = fread(block, 1, sizeof block, file)) > 0)
    for (size_t i = 0; i < got; i++) lines += block[i] == '\n';
  fclose(file);
  return lines;
}

static double count_entries(const char *path) {
  DIR *folder = opendir(path);
  if (!folder) return -ENOSYS;
  double entries = 0;
  for (struct dirent *entry; (entry = readdir(folder));) entries += entry->d_name[0] != '.';
  closedir(folder);
  return entries - 1; /* the folder's own descriptor */
}

static double resource_limit(int which) {
  struct rlimit limit;
  if (getrlimit(which, &limit) < 0) return -(double)errno;
  return limit.rlim_cur == RLIM_INFINITY ? OC_UNLIMITED : (double)limit.rlim_cur;
}

double oc_limit(int32_t which) {
  switch (which) {
    case OC_LIMIT_DESCRIPTORS: return resource_limit(RLIMIT_NOFILE);
    case OC_LIMIT_DESCRIPTORS_OPEN: return count_entries("/proc/self/fd");
    case OC_LIMIT_ADDRESS_SPACE: return resource_limit(RLIMIT_AS);
    case OC_LIMIT_MAPS: return number_in("/proc/sys/vm/max_map_count", "");
    case OC_LIMIT_MAPS_USED: return count_lines("/proc/self/maps");
    case OC_LIMIT_LOCKED: return resource_limit(RLIMIT_MEMLOCK);
    case OC_LIMIT_MEMORY: return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    case OC_LIMIT_MEMORY_AVAILABLE: {
      double kib = number_in("/proc/meminfo", "MemAvailable:");
      return kib < 0 ? kib : kib * 1024;
    }
    case OC_LIMIT_RESIDENT: {
      double kib = number_in("/proc/self/status", "VmRSS:");
      return kib < 0 ? kib : kib * 1024;
    }
  }
  return -EINVAL;
}

static double has_pagemap_scan(void) {
  int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  uint64_t request[12] = {sizeof request};
  int result = ioctl(fd, PAGEMAP_SCAN_REQUEST, request);
  int reason = errno;
  close(fd);
  return result >= 0 || reason != ENOTTY;
}

static double has_ofd_locks(void) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  int result = fcntl(fd, F_OFD_SETLK, &lock);
  close(fd);
  return result == 0;
}

double oc_feature(int32_t which) {
  switch (which) {
    case OC_FEATURE_OFD_LOCKS: return has_ofd_locks();
    case OC_FEATURE_POPULATE_READ: return madvise(NULL, 0, MADV_POPULATE_READ) == 0;
    case OC_FEATURE_PAGEMAP_SCAN: return has_pagemap_scan();
    case OC_FEATURE_OPENAT2: return syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno != ENOSYS;
    case OC_FEATURE_MEMFD: return syscall(SYS_memfd_create, NULL, 0) < 0 && errno != ENOSYS;
    case OC_FEATURE_FALLOCATE: return 1;
  }
  return -EINVAL;
}

/* ---- descriptors ---- */

static double kind_of_file_system(const struct statfs *status) {
  switch ((uint32_t)status->f_type) {
    case 0x01021994: /* tmpfs */
    case 0x858458f6: /* ramfs */
    case 0x958458f6: /* hugetlbfs */
      return OC_FS_MEMORY;
    case 0x6969:     /* nfs */
    case 0xff534d42: /* cifs */
    case 0xfe534d42: /* smb2 */
    case 0x517b:     /* smb */
    case 0x00c36400: /* ceph */
    case 0x01021997: /* 9p */
    case 0x65735546: /* fuse */
    case 0x5346414f: /* afs */
    case 0x73757245: /* coda */
      return OC_FS_NETWORK;
    case 0x9fa0:     /* proc */
    case 0x62656572: /* sysfs */
    case 0x64626720: /* debugfs */
    case 0x74726163: /* tracefs */
    case 0x27e0eb:   /* cgroup */
    case 0x63677270: /* cgroup2 */
    case 0xcafe4a11: /* bpf */
    case 0x73636673: /* securityfs */
    case 0x6e736673: /* nsfs */
    case 0x1cd1:     /* devpts */
      return OC_FS_VIRTUAL;
  }
  return OC_FS_LOCAL;
}

double oc_file_system_of(int fd) {
  struct statfs status;
  return fstatfs(fd, &status) < 0 ? OC_FS_LOCAL : kind_of_file_system(&status);
}

double oc_room(const uint8_t *path, double *out) {
  struct statfs status;
  if (statfs((const char *)path, &status) < 0) return -(double)errno;
  out[0] = (double)status.f_bavail * (double)status.f_bsize;
  out[1] = (double)status.f_blocks * (double)status.f_bsize;
  out[2] = kind_of_file_system(&status);
  return 0;
}

double oc_allocate(int32_t fd, double offset, double length) {
  int result;
  do result = posix_fallocate(fd, (off_t)offset, (off_t)length);
  while (result == EINTR);
  return result ? -(double)result : 0;
}

double oc_punch(int32_t fd, double offset, double length) {
  return RESULT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

double oc_sync(int32_t fd, int32_t data_only) {
  int result;
  do result = data_only ? fdatasync(fd) : fsync(fd);
  while (result < 0 && errno == EINTR);
  return RESULT(result);
}

double oc_sync_begin(int32_t fd, double offset, double length) {
  return RESULT(sync_file_range(fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE));
}

double oc_fadvise(int32_t fd, double offset, double length, int32_t advice) {
  static const int kinds[] = {POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM, POSIX_FADV_WILLNEED,
                              POSIX_FADV_DONTNEED};
  if (advice < 0 || advice > OC_ADVISE_DONTNEED) return -EINVAL;
  int result = posix_fadvise(fd, (off_t)offset, (off_t)length, kinds[advice]);
  return result ? -(double)result : 0;
}

double oc_lock(int32_t fd, int32_t kind, double offset, double length) {
  static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
  if (kind < 0 || kind > OC_LOCK_EXCLUSIVE) return -EINVAL;
  struct flock lock = {.l_type = types[kind], .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)length};
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
  return errno == EACCES ? -EAGAIN : -(double)errno;
}

/* ---- names ---- */

double oc_memory_file(const uint8_t *label, int32_t unused) {
  (void)unused;
  long fd = syscall(SYS_memfd_create, label, 1u /* MFD_CLOEXEC */);
  return fd < 0 ? -(double)errno : (double)fd;
}

double oc_unnamed(const uint8_t *path, int32_t mode) {
  int fd = open((const char *)path, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode);
  return fd < 0 ? -(double)errno : fd;
}

double oc_link(int32_t fd, const uint8_t *path) {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return RESULT(linkat(AT_FDCWD, name, AT_FDCWD, (const char *)path, AT_SYMLINK_FOLLOW));
}

/* ---- memory ---- */

double oc_advise(double address, double length, int32_t kind) {
  static const int kinds[] = {MADV_NORMAL,        MADV_SEQUENTIAL,     MADV_RANDOM,   MADV_WILLNEED,   MADV_DONTNEED,
                              MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD,
                              MADV_PAGEOUT,       MADV_DONTFORK,       MADV_DONTDUMP};
  if (kind < 0 || kind > OC_ADVISE_DONTDUMP) return -EINVAL;
  return RESULT(madvise(OC_POINTER(address), (size_t)length, kinds[kind]));
}

double oc_resident(double address, double length) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  unsigned char states[4096];
  double resident = 0;
  uintptr_t at = (uintptr_t)address, end = at + (size_t)length;
  while (at < end) {
    size_t span = end - at < sizeof states * page ? end - at : sizeof states * page;
    if (mincore((void *)at, span, states) < 0) return -(double)errno;
    size_t pages = (span + page - 1) / page;
    for (size_t i = 0; i < pages; i++) resident += states[i] & 1;
    at += span;
  }
  return resident * (double)page;
}
