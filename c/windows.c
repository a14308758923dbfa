/* Windows: about the system, and errno numbers for its errors. Compiled for x64 and arm64; run under Wine 8, not on
 * Windows. */
#include "outcore.h"
#include "internal.h"
#include "win32.h"

#include <errno.h>
#include <psapi.h>
#include <stdatomic.h>
#include <string.h>

double oc_abi(void) { return OC_ABI; }

double oc_page_size(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return (double)info.dwPageSize;
}

double oc_map_granularity(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return (double)info.dwAllocationGranularity;
}

double oc_monotonic(void) {
  LARGE_INTEGER frequency, now;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&now);
  int64_t seconds = now.QuadPart / frequency.QuadPart, rest = now.QuadPart % frequency.QuadPart;
  return (double)seconds * 1e9 + (double)rest * 1e9 / (double)frequency.QuadPart;
}

double oc_pid(void) { return (double)GetCurrentProcessId(); }

static _Atomic int32_t shared[OC_SHARED_COUNT];

double oc_shared(void) { return OC_DOUBLE(shared); }

void oc_win_count(int which, int32_t by) { atomic_fetch_add(&shared[which], by); }

/* ---- errors ---- */

#define NAME(e) \
  case e: name = #e; break;
double oc_errno_name(int32_t number, uint8_t *out, double capacity) {
  const char *name = "";
  switch (number) {
    NAME(EPERM) NAME(ENOENT) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(E2BIG) NAME(EBADF) NAME(EAGAIN) NAME(ENOMEM)
    NAME(EACCES) NAME(EFAULT) NAME(EBUSY) NAME(EEXIST) NAME(EXDEV) NAME(ENODEV) NAME(ENOTDIR) NAME(EISDIR)
    NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY) NAME(ETXTBSY) NAME(EFBIG) NAME(ENOSPC) NAME(ESPIPE)
    NAME(EROFS) NAME(EMLINK) NAME(EPIPE) NAME(EDOM) NAME(ERANGE) NAME(EDEADLK) NAME(ENAMETOOLONG) NAME(ENOLCK)
    NAME(ENOSYS) NAME(ENOTEMPTY) NAME(ELOOP) NAME(EOVERFLOW) NAME(ENOTSUP) NAME(ETIMEDOUT) NAME(ECONNREFUSED)
    NAME(ECONNRESET) NAME(ECONNABORTED) NAME(ENOTCONN) NAME(ENOTSOCK) NAME(EINPROGRESS) NAME(EALREADY)
    NAME(ECANCELED) NAME(EPROTO) NAME(EILSEQ)
  }
  size_t length = strlen(name);
  if (length > (size_t)capacity) length = (size_t)capacity;
  memcpy(out, name, length);
  return (double)length;
}

double oc_win_error(DWORD code) {
  switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
    case ERROR_BAD_PATHNAME:
    case ERROR_INVALID_NAME: return -ENOENT;
    case ERROR_TOO_MANY_OPEN_FILES: return -EMFILE;
    case ERROR_ACCESS_DENIED: return -EACCES;
    case ERROR_PRIVILEGE_NOT_HELD: return -EPERM;
    case ERROR_INVALID_HANDLE: return -EBADF;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_NOT_ENOUGH_QUOTA:
    case ERROR_WORKING_SET_QUOTA:
    case ERROR_COMMITMENT_LIMIT: return -ENOMEM;
    case ERROR_NOACCESS: return -EFAULT;
    case ERROR_NOT_SAME_DEVICE: return -EXDEV;
    case ERROR_WRITE_PROTECT: return -EROFS;
    case ERROR_SHARING_VIOLATION:
    case ERROR_BUSY:
    case ERROR_DELETE_PENDING:
    case ERROR_USER_MAPPED_FILE: return -EBUSY;
    case ERROR_LOCK_VIOLATION: return -EAGAIN;
    case ERROR_NOT_LOCKED: return -ENOLCK;
    case ERROR_HANDLE_DISK_FULL:
    case ERROR_DISK_FULL:
    case ERROR_DISK_QUOTA_EXCEEDED: return -ENOSPC;
    case ERROR_FILE_TOO_LARGE: return -EFBIG;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: return -EEXIST;
    case ERROR_DIRECTORY: return -ENOTDIR;
    case ERROR_DIR_NOT_EMPTY: return -ENOTEMPTY;
    case ERROR_FILENAME_EXCED_RANGE: return -ENAMETOOLONG;
    case ERROR_NO_UNICODE_TRANSLATION: return -EILSEQ;
    case ERROR_CANT_RESOLVE_FILENAME: return -ELOOP;
    case ERROR_TOO_MANY_LINKS: return -EMLINK;
    case ERROR_BROKEN_PIPE: return -EPIPE;
    case ERROR_SEM_TIMEOUT: return -ETIMEDOUT;
    case ERROR_FILE_INVALID: return -ENXIO;
    case ERROR_NOT_READY: return -ENODEV;
    case ERROR_INVALID_PARAMETER:
    case ERROR_INVALID_ADDRESS:
    case ERROR_MAPPED_ALIGNMENT: return -EINVAL;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED:
    case ERROR_PROC_NOT_FOUND:
    case ERROR_CALL_NOT_IMPLEMENTED: return -ENOSYS;
  }
  return -EIO;
}

double oc_win_failure(void) { return oc_win_error(GetLastError()); }

/* ---- features and limits ---- */

/* LockFileEx is as good as an OFD lock: it belongs to the handle and its duplicates. */
double oc_feature(int32_t which) {
  switch (which) {
    case OC_FEATURE_OFD_LOCKS: return 1;
    case OC_FEATURE_POPULATE_READ:
    case OC_FEATURE_PAGEMAP_SCAN:
    case OC_FEATURE_OPENAT2:
    case OC_FEATURE_MEMFD: return 0;
    case OC_FEATURE_FALLOCATE: return 1;
  }
  return -EINVAL;
}

double oc_win_descriptors(int used);

double oc_limit(int32_t which) {
  MEMORYSTATUSEX memory = {.dwLength = sizeof memory};
  switch (which) {
    case OC_LIMIT_DESCRIPTORS: return oc_win_descriptors(0);
    case OC_LIMIT_DESCRIPTORS_OPEN: return oc_win_descriptors(1);
    case OC_LIMIT_ADDRESS_SPACE:
      return GlobalMemoryStatusEx(&memory) ? (double)memory.ullTotalVirtual : oc_win_failure();
    case OC_LIMIT_MAPS:
    case OC_LIMIT_MAPS_USED:
    case OC_LIMIT_LOCKED: return -ENOSYS;
    case OC_LIMIT_MEMORY: return GlobalMemoryStatusEx(&memory) ? (double)memory.ullTotalPhys : oc_win_failure();
    case OC_LIMIT_MEMORY_AVAILABLE:
      return GlobalMemoryStatusEx(&memory) ? (double)memory.ullAvailPhys : oc_win_failure();
    case OC_LIMIT_RESIDENT: {
      PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof counters};
      if (!GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters)) return oc_win_failure();
      return (double)counters.WorkingSetSize;
    }
  }
  return -EINVAL;
}
