/* The guard of Linux and macOS. Everything the handler touches is a fixed table: no locks, no allocation. */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__APPLE__)
#include <sys/ucontext.h>
#endif
#include <unistd.h>

static oc_guard_slot table[OC_GUARD_SLOTS];
static _Atomic uint32_t high_water; /* slots at and above it were never used */
static _Atomic uint32_t next_free;  /* where the search for a free slot begins */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction previous_bus;
static struct sigaction previous_segv;
static long page;
static int install_error;

static int lay_zeros(oc_guard_slot *slot, uintptr_t fault) {
  uintptr_t start = fault & ~(uintptr_t)(page - 1);
  uintptr_t base = (uintptr_t)slot->address;
  uintptr_t end = base + (uintptr_t)slot->length;
  uint32_t burst = __atomic_load_n(&slot->burst, __ATOMIC_RELAXED);
  uintptr_t stop = end;
  if (burst < 40 && ((uintptr_t)page << burst) < end - start) stop = start + ((uintptr_t)page << burst);
  int protection = slot->protection == OC_PROT_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
  void *got = mmap((void *)start, stop - start, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) return 0;
  __atomic_store_n(&slot->burst, burst + 1, __ATOMIC_RELAXED);
  double offset = (double)(start - base);
  if (slot->faults == 0 || offset < slot->low) slot->low = offset;
  __atomic_fetch_add(&slot->faults, 1, __ATOMIC_RELEASE);
  return 1;
}

/* A write to a range that is mapped for reading: such ranges are private mappings, so they may become writable, and
 * what is written stays in this process. */
static int keep_apart(oc_guard_slot *slot) {
  if (__atomic_load_n(&slot->protection, __ATOMIC_ACQUIRE) == OC_PROT_READ) {
    if (mprotect(OC_POINTER(slot->address), (size_t)slot->length, PROT_READ | PROT_WRITE) != 0) return 0;
    __atomic_fetch_add(&slot->strays, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->protection, OC_PROT_WRITE, __ATOMIC_RELEASE);
    return 1;
  }
  /* Another thread was faster. */
  return __atomic_load_n(&slot->strays, __ATOMIC_ACQUIRE) != 0;
}

/* Whether the fault is one of protection, and not of a page that is gone. */
static int is_stray(int signal_number, const siginfo_t *info, void *context, const oc_guard_slot *slot) {
#if defined(__APPLE__)
  const ucontext_t *machine = context;
  (void)signal_number;
  (void)info;
#if defined(__x86_64__)
  int writes = (machine->uc_mcontext->__es.__err & 2) != 0;
#else
  int writes = (machine->uc_mcontext->__es.__esr & 64) != 0;
#endif
  return writes && __atomic_load_n(&slot->protection, __ATOMIC_ACQUIRE) == OC_PROT_READ;
#else
  (void)context;
  (void)slot;
  return signal_number == SIGSEGV && info->si_code == SEGV_ACCERR;
#endif
}

static void pass_on(struct sigaction *previous, int signal_number, siginfo_t *info, void *context) {
  if (previous->sa_flags & SA_SIGINFO) {
    previous->sa_sigaction(signal_number, info, context);
    return;
  }
  if (previous->sa_handler == SIG_IGN) return;
  if (previous->sa_handler != SIG_DFL) {
    previous->sa_handler(signal_number);
    return;
  }
  /* The default action: the instruction runs again and ends the process as if we had never been here. */
  struct sigaction fallback;
  memset(&fallback, 0, sizeof fallback);
  fallback.sa_handler = SIG_DFL;
  sigaction(signal_number, &fallback, NULL);
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
  int saved = errno;
  uintptr_t fault = (uintptr_t)info->si_addr;
  uint32_t count = atomic_load_explicit(&high_water, memory_order_acquire);
  for (uint32_t i = 0; i < count; i++) {
    oc_guard_slot *slot = &table[i];
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != 2) continue;
    uintptr_t base = (uintptr_t)slot->address;
    if (fault < base || fault >= base + (uintptr_t)slot->length) continue;
    int stray = is_stray(signal_number, info, context, slot);
#if !defined(__APPLE__)
    if (signal_number == SIGSEGV && !stray) break;
#endif
    if (!(stray ? keep_apart(slot) : lay_zeros(slot, fault))) break;
    errno = saved;
    return;
  }
  pass_on(signal_number == SIGBUS ? &previous_bus : &previous_segv, signal_number, info, context);
  errno = saved;
}

static void install(void) {
  page = sysconf(_SC_PAGESIZE);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, &action, &previous_bus) != 0) install_error = errno;
  if (sigaction(SIGSEGV, &action, &previous_segv) != 0) install_error = errno;
}

double oc_guard_install(void) {
  pthread_once(&once, install);
  return -install_error;
}

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
