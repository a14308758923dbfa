/* Windows: mappings. Compiled for x64 and arm64; run under Wine 8 but for what needs placeholders, which it
 * lacks; not run on Windows.
 *
 * Every range is made of placeholders (Windows 10 1803): a placeholder is reserved address space that a view or an
 * allocation can take the place of, and that comes back when it goes. So a range can be buried without a moment in
 * which another thread could be given its addresses. Older systems map and unmap, and the rest is -ENOSYS. A view is
 * replaced whole or not at all. */
#include "outcore.h"
#include "internal.h"
#include "win32.h"

#include <errno.h>
#include <psapi.h>
#include <stdlib.h>
#include <string.h>

/* Constants that older headers lack. */
#ifndef MEM_REPLACE_PLACEHOLDER
#define MEM_REPLACE_PLACEHOLDER 0x4000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x40000
#endif
#ifndef MEM_COALESCE_PLACEHOLDERS
#define MEM_COALESCE_PLACEHOLDERS 1
#endif
#ifndef MEM_PRESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 2
#endif

SRWLOCK oc_win_layout = SRWLOCK_INIT;

/* ---- placeholders ---- */

typedef PVOID(WINAPI *allocate_function)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, void *, ULONG);
typedef PVOID(WINAPI *map_function)(HANDLE, HANDLE, PVOID, ULONG64, SIZE_T, ULONG, ULONG, void *, ULONG);
typedef BOOL(WINAPI *unmap_function)(HANDLE, PVOID, ULONG);

static allocate_function allocate_at;
static map_function map_at;
static unmap_function unmap_at;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

static PVOID reserve(SIZE_T size) {
  return allocate_at(GetCurrentProcess(), NULL, size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
}

static BOOL CALLBACK find_functions(PINIT_ONCE self, PVOID parameter, PVOID *context) {
  (void)self;
  (void)parameter;
  (void)context;
  HMODULE base = GetModuleHandleW(L"kernelbase.dll");
  if (!base) return TRUE;
  allocate_at = (allocate_function)(void *)GetProcAddress(base, "VirtualAlloc2");
  map_at = (map_function)(void *)GetProcAddress(base, "MapViewOfFile3");
  unmap_at = (unmap_function)(void *)GetProcAddress(base, "UnmapViewOfFile2");
  /* Having the functions does not mean that they know placeholders. */
  void *probe = allocate_at && map_at && unmap_at ? reserve(65536) : NULL;
  if (probe) VirtualFree(probe, 0, MEM_RELEASE);
  else allocate_at = NULL;
  return TRUE;
}

static int has_placeholders(void) {
  InitOnceExecuteOnce(&once, find_functions, NULL, NULL);
  return allocate_at != NULL;
}

uintptr_t oc_win_extent(uintptr_t base) {
  MEMORY_BASIC_INFORMATION info;
  uintptr_t at = base;
  while (VirtualQuery((void *)at, &info, sizeof info)) {
    if (info.State == MEM_FREE || (uintptr_t)info.AllocationBase != base) break;
    at = (uintptr_t)info.BaseAddress + info.RegionSize;
  }
  return at;
}

static uintptr_t allocation_of(uintptr_t address) {
  MEMORY_BASIC_INFORMATION info;
  if (!VirtualQuery((void *)address, &info, sizeof info) || info.State == MEM_FREE) return 0;
  return (uintptr_t)info.AllocationBase;
}

static size_t whole_pages(double length) {
  size_t page = (size_t)oc_page_size();
  return ((size_t)length + page - 1) / page * page;
}

/* ---- files of writable views, which flushing needs ---- */

#define VIEWS 65536
static struct {
  uintptr_t base;
  HANDLE file;
} views[VIEWS];
static uint32_t view_count; /* slots at and above it were never used */

static int remember(uintptr_t base, HANDLE file) {
  HANDLE copy, self = GetCurrentProcess();
  if (!DuplicateHandle(self, file, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)) return 0;
  for (uint32_t i = 0; i < VIEWS; i++) {
    if (views[i].base) continue;
    views[i].base = base;
    views[i].file = copy;
    if (i >= view_count) view_count = i + 1;
    return 1;
  }
  CloseHandle(copy);
  SetLastError(ERROR_OUTOFMEMORY);
  return 0;
}

static void forget(uintptr_t base) {
  for (uint32_t i = 0; i < view_count; i++) {
    if (views[i].base != base) continue;
    views[i].base = 0;
    CloseHandle(views[i].file);
    return;
  }
}

/* ---- turning what is there into one placeholder ---- */

/* Turns what begins at `at` back into a placeholder; *next is where the next thing begins. */
static double release_one(uintptr_t at, uintptr_t start, uintptr_t end, uintptr_t *next) {
  MEMORY_BASIC_INFORMATION info;
  if (!VirtualQuery((void *)at, &info, sizeof info) || info.State == MEM_FREE) return -EINVAL;
  uintptr_t base = (uintptr_t)info.AllocationBase, limit = oc_win_extent(base);
  *next = limit < end ? limit : end;
  if (info.Type == MEM_MAPPED) {
    if (base < start || limit > end) return -EINVAL;
    forget(base);
    return unmap_at(GetCurrentProcess(), (void *)base, MEM_PRESERVE_PLACEHOLDER) ? 0 : oc_win_failure();
  }
  /* Only placeholders are reserved without access. */
  if (info.State == MEM_RESERVE && info.AllocationProtect == PAGE_NOACCESS) return 0;
  oc_win_forget(at, *next - at);
  return VirtualFree((void *)at, *next - at, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) ? 0 : oc_win_failure();
}

/* Makes [start, start + size) exactly one placeholder. */
static double clear(uintptr_t start, size_t size) {
  uintptr_t end = start + size, next;
  int pieces = 0;
  for (uintptr_t at = start; at < end; at = next, pieces++) {
    double result = release_one(at, start, end, &next);
    if (result < 0) return result;
  }
  /* Cut off what reaches beyond the range at both ends, then join what is within. */
  DWORD split = MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER, join = MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS;
  uintptr_t first = allocation_of(start);
  if (first < start) {
    uintptr_t limit = oc_win_extent(first) < end ? oc_win_extent(first) : end;
    if (!VirtualFree((void *)start, limit - start, split)) return oc_win_failure();
  }
  uintptr_t last = allocation_of(end - 1);
  if (oc_win_extent(last) > end && !VirtualFree((void *)last, end - last, split)) return oc_win_failure();
  if (pieces > 1 && !VirtualFree((void *)start, size, join)) return oc_win_failure();
  return 0;
}

double oc_win_zero(uintptr_t base, size_t size) {
  if (!has_placeholders()) return -ENOSYS;
  int later = oc_win_commit_later(base, size);
  double result = clear(base, size);
  if (result < 0) return result;
  /* clear has forgotten the range if it was a buried one before. */
  if (later) later = oc_win_commit_later(base, size);
  DWORD how = MEM_RESERVE | MEM_REPLACE_PLACEHOLDER | (later ? 0 : MEM_COMMIT);
  return allocate_at(GetCurrentProcess(), (void *)base, size, how, PAGE_READWRITE, NULL, 0) ? 0 : oc_win_failure();
}

/* ---- mapping ---- */

static double map_anonymous(void *base, size_t size, int32_t protection) {
  DWORD access = protection == OC_PROT_WRITE ? PAGE_READWRITE : PAGE_READONLY;
  DWORD how = MEM_RESERVE | MEM_COMMIT;
  void *got;
  if (protection == OC_PROT_NONE && base) return OC_DOUBLE(base);
  if (protection == OC_PROT_NONE) got = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
  else if (!base) got = VirtualAlloc(NULL, size, how, access);
  else got = allocate_at(GetCurrentProcess(), base, size, how | MEM_REPLACE_PLACEHOLDER, access, NULL, 0);
  return got ? OC_DOUBLE(got) : oc_win_failure();
}

static DWORD page_access(int32_t protection, int copy) {
  if (protection == OC_PROT_NONE) return PAGE_NOACCESS;
  if (protection == OC_PROT_READ) return PAGE_READONLY;
  return copy ? PAGE_WRITECOPY : PAGE_READWRITE;
}

/* What is to be mapped of a file: `size` bytes of whole pages, of which the file has `exact`. */
typedef struct {
  uint64_t offset;
  size_t size, exact;
  int32_t protection;
  int copy;
} view_wish;

static void *map_view(HANDLE section, void *base, const view_wish *wish) {
  DWORD access = page_access(wish->protection, wish->copy);
  if (!base) {
    /* A private view that may be written to later must be mapped as a copy at once: Wine would write to the file. */
    DWORD before, kind = FILE_MAP_READ;
    if (wish->copy) kind = FILE_MAP_COPY;
    else if (wish->protection == OC_PROT_WRITE) kind = FILE_MAP_WRITE;
    void *view = MapViewOfFile(section, kind, (DWORD)(wish->offset >> 32), (DWORD)wish->offset, wish->exact);
    if (view && wish->protection != OC_PROT_WRITE) VirtualProtect(view, wish->size, access, &before);
    return view;
  }
  HANDLE self = GetCurrentProcess();
  DWORD how = MEM_REPLACE_PLACEHOLDER;
  void *got = map_at(section, self, base, wish->offset, wish->size, how, access, NULL, 0);
  /* The last page of a file may count as whole or only as far as it goes. */
  if (!got && wish->exact != wish->size)
    got = map_at(section, self, base, wish->offset, wish->exact, how, access, NULL, 0);
  return got;
}

/* Pages beyond the end of the file cannot be mapped: -ENXIO. */
static double map_file(void *base, int32_t fd, view_wish *wish) {
  HANDLE file = oc_win_handle(fd);
  LARGE_INTEGER end;
  if (!file) return oc_win_failure();
  int foreign = oc_win_is_section(file);
  if (foreign) {
    double size = oc_win_section_size(file);
    if (size < 0) return size;
    end.QuadPart = (LONGLONG)size;
  } else if (!GetFileSizeEx(file, &end)) return oc_win_failure();
  if (wish->offset + wish->size > whole_pages((double)end.QuadPart)) return -ENXIO;
  uint64_t rest = (uint64_t)end.QuadPart - wish->offset;
  if (wish->exact > rest) wish->exact = (size_t)rest;
  int keep = !wish->copy && wish->protection == OC_PROT_WRITE;
  DWORD access = wish->copy ? PAGE_WRITECOPY : keep ? PAGE_READWRITE : PAGE_READONLY;
  HANDLE lasting = foreign ? file : oc_win_named_section(fd);
  HANDLE section = lasting ? lasting : CreateFileMappingW(file, NULL, access, 0, 0, NULL);
  if (!section) return oc_win_failure();
  void *got = map_view(section, base, wish);
  double result = got ? OC_DOUBLE(got) : oc_win_failure();
  if (!lasting) CloseHandle(section);
  if (got && keep && !foreign && !remember((uintptr_t)got, file)) {
    result = oc_win_failure();
    if (base) unmap_at(GetCurrentProcess(), got, MEM_PRESERVE_PLACEHOLDER);
    else UnmapViewOfFile(got);
  }
  return result;
}

double oc_map(double address, double length, int32_t protection, int32_t flags, int32_t fd, double offset) {
  size_t size = whole_pages(length);
  int fixed = (flags & OC_MAP_FIXED) != 0, placeholders = has_placeholders();
  if (size == 0 || offset < 0) return -EINVAL;
  if (fixed && !placeholders) return -ENOSYS;
  void *base = fixed ? OC_POINTER(address) : NULL;
  double result = 0;
  AcquireSRWLockExclusive(&oc_win_layout);
  if (fixed) result = clear((uintptr_t)base, size);
  else if (placeholders && !(base = reserve(size))) result = oc_win_failure();
  if (result >= 0) {
    view_wish wish = {(uint64_t)offset, size, (size_t)length, protection, !(flags & OC_MAP_SHARED)};
    result = flags & OC_MAP_ANONYMOUS ? map_anonymous(base, size, protection) : map_file(base, fd, &wish);
    if (result < 0 && base && !fixed) VirtualFree(base, 0, MEM_RELEASE);
  }
  ReleaseSRWLockExclusive(&oc_win_layout);
  if (result < 0) return result;
  if (!fixed) oc_win_count(OC_SHARED_MAPS, 1);
  if (flags & OC_MAP_POPULATE) oc_advise(result, length, OC_ADVISE_WILLNEED);
  return result;
}

static double give_back(uintptr_t base, size_t size) {
  if (has_placeholders()) {
    double result = clear(base, size);
    if (result < 0) return result;
    return VirtualFree((void *)base, 0, MEM_RELEASE) ? 0 : oc_win_failure();
  }
  if (allocation_of(base) != base || oc_win_extent(base) != base + size) return -EINVAL;
  MEMORY_BASIC_INFORMATION info;
  VirtualQuery((void *)base, &info, sizeof info);
  forget(base);
  BOOL done = info.Type == MEM_MAPPED ? UnmapViewOfFile((void *)base) : VirtualFree((void *)base, 0, MEM_RELEASE);
  return done ? 0 : oc_win_failure();
}

double oc_unmap(double address, double length) {
  AcquireSRWLockExclusive(&oc_win_layout);
  double result = give_back((uintptr_t)address, whole_pages(length));
  ReleaseSRWLockExclusive(&oc_win_layout);
  if (result >= 0) oc_win_count(OC_SHARED_MAPS, -1);
  return result;
}

/* Holding ranges back as posix.c does is not written for Windows yet. */
double oc_retire(double address, double length) { return oc_unmap(address, length); }

double oc_bury(double address, double length) {
  double result = oc_guard_install(); /* it commits what is touched */
  if (result < 0) return result;
  AcquireSRWLockExclusive(&oc_win_layout);
  result = oc_win_zero((uintptr_t)address, whole_pages(length));
  ReleaseSRWLockExclusive(&oc_win_layout);
  if (result >= 0) oc_win_count(OC_SHARED_BURIED, (int32_t)((length + 1048575) / 1048576));
  return result;
}

/* A view that was mapped for reading cannot become writable. */
double oc_protect(double address, double length, int32_t protection) {
  uintptr_t at = (uintptr_t)address, end = at + whole_pages(length);
  while (at < end) {
    MEMORY_BASIC_INFORMATION info;
    DWORD before;
    if (!VirtualQuery((void *)at, &info, sizeof info)) return oc_win_failure();
    uintptr_t next = (uintptr_t)info.BaseAddress + info.RegionSize;
    if (next > end) next = end;
    DWORD access = page_access(protection, info.AllocationProtect == PAGE_WRITECOPY);
    if (!VirtualProtect((void *)at, next - at, access, &before)) return oc_win_failure();
    at = next;
  }
  return 0;
}

/* ---- advice, durability, residence ---- */

/* Unlocking pages that are not locked takes them out of the working set; nothing is lost, and anonymous memory keeps
 * its content. */
double oc_advise(double address, double length, int32_t kind) {
  switch (kind) {
    case OC_ADVISE_WILLNEED: {
      WIN32_MEMORY_RANGE_ENTRY range = {.VirtualAddress = OC_POINTER(address), .NumberOfBytes = (size_t)length};
      return PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0) ? 0 : oc_win_failure();
    }
    case OC_ADVISE_DONTNEED:
    case OC_ADVISE_COLD:
    case OC_ADVISE_PAGEOUT:
      if (VirtualUnlock(OC_POINTER(address), (size_t)length) || GetLastError() == ERROR_NOT_LOCKED) return 0;
      return oc_win_failure();
  }
  return kind < 0 || kind > OC_ADVISE_DONTDUMP ? -EINVAL : -ENOSYS;
}

double oc_flush(double address, double length, int32_t wait) {
  if (!FlushViewOfFile(OC_POINTER(address), (size_t)length)) return oc_win_failure();
  if (!wait) return 0;
  uintptr_t base = allocation_of((uintptr_t)address);
  HANDLE file = NULL;
  AcquireSRWLockShared(&oc_win_layout);
  for (uint32_t i = 0; i < view_count && !file; i++)
    if (views[i].base == base) file = views[i].file;
  ReleaseSRWLockShared(&oc_win_layout);
  return !file || FlushFileBuffers(file) ? 0 : oc_win_failure();
}

/* Counts what is in this process's working set. */
double oc_resident(double address, double length) {
  PSAPI_WORKING_SET_EX_INFORMATION pages[512];
  size_t page = (size_t)oc_page_size();
  uintptr_t at = (uintptr_t)address / page * page, end = (uintptr_t)address + (size_t)length;
  double resident = 0;
  while (at < end) {
    size_t count = (end - at + page - 1) / page;
    if (count > sizeof pages / sizeof *pages) count = sizeof pages / sizeof *pages;
    for (size_t i = 0; i < count; i++) pages[i].VirtualAddress = (void *)(at + i * page);
    if (!QueryWorkingSetEx(GetCurrentProcess(), pages, (DWORD)(count * sizeof *pages))) return oc_win_failure();
    for (size_t i = 0; i < count; i++) resident += pages[i].VirtualAttributes.Valid;
    at += count * page;
  }
  return resident * (double)page;
}

/* A process may lock what its smallest working set holds, which is next to nothing unless it is raised. */
double oc_pin(double address, double length, int32_t on) {
  void *start = OC_POINTER(address);
  size_t size = (size_t)length;
  if (!on) return VirtualUnlock(start, size) ? 0 : oc_win_failure();
  if (VirtualLock(start, size)) return 0;
  if (GetLastError() != ERROR_WORKING_SET_QUOTA) return oc_win_failure();
  HANDLE self = GetCurrentProcess();
  SIZE_T least, most, more = whole_pages(length) + 65536;
  if (!GetProcessWorkingSetSize(self, &least, &most)) return oc_win_failure();
  if (!SetProcessWorkingSetSize(self, least + more, most + more)) return oc_win_failure();
  return VirtualLock(start, size) ? 0 : oc_win_failure();
}

/* ---- copying and searching ---- */

double oc_copy_out(uint8_t *buffer, double start, double address, double length) {
  memmove(buffer + (size_t)start, OC_POINTER(address), (size_t)length);
  return length;
}

double oc_copy_in(double address, const uint8_t *buffer, double start, double length) {
  memmove(OC_POINTER(address), buffer + (size_t)start, (size_t)length);
  return length;
}

double oc_find(double address, double length, const uint8_t *needle, double needle_length) {
  const uint8_t *base = OC_POINTER(address), *at = base;
  size_t left = (size_t)length, size = (size_t)needle_length;
  if (size == 0) return 0;
  while (left >= size) {
    const uint8_t *found = memchr(at, needle[0], left - size + 1);
    if (!found) break;
    if (memcmp(found, needle, size) == 0) return (double)(found - base);
    left -= (size_t)(found + 1 - at);
    at = found + 1;
  }
  return -ENOENT;
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
