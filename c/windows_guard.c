/* Windows: the guard, and memory that is committed when it is touched. Compiled for x64 and arm64; run under Wine 8 but
 * for in-page errors; not run on Windows.
 *
 * A view cannot lose a single page here, so an in-page error turns the whole view into zeros, and the offset recorded
 * is the view's. A mapped file cannot be truncated, so what is left are devices and servers that fail. */
#include "outcore.h"
#include "internal.h"
#include "win32.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#ifndef EXCEPTION_IN_PAGE_ERROR
#define EXCEPTION_IN_PAGE_ERROR ((DWORD)0xC0000006)
#endif
#define WRITE 1
#define EXECUTE 8

/* ---- memory that is committed when touched ---- */

/* Many: buried ranges are never given back. */
#define RANGES 16384
#define STEP 65536
static struct {
  _Atomic uintptr_t base; /* 0: free */
  _Atomic size_t size;
} ranges[RANGES];
static _Atomic uint32_t range_count; /* slots at and above it were never used */

int oc_win_commit_later(uintptr_t base, size_t size) {
  int free_slot = -1;
  for (uint32_t i = 0; i < RANGES; i++) {
    uintptr_t there = atomic_load(&ranges[i].base);
    if (there == base && atomic_load(&ranges[i].size) == size) return 1;
    if (there == 0 && free_slot < 0) free_slot = (int)i;
    if (i >= atomic_load(&range_count)) break;
  }
  if (free_slot < 0) return 0;
  atomic_store(&ranges[free_slot].size, size);
  atomic_store(&ranges[free_slot].base, base);
  if ((uint32_t)free_slot >= atomic_load(&range_count)) atomic_store(&range_count, (uint32_t)free_slot + 1);
  return 1;
}

void oc_win_forget(uintptr_t base, size_t size) {
  for (uint32_t i = 0; i < atomic_load(&range_count); i++) {
    uintptr_t there = atomic_load(&ranges[i].base);
    if (there >= base && there < base + size) atomic_store(&ranges[i].base, 0);
  }
}

static int commit(uintptr_t fault) {
  uint32_t count = atomic_load(&range_count);
  for (uint32_t i = 0; i < count; i++) {
    uintptr_t base = atomic_load(&ranges[i].base), end = base + atomic_load(&ranges[i].size);
    if (base == 0 || fault < base || fault >= end) continue;
    uintptr_t start = fault / STEP * STEP, stop = start + STEP;
    if (start < base) start = base;
    if (stop > end) stop = end;
    /* While the range changes hands this waits until it is in place. */
    AcquireSRWLockExclusive(&oc_win_layout);
    void *got = VirtualAlloc((void *)start, stop - start, MEM_COMMIT, PAGE_READWRITE);
    ReleaseSRWLockExclusive(&oc_win_layout);
    return got != NULL;
  }
  return 0;
}

/* ---- the table ---- */

static oc_guard_slot table[OC_GUARD_SLOTS];
static _Atomic uint32_t high_water; /* slots at and above it were never used */
static _Atomic uint32_t next_free;  /* where the search for a free slot begins */

double oc_guard_table(void) { return OC_DOUBLE(table); }

double oc_guard_add(double address, double length, int32_t protection) {
  uint32_t start = atomic_load(&next_free);
  for (uint32_t i = 0; i < OC_GUARD_SLOTS; i++) {
    uint32_t index = (start + i) % OC_GUARD_SLOTS;
    oc_guard_slot *slot = &table[index];
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(&slot->state, &expected, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
    slot->address = address;
    slot->length = length;
    slot->low = 0;
    slot->faults = 0;
    slot->strays = 0;
    slot->protection = protection;
    slot->burst = 0;
    __atomic_store_n(&slot->state, 2, __ATOMIC_RELEASE);
    uint32_t seen = atomic_load(&high_water);
    while (seen <= index && !atomic_compare_exchange_weak(&high_water, &seen, index + 1)) {
    }
    atomic_store(&next_free, index + 1);
    return index;
  }
  return -ENOSPC;
}

double oc_guard_remove(int32_t slot, int32_t unused) {
  (void)unused;
  if (slot < 0 || slot >= OC_GUARD_SLOTS) return -EINVAL;
  table[slot].address = 0;
  __atomic_store_n(&table[slot].state, 0, __ATOMIC_RELEASE);
  if ((uint32_t)slot < atomic_load(&next_free)) atomic_store(&next_free, (uint32_t)slot);
  return 0;
}

/* ---- the handler ---- */

static oc_guard_slot *slot_of(uintptr_t fault) {
  uint32_t count = atomic_load(&high_water);
  for (uint32_t i = 0; i < count; i++) {
    oc_guard_slot *slot = &table[i];
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != 2) continue;
    uintptr_t base = (uintptr_t)slot->address;
    if (fault >= base && fault < base + (uintptr_t)slot->length) return slot;
  }
  return NULL;
}

static int lay_zeros(uintptr_t fault) {
  MEMORY_BASIC_INFORMATION info;
  oc_guard_slot *slot = slot_of(fault);
  int done = 0;
  if (!slot) return 0;
  AcquireSRWLockExclusive(&oc_win_layout);
  if (VirtualQuery((void *)fault, &info, sizeof info)) {
    uintptr_t base = (uintptr_t)info.AllocationBase, start = (uintptr_t)slot->address;
    if (info.Type != MEM_MAPPED) {
      done = 1; /* another thread was faster */
    } else if (oc_win_zero(base, oc_win_extent(base) - base) >= 0) {
      double low = base > start ? (double)(base - start) : 0;
      if (slot->faults == 0 || low < slot->low) slot->low = low;
      __atomic_fetch_add(&slot->faults, 1, __ATOMIC_RELEASE);
      done = 1;
    }
  }
  ReleaseSRWLockExclusive(&oc_win_layout);
  return done;
}

/* A write to a range that is mapped for reading: the pages around it become this process's own. Not the whole
 * range, because the system sets memory aside for every page that may become a copy. */
static int keep_apart(uintptr_t fault) {
  MEMORY_BASIC_INFORMATION info;
  oc_guard_slot *slot = slot_of(fault);
  int done = 0;
  if (!slot || slot->protection != OC_PROT_READ) return 0;
  AcquireSRWLockExclusive(&oc_win_layout);
  if (VirtualQuery((void *)fault, &info, sizeof info) && info.State == MEM_COMMIT) {
    uintptr_t start = fault / STEP * STEP, stop = start + STEP;
    uintptr_t base = (uintptr_t)info.BaseAddress, end = base + info.RegionSize;
    DWORD before;
    if (start < base) start = base;
    if (stop > end) stop = end;
    if (info.Protect != PAGE_READONLY) {
      /* Another thread was faster. */
      done = info.Protect == PAGE_WRITECOPY || info.Protect == PAGE_READWRITE;
    } else if (VirtualProtect((void *)start, stop - start, PAGE_WRITECOPY, &before)) {
      __atomic_fetch_add(&slot->strays, 1, __ATOMIC_RELEASE);
      done = 1;
    }
  }
  ReleaseSRWLockExclusive(&oc_win_layout);
  return done;
}

static LONG CALLBACK on_fault(EXCEPTION_POINTERS *pointers) {
  const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
  if (record->NumberParameters < 2 || record->ExceptionInformation[0] == EXECUTE) return EXCEPTION_CONTINUE_SEARCH;
  uintptr_t fault = (uintptr_t)record->ExceptionInformation[1];
  DWORD error = GetLastError();
  int done = 0;
  if (record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION)
    done = commit(fault) || (record->ExceptionInformation[0] == WRITE && keep_apart(fault));
  else if (record->ExceptionCode == EXCEPTION_IN_PAGE_ERROR) done = lay_zeros(fault);
  SetLastError(error);
  return done ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static double install_result;

static BOOL CALLBACK install(PINIT_ONCE self, PVOID parameter, PVOID *context) {
  (void)self;
  (void)parameter;
  (void)context;
  /* The handler outlives every caller, so the library must never be unloaded. */
  HMODULE library;
  DWORD how = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
  if (!GetModuleHandleExW(how, (const wchar_t *)(const void *)table, &library)) install_result = oc_win_failure();
  else if (!AddVectoredExceptionHandler(1, on_fault)) install_result = -ENOMEM;
  return TRUE;
}

double oc_guard_install(void) {
  InitOnceExecuteOnce(&once, install, NULL, NULL);
  return install_result;
}
