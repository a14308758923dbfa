/* Windows: mappings with names, as SHMX has them, and words that processes wait on by events with names. Compiled for x64
 * and arm64; never run. */
#include "outcore.h"
#include "internal.h"
#include "win32.h"

#include <errno.h>
#include <psapi.h>
#include <stdio.h>
#include <string.h>

/* ---- named mappings ---- */

HANDLE oc_win_open_section(const wchar_t *name, int writable) {
  return OpenFileMappingW(FILE_MAP_READ | (writable ? FILE_MAP_WRITE : 0), FALSE, name);
}

int oc_win_is_section(HANDLE handle) {
  DWORD before = GetLastError();
  int unknown = GetFileType(handle) == FILE_TYPE_UNKNOWN;
  SetLastError(before);
  return unknown;
}

/* A section does not tell its size; a view of the whole does, in pages. */
double oc_win_section_size(HANDLE section) {
  MEMORY_BASIC_INFORMATION info;
  void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
  if (!view) return oc_win_failure();
  double size = VirtualQuery(view, &info, sizeof info) ? (double)info.RegionSize : oc_win_failure();
  UnmapViewOfFile(view);
  return size;
}

/* ---- waiting ---- */

/* How long a sleeper sleeps at most before it looks again: an event that another sleeper resets too early is lost. */
#define LOOK_AGAIN 10

/* The event of a word: named for the file and the place in the view where it lies, so that all processes that map the
 * part find the same one. 0 for memory without a file. A collision wakes somebody in vain. */
static int event_name(void *word, wchar_t *out, size_t room) {
  wchar_t path[1024];
  MEMORY_BASIC_INFORMATION info;
  if (!VirtualQuery(word, &info, sizeof info)) return 0;
  DWORD length = GetMappedFileNameW(GetCurrentProcess(), word, path, sizeof path / sizeof *path);
  if (length == 0) return 0;
  uint64_t hash = 0xcbf29ce484222325ull;
  for (DWORD i = 0; i < length; i++) hash = (hash ^ path[i]) * 0x100000001b3ull;
  unsigned long long place = (unsigned long long)((uintptr_t)word - (uintptr_t)info.AllocationBase);
  return swprintf(out, room, L"Local\\outcore-%016llx-%llx", (unsigned long long)hash, place) > 0;
}

static uint32_t word_at(const void *word) { return __atomic_load_n((const uint32_t *)word, __ATOMIC_SEQ_CST); }

double oc_wait_word(double address, double expected, double spin, double timeout) {
  int polled = timeout < 0;
  if (polled) timeout = -timeout;
  void *word = OC_POINTER(address);
  uint32_t value = (uint32_t)expected;
  double start = oc_monotonic();
  wchar_t name[80];
  HANDLE event = NULL;
  double result = 1;
  while (word_at(word) == value) {
    double passed = oc_monotonic() - start;
    if (passed >= timeout) {
      result = 0;
      break;
    }
    if (passed < spin) {
      for (int i = 0; i < 128 && word_at(word) == value; i++) YieldProcessor();
      SwitchToThread();
      continue;
    }
    if (!polled && !event && event_name(word, name, sizeof name / sizeof *name)) event = CreateEventW(NULL, TRUE, FALSE, name);
    double left = (timeout - passed) / 1e6;
    DWORD pause = left < LOOK_AGAIN ? (DWORD)left + 1 : LOOK_AGAIN;
    if (!event) {
      Sleep(1);
      continue;
    }
    ResetEvent(event);
    if (word_at(word) == value) WaitForSingleObject(event, pause);
  }
  if (event) CloseHandle(event);
  return result;
}

double oc_wake(double address, int32_t unused) {
  (void)unused;
  wchar_t name[80];
  if (!event_name(OC_POINTER(address), name, sizeof name / sizeof *name)) return 0;
  HANDLE event = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
  if (!event) return 0;
  SetEvent(event);
  CloseHandle(event);
  return 1;
}

/* ---- who lives ---- */

/* A shared lock is refused while somebody holds the exclusive one. Sections have no locks: their owner counts as alive. */
double oc_lock_test(int32_t fd, double offset) {
  double result = oc_lock(fd, OC_LOCK_SHARED, offset, 1);
  if (result == -EAGAIN) return 1;
  if (result < 0) return result;
  HANDLE handle = oc_win_handle(fd);
  if (handle && oc_win_is_section(handle)) return 1;
  oc_lock(fd, OC_LOCK_NONE, offset, 1);
  return 0;
}

/* Threads of JavaScript that are terminated leave their descriptors to the end of the process. */
double oc_thread_descriptor(int32_t fd, int32_t on) {
  (void)fd, (void)on;
  return 0;
}

/* No event loop takes a socket from here: timers of the loop look instead. */
double oc_waiter_open(int32_t *out, int32_t unused) {
  (void)out, (void)unused;
  return -ENOSYS;
}

double oc_waiter_add(int32_t channel, double address, double expected, double token, double timeout) {
  (void)channel, (void)address, (void)expected, (void)token, (void)timeout;
  return -ENOSYS;
}

double oc_waiter_cancel(int32_t channel, double token) {
  (void)channel, (void)token;
  return -ENOSYS;
}

double oc_waiter_close(int32_t channel, int32_t unused) {
  (void)channel, (void)unused;
  return -ENOSYS;
}
