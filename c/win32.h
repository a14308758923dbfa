/* What the Windows files share. Not part of the contract. */
#ifndef OUTCORE_WIN32_H
#define OUTCORE_WIN32_H

#if !defined(_WIN32_WINNT) || _WIN32_WINNT < 0x0A00
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#endif
#define WIN32_LEAN_AND_MEAN
#define UNICODE
#include <stddef.h>
#include <stdint.h>
#include <windows.h>

/* ---- windows.c ---- */

/* -errno for GetLastError, and for a code. */
double oc_win_failure(void);
double oc_win_error(DWORD code);

/* Counters of oc_shared. */
void oc_win_count(int which, int32_t by);

/* ---- windows_files.c ---- */

/* The handle of a descriptor, or NULL with ERROR_INVALID_HANDLE. */
HANDLE oc_win_handle(int32_t fd);

/* The handle of the mapping whose name the object of this descriptor, made here, also has for programs of SHMX; made with
 * the first call, which comes when the object has its size. NULL for any other descriptor. */
HANDLE oc_win_named_section(int32_t fd);

/* ---- windows_ring.c ---- */

/* An existing mapping with a name, or NULL. */
HANDLE oc_win_open_section(const wchar_t *name, int writable);

/* Whether a handle of the table is such a mapping and no file. */
int oc_win_is_section(HANDLE handle);

/* Its bytes, whole pages, or -errno. */
double oc_win_section_size(HANDLE section);

/* ---- windows_memory.c ---- */

/* Held while address ranges change hands, so that a thread that faults meanwhile waits and tries again. Nobody touches
 * mapped memory while holding it. */
extern SRWLOCK oc_win_layout;

/* First address after the allocation or view that begins at `base`. */
uintptr_t oc_win_extent(uintptr_t base);

/* Replaces [base, base + size), whole views and allocations of this library, by zeros that are committed when touched.
 * The caller holds oc_win_layout. Returns 0 or -errno. */
double oc_win_zero(uintptr_t base, size_t size);

/* ---- windows_guard.c ---- */

/* Makes [base, base + size) memory that is committed when touched; 0 when there is no room to remember it. The caller
 * holds oc_win_layout. */
int oc_win_commit_later(uintptr_t base, size_t size);

/* Forgets what oc_win_commit_later remembers about [base, base + size). The caller holds oc_win_layout. */
void oc_win_forget(uintptr_t base, size_t size);

#endif
