/* Windows: descriptors and names. Compiled for x64 and arm64; run under Wine 8 but for oc_punch and oc_link, which need
 * what it lacks; not run on Windows.
 *
 * A descriptor is a number of this library's own, far from those of any C library: one that came from elsewhere is
 * -EBADF. Every file is opened so that others may read, write, rename and delete it. */
#include "outcore.h"
#include "internal.h"
#include "win32.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winioctl.h>

#define FIRST 0x10000000
#define DESCRIPTORS 16384
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define CHUNK (1u << 30)

/* Flags of FileDispositionInfoEx, which older headers lack. */
#define DISPOSITION_EX ((FILE_INFO_BY_HANDLE_CLASS)21)
#define DISPOSITION_DELETE 1u
#define DISPOSITION_POSIX 2u
#define DISPOSITION_ON_CLOSE 8u

/* FileRemoteProtocolInfo, of which only the success counts. */
#define REMOTE_PROTOCOL ((FILE_INFO_BY_HANDLE_CLASS)13)

/* ---- the table ---- */

/* NULL: free. A slot is taken by exchanging NULL for a handle, so there is nothing in between. */
static _Atomic(HANDLE) table[DESCRIPTORS];
static _Atomic uint32_t next_free;
static _Atomic int32_t open_now;

double oc_win_descriptors(int used) { return used ? (double)atomic_load(&open_now) : DESCRIPTORS; }

HANDLE oc_win_handle(int32_t fd) {
  HANDLE handle = fd >= FIRST && fd < FIRST + DESCRIPTORS ? atomic_load(&table[fd - FIRST]) : NULL;
  if (!handle) SetLastError(ERROR_INVALID_HANDLE);
  return handle;
}

/* The descriptor of a handle, which is closed when none is left. */
static double adopt(HANDLE handle) {
  uint32_t start = atomic_load(&next_free);
  for (uint32_t i = 0; i < DESCRIPTORS; i++) {
    uint32_t index = (start + i) % DESCRIPTORS;
    HANDLE expected = NULL;
    if (!atomic_compare_exchange_strong(&table[index], &expected, handle)) continue;
    atomic_store(&next_free, index + 1);
    atomic_fetch_add(&open_now, 1);
    return (double)FIRST + index;
  }
  CloseHandle(handle);
  return -EMFILE;
}

/* ---- objects that are also mappings with a name ---- */

static struct {
  wchar_t *_Atomic name; /* NULL: none */
  _Atomic(HANDLE) section;
} named[DESCRIPTORS];

static void forget_name(int32_t fd) {
  HANDLE section = atomic_exchange(&named[fd - FIRST].section, NULL);
  if (section) CloseHandle(section);
  free(atomic_exchange(&named[fd - FIRST].name, NULL));
}

HANDLE oc_win_named_section(int32_t fd) {
  HANDLE file = oc_win_handle(fd), found;
  if (!file) return NULL;
  if ((found = atomic_load(&named[fd - FIRST].section))) return found;
  const wchar_t *name = atomic_load(&named[fd - FIRST].name);
  if (!name || !(found = CreateFileMappingW(file, NULL, PAGE_READWRITE, 0, 0, name))) return NULL;
  HANDLE none = NULL;
  if (atomic_compare_exchange_strong(&named[fd - FIRST].section, &none, found)) return found;
  CloseHandle(found);
  return none;
}

double oc_close(int32_t fd, int32_t unused) {
  (void)unused;
  if (!oc_win_handle(fd)) return oc_win_failure();
  forget_name(fd);
  HANDLE handle = atomic_exchange(&table[fd - FIRST], NULL);
  if (!handle) return -EBADF;
  atomic_store(&next_free, (uint32_t)(fd - FIRST));
  atomic_fetch_sub(&open_now, 1);
  return CloseHandle(handle) ? 0 : oc_win_failure();
}

double oc_dup(int32_t fd, int32_t least) {
  (void)least;
  HANDLE handle = oc_win_handle(fd), copy, self = GetCurrentProcess();
  if (!handle || !DuplicateHandle(self, handle, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)) return oc_win_failure();
  return adopt(copy);
}

/* ---- paths ---- */

/* UTF-8 to UTF-16, with room for `extra` more characters; NULL with GetLastError. */
static wchar_t *widen(const uint8_t *text, int extra) {
  int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, (const char *)text, -1, NULL, 0);
  if (length == 0) return NULL;
  wchar_t *wide = malloc(((size_t)length + (size_t)extra) * sizeof *wide);
  if (!wide) {
    SetLastError(ERROR_OUTOFMEMORY);
    return NULL;
  }
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, (const char *)text, -1, wide, length);
  return wide;
}

/* The absolute path in the form that has no length limit, unless it is in a form of its own already. */
static wchar_t *path_of(const uint8_t *path) {
  static const wchar_t plain[] = L"\\\\?\\", share[] = L"\\\\?\\UNC\\";
  wchar_t *wide = widen(path, 0);
  if (!wide || wcsncmp(wide, L"\\\\?\\", 4) == 0 || wcsncmp(wide, L"\\\\.\\", 4) == 0) return wide;
  DWORD room = GetFullPathNameW(wide, 0, NULL, NULL);
  wchar_t *full = room ? malloc((room + 8) * sizeof *full) : NULL;
  DWORD length = full ? GetFullPathNameW(wide, room, full + 8, NULL) : 0;
  free(wide);
  if (length == 0 || length >= room) {
    free(full);
    return NULL;
  }
  /* Device names such as "NUL" have become \\.\NUL. */
  const wchar_t *prefix = L"";
  size_t skip = 0;
  if (wcsncmp(full + 8, L"\\\\.\\", 4) == 0) prefix = L"";
  else if (wcsncmp(full + 8, L"\\\\", 2) == 0) prefix = share, skip = 2;
  else prefix = plain;
  size_t before = wcslen(prefix);
  memmove(full + before, full + 8 + skip, (length - skip + 1) * sizeof *full);
  memcpy(full, prefix, before * sizeof *full);
  return full;
}

static double open_wide(const wchar_t *path, int32_t flags, int32_t mode, DWORD attributes) {
  int create = (flags & OC_OPEN_CREATE) != 0, write = (flags & OC_OPEN_WRITE) != 0;
  DWORD how = !create ? OPEN_EXISTING : (flags & OC_OPEN_EXCLUSIVE) ? CREATE_NEW : OPEN_ALWAYS;
  /* Without BACKUP_SEMANTICS a folder could not be opened at all. */
  attributes |= FILE_FLAG_BACKUP_SEMANTICS;
  if (create && !(mode & 0200)) attributes |= FILE_ATTRIBUTE_READONLY;
  if (flags & OC_OPEN_NOFOLLOW) attributes |= FILE_FLAG_OPEN_REPARSE_POINT;
  HANDLE handle = CreateFileW(path, GENERIC_READ | (write ? GENERIC_WRITE : 0), SHARE_ALL, NULL, how, attributes, NULL);
  if (handle == INVALID_HANDLE_VALUE) return oc_win_failure();
  FILE_ATTRIBUTE_TAG_INFO info;
  double problem = 0;
  if (GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &info, sizeof info)) {
    int folder = (info.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    int link = (info.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 &&
               (info.ReparseTag == IO_REPARSE_TAG_SYMLINK || info.ReparseTag == IO_REPARSE_TAG_MOUNT_POINT);
    if ((flags & OC_OPEN_NOFOLLOW) && link) problem = -ELOOP;
    else if ((flags & OC_OPEN_DIRECTORY) && !folder) problem = -ENOTDIR;
    else if (folder && write) problem = -EISDIR;
  }
  if (problem < 0) {
    CloseHandle(handle);
    return problem;
  }
  double fd = adopt(handle);
  if (fd >= 0 && (flags & OC_OPEN_TRUNCATE)) problem = oc_truncate((int32_t)fd, 0);
  if (problem < 0) oc_close((int32_t)fd, 0);
  return problem < 0 ? problem : fd;
}

double oc_open(const uint8_t *path, int32_t flags, int32_t mode) {
  wchar_t *wide = path_of(path);
  if (!wide) return oc_win_failure();
  double fd = open_wide(wide, flags, mode, FILE_ATTRIBUTE_NORMAL);
  free(wide);
  return fd;
}

/* ---- what is known of a file ---- */

double oc_size(int32_t fd, int32_t unused) {
  (void)unused;
  LARGE_INTEGER size;
  HANDLE handle = oc_win_handle(fd);
  if (handle && oc_win_is_section(handle)) return oc_win_section_size(handle);
  return handle && GetFileSizeEx(handle, &size) ? (double)size.QuadPart : oc_win_failure();
}

static double kind_of(HANDLE handle, DWORD attributes) {
  switch (GetFileType(handle)) {
    case FILE_TYPE_DISK: return attributes & FILE_ATTRIBUTE_DIRECTORY ? OC_KIND_DIRECTORY : OC_KIND_FILE;
    case FILE_TYPE_PIPE: return OC_KIND_FIFO;
    case FILE_TYPE_CHAR: return OC_KIND_CHARACTER;
  }
  return OC_KIND_OTHER;
}

double oc_stat(int32_t fd, double *out) {
  HANDLE handle = oc_win_handle(fd);
  if (!handle) return oc_win_failure();
  BY_HANDLE_FILE_INFORMATION info;
  FILE_STANDARD_INFO sizes;
  uint64_t remote[32];
  for (int i = 0; i < OC_STAT_COUNT; i++) out[i] = 0;
  if (oc_win_is_section(handle)) {
    double size = oc_win_section_size(handle);
    out[OC_STAT_KIND] = OC_KIND_FILE;
    out[OC_STAT_SIZE] = out[OC_STAT_ALLOCATED] = size < 0 ? 0 : size;
    return size < 0 ? size : 0;
  }
  out[OC_STAT_KIND] = kind_of(handle, 0);
  if (out[OC_STAT_KIND] != OC_KIND_FILE) return 0;
  if (!GetFileInformationByHandle(handle, &info)) return oc_win_failure();
  if (!GetFileInformationByHandleEx(handle, FileStandardInfo, &sizes, sizeof sizes)) return oc_win_failure();
  int folder = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  uint64_t modified = (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 | info.ftLastWriteTime.dwLowDateTime;
  out[OC_STAT_SIZE] = (double)sizes.EndOfFile.QuadPart;
  out[OC_STAT_KIND] = kind_of(handle, info.dwFileAttributes);
  out[OC_STAT_DEVICE] = (double)info.dwVolumeSerialNumber;
  out[OC_STAT_INODE_LOW] = (double)info.nFileIndexLow;
  out[OC_STAT_INODE_HIGH] = (double)info.nFileIndexHigh;
  out[OC_STAT_BLOCK_SIZE] = 4096;
  out[OC_STAT_ALLOCATED] = (double)sizes.AllocationSize.QuadPart;
  out[OC_STAT_MODIFIED] = ((double)modified - 116444736e9) / 1e7;
  out[OC_STAT_LINKS] = (double)info.nNumberOfLinks;
  out[OC_STAT_MODE] = (info.dwFileAttributes & FILE_ATTRIBUTE_READONLY ? 0444 : 0666) | (folder ? 0111 : 0);
  out[OC_STAT_FILE_SYSTEM] =
      GetFileInformationByHandleEx(handle, REMOTE_PROTOCOL, remote, sizeof remote) ? OC_FS_NETWORK : OC_FS_LOCAL;
  return 0;
}

double oc_room(const uint8_t *path, double *out) {
  wchar_t *wide = path_of(path), *volume = NULL;
  double result = 0;
  if (!wide) return oc_win_failure();
  size_t room = wcslen(wide) + 2;
  ULARGE_INTEGER available, total;
  if (GetFileAttributesW(wide) == INVALID_FILE_ATTRIBUTES) result = oc_win_failure();
  else if (!(volume = malloc(room * sizeof *volume))) result = -ENOMEM;
  else if (!GetVolumePathNameW(wide, volume, (DWORD)room)) result = oc_win_failure();
  else if (!GetDiskFreeSpaceExW(volume, &available, &total, NULL)) result = oc_win_failure();
  else {
    UINT kind = GetDriveTypeW(volume);
    out[0] = (double)available.QuadPart;
    out[1] = (double)total.QuadPart;
    out[2] = kind == DRIVE_REMOTE ? OC_FS_NETWORK : kind == DRIVE_RAMDISK ? OC_FS_MEMORY : OC_FS_LOCAL;
  }
  free(volume);
  free(wide);
  return result;
}

/* ---- reading, writing, room ---- */

static OVERLAPPED at_offset(double offset) {
  uint64_t at = (uint64_t)offset;
  OVERLAPPED place = {.Offset = (DWORD)at, .OffsetHigh = (DWORD)(at >> 32)};
  return place;
}

double oc_pread(int32_t fd, uint8_t *buffer, double start, double length, double offset) {
  HANDLE handle = oc_win_handle(fd);
  if (!handle) return oc_win_failure();
  size_t wanted = (size_t)length, done = 0;
  while (done < wanted) {
    OVERLAPPED place = at_offset(offset + (double)done);
    DWORD got = 0, chunk = wanted - done < CHUNK ? (DWORD)(wanted - done) : CHUNK;
    if (!ReadFile(handle, buffer + (size_t)start + done, chunk, &got, &place)) {
      if (GetLastError() == ERROR_HANDLE_EOF || done > 0) break;
      return oc_win_failure();
    }
    if (got == 0) break;
    done += got;
  }
  return (double)done;
}

double oc_pwrite(int32_t fd, const uint8_t *buffer, double start, double length, double offset) {
  HANDLE handle = oc_win_handle(fd);
  if (!handle) return oc_win_failure();
  size_t wanted = (size_t)length, done = 0;
  while (done < wanted) {
    OVERLAPPED place = at_offset(offset + (double)done);
    DWORD put = 0, chunk = wanted - done < CHUNK ? (DWORD)(wanted - done) : CHUNK;
    int ok = WriteFile(handle, buffer + (size_t)start + done, chunk, &put, &place);
    if (ok && put > 0) {
      done += put;
      continue;
    }
    if (done > 0) break;
    return ok ? -(double)EIO : oc_win_failure();
  }
  return (double)done;
}

static double set_size(HANDLE handle, double size) {
  FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (int64_t)size};
  return SetFileInformationByHandle(handle, FileEndOfFileInfo, &end, sizeof end) ? 0 : oc_win_failure();
}

/* Where the file system knows no holes the file is not sparse, which is no error. */
static void make_sparse(HANDLE handle) {
  DWORD got;
  DeviceIoControl(handle, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &got, NULL);
}

/* A file that is mapped cannot shrink: -EBUSY. */
double oc_truncate(int32_t fd, double size) {
  HANDLE handle = oc_win_handle(fd);
  LARGE_INTEGER now;
  if (size < 0) return -EINVAL;
  if (!handle || !GetFileSizeEx(handle, &now)) return oc_win_failure();
  if (size > (double)now.QuadPart) make_sparse(handle);
  return set_size(handle, size);
}

/* Setting the size gives blocks, but not to the holes of a sparse file: there one byte of each block is written back.
 * A writer between the two calls would lose that byte: whoever shares the file allocates before sharing. */
double oc_allocate(int32_t fd, double offset, double length) {
  HANDLE handle = oc_win_handle(fd);
  FILE_STANDARD_INFO sizes;
  FILE_BASIC_INFO basic;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (!handle || !GetFileInformationByHandleEx(handle, FileStandardInfo, &sizes, sizeof sizes) ||
      !GetFileInformationByHandleEx(handle, FileBasicInfo, &basic, sizeof basic))
    return oc_win_failure();
  if (offset + length > (double)sizes.EndOfFile.QuadPart) {
    double result = set_size(handle, offset + length);
    if (result < 0) return result;
  }
  if (!(basic.FileAttributes & FILE_ATTRIBUTE_SPARSE_FILE)) return 0;
  for (double at = offset; at < offset + length; at = (double)((uint64_t)at / 4096 * 4096 + 4096)) {
    uint8_t byte = 0;
    double got = oc_pread(fd, &byte, 0, 1, at);
    if (got < 0) return got;
    double put = oc_pwrite(fd, &byte, 0, 1, at);
    if (put < 0) return put;
  }
  return 0;
}

double oc_punch(int32_t fd, double offset, double length) {
  HANDLE handle = oc_win_handle(fd);
  if (!handle) return oc_win_failure();
  if (offset < 0 || length <= 0) return -EINVAL;
  FILE_ZERO_DATA_INFORMATION range = {.FileOffset.QuadPart = (int64_t)offset,
                                      .BeyondFinalZero.QuadPart = (int64_t)(offset + length)};
  DWORD got;
  make_sparse(handle);
  if (DeviceIoControl(handle, FSCTL_SET_ZERO_DATA, &range, sizeof range, NULL, 0, &got, NULL)) return 0;
  return oc_win_failure();
}

/* A folder cannot be flushed: its changes are in the file system's journal. */
double oc_sync(int32_t fd, int32_t data_only) {
  (void)data_only;
  HANDLE handle = oc_win_handle(fd);
  FILE_STANDARD_INFO info;
  if (!handle) return oc_win_failure();
  if (GetFileInformationByHandleEx(handle, FileStandardInfo, &info, sizeof info) && info.Directory) return -ENOSYS;
  return FlushFileBuffers(handle) ? 0 : oc_win_failure();
}

double oc_sync_begin(int32_t fd, double offset, double length) {
  (void)fd;
  (void)offset;
  (void)length;
  return -ENOSYS;
}

double oc_fadvise(int32_t fd, double offset, double length, int32_t advice) {
  (void)fd;
  (void)offset;
  (void)length;
  (void)advice;
  return -ENOSYS;
}

/* Windows keeps everybody else from reading and writing what is locked, so the locked bytes lie 2^62 beyond those that
 * are meant, where no file has data. It knows no parts and no changes: a range is unlocked as it was locked, else
 * -ENOLCK, and must be unlocked before it is locked another way. */
double oc_lock(int32_t fd, int32_t kind, double offset, double length) {
  HANDLE handle = oc_win_handle(fd);
  if (!handle) return oc_win_failure();
  if (kind < 0 || kind > OC_LOCK_EXCLUSIVE || offset < 0 || length < 0) return -EINVAL;
  if (oc_win_is_section(handle)) return 0; /* a mapping of another program: nothing to lock */
  uint64_t start = (uint64_t)1 << 62 | (uint64_t)offset;
  uint64_t span = length > 0 ? (uint64_t)length : INT64_MAX - start;
  OVERLAPPED place = {.Offset = (DWORD)start, .OffsetHigh = (DWORD)(start >> 32)};
  DWORD low = (DWORD)span, high = (DWORD)(span >> 32);
  if (kind == OC_LOCK_NONE) {
    if (UnlockFileEx(handle, 0, low, high, &place)) return 0;
    return GetLastError() == ERROR_LOCK_VIOLATION ? -ENOLCK : oc_win_failure();
  }
  DWORD flags = LOCKFILE_FAIL_IMMEDIATELY | (kind == OC_LOCK_EXCLUSIVE ? LOCKFILE_EXCLUSIVE_LOCK : 0);
  if (LockFileEx(handle, flags, 0, low, high, &place)) return 0;
  return GetLastError() == ERROR_IO_PENDING ? -EAGAIN : oc_win_failure();
}

/* ---- names ---- */

/* A path nobody has yet, in `folder`, which ends in a backslash; the caller frees it. */
static wchar_t *fresh_name(const wchar_t *folder) {
  static _Atomic uint32_t serial;
  LARGE_INTEGER now;
  QueryPerformanceCounter(&now);
  char name[64];
  int length = snprintf(name, sizeof name, ".outcore-%lx-%llx-%x", (unsigned long)GetCurrentProcessId(),
                        (unsigned long long)now.QuadPart, (unsigned)atomic_fetch_add(&serial, 1));
  size_t before = wcslen(folder);
  wchar_t *path = malloc((before + (size_t)length + 1) * sizeof *path);
  if (!path) {
    SetLastError(ERROR_OUTOFMEMORY);
    return NULL;
  }
  memcpy(path, folder, before * sizeof *path);
  for (int i = 0; i <= length; i++) path[before + (size_t)i] = (wchar_t)name[i];
  return path;
}

/* A file that the system removes with its last handle, whatever becomes of the process. */
static double create_unnamed(const wchar_t *folder, DWORD attributes) {
  wchar_t *path = fresh_name(folder);
  if (!path) return oc_win_failure();
  HANDLE handle = CreateFileW(path, GENERIC_READ | GENERIC_WRITE | DELETE, SHARE_ALL, NULL, CREATE_NEW,
                              attributes | FILE_FLAG_DELETE_ON_CLOSE, NULL);
  double result = handle == INVALID_HANDLE_VALUE ? oc_win_failure() : adopt(handle);
  free(path);
  return result;
}

/* Shared memory objects are files of the user's own folder that the system tries to keep in memory. The result ends in
 * a backslash and has room for `extra` characters. */
static wchar_t *object_folder(size_t extra) {
  static const wchar_t name[] = L"outcore-objects\\";
  static const wchar_t plain[] = L"\\\\?\\";
  DWORD room = GetEnvironmentVariableW(L"LOCALAPPDATA", NULL, 0);
  int temporary = room == 0;
  if (temporary) room = GetTempPathW(0, NULL);
  wchar_t *path = room ? malloc((4 + room + 1 + sizeof name / sizeof *name + extra) * sizeof *path) : NULL;
  if (!path) return NULL;
  memcpy(path, plain, 4 * sizeof *path);
  DWORD length = temporary ? GetTempPathW(room, path + 4) : GetEnvironmentVariableW(L"LOCALAPPDATA", path + 4, room);
  if (length == 0 || length >= room) {
    free(path);
    return NULL;
  }
  if (path[4 + length - 1] != L'\\') wcscpy(path + 4 + length++, L"\\");
  wcscpy(path + 4 + length, name);
  CreateDirectoryW(path, NULL);
  return path;
}

/* NULL with GetLastError: a name is one part of a path and has none of the characters that Windows forbids. */
static wchar_t *object_path(const uint8_t *name) {
  for (const uint8_t *at = name; *at; at++) {
    if (*at >= 32 && !strchr("<>:\"/\\|?*", *at)) continue;
    SetLastError(ERROR_INVALID_PARAMETER);
    return NULL;
  }
  if (!*name || strcmp((const char *)name, ".") == 0 || strcmp((const char *)name, "..") == 0) {
    SetLastError(ERROR_INVALID_PARAMETER);
    return NULL;
  }
  wchar_t *wide = widen(name, 0);
  wchar_t *path = wide ? object_folder(wcslen(wide) + 1) : NULL;
  if (path) wcscat(path, wide);
  free(wide);
  return path;
}

/* An object is a file; programs of SHMX have mappings with a name and no file, which are found here too, and find what is
 * created here under its name. */
double oc_object_open(const uint8_t *name, int32_t flags, int32_t mode) {
  wchar_t *path = object_path(name), *wide = path ? widen(name, 0) : NULL;
  HANDLE section = wide ? oc_win_open_section(wide, (flags & OC_OPEN_WRITE) != 0) : NULL;
  double fd;
  if (!wide) fd = oc_win_failure();
  else if (section && (flags & OC_OPEN_CREATE)) fd = -EEXIST;
  else {
    fd = open_wide(path, flags | OC_OPEN_NOFOLLOW, mode, FILE_ATTRIBUTE_TEMPORARY);
    if (fd == -ENOENT && section) {
      fd = adopt(section);
      section = NULL;
    } else if (fd >= 0 && (flags & OC_OPEN_CREATE)) {
      atomic_store(&named[(int32_t)fd - FIRST].name, wide);
      wide = NULL;
    }
  }
  if (section) CloseHandle(section);
  free(wide);
  free(path);
  return fd;
}

/* The name goes at once where the file system can do that, else with the last handle. */
double oc_object_unlink(const uint8_t *name, int32_t unused) {
  (void)unused;
  wchar_t *path = object_path(name);
  if (!path) return oc_win_failure();
  HANDLE handle = CreateFileW(path, DELETE, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
  free(path);
  if (handle == INVALID_HANDLE_VALUE) return oc_win_failure();
  DWORD at_once = DISPOSITION_DELETE | DISPOSITION_POSIX;
  FILE_DISPOSITION_INFO later = {.DeleteFile = TRUE};
  double result = SetFileInformationByHandle(handle, DISPOSITION_EX, &at_once, sizeof at_once) ||
                          SetFileInformationByHandle(handle, FileDispositionInfo, &later, sizeof later)
                      ? 0
                      : oc_win_failure();
  CloseHandle(handle);
  return result;
}

double oc_memory_file(const uint8_t *label, int32_t unused) {
  (void)label;
  (void)unused;
  wchar_t *folder = object_folder(0);
  if (!folder) return oc_win_failure();
  double fd = create_unnamed(folder, FILE_ATTRIBUTE_TEMPORARY);
  free(folder);
  return fd;
}

/* Until it is linked the file has a name that begins with ".outcore-". */
double oc_unnamed(const uint8_t *path, int32_t mode) {
  (void)mode;
  wchar_t *folder = path_of(path);
  if (!folder) return oc_win_failure();
  size_t length = wcslen(folder);
  wchar_t *ending = realloc(folder, (length + 2) * sizeof *folder);
  double fd = -ENOMEM;
  if (ending) {
    folder = ending;
    if (length > 0 && folder[length - 1] != L'\\') wcscpy(folder + length, L"\\");
    fd = create_unnamed(folder, FILE_ATTRIBUTE_NORMAL);
  }
  free(folder);
  return fd;
}

double oc_link(int32_t fd, const uint8_t *path) {
  HANDLE handle = oc_win_handle(fd);
  wchar_t *wide = handle ? path_of(path) : NULL;
  if (!wide) return oc_win_failure();
  size_t bytes = wcslen(wide) * sizeof *wide;
  FILE_RENAME_INFO *rename = calloc(1, sizeof *rename + bytes);
  double result = -ENOMEM;
  if (rename) {
    DWORD keep = DISPOSITION_ON_CLOSE, discard = DISPOSITION_ON_CLOSE | DISPOSITION_DELETE;
    rename->FileNameLength = (DWORD)bytes;
    memcpy(rename->FileName, wide, bytes);
    result = 0;
    if (!SetFileInformationByHandle(handle, DISPOSITION_EX, &keep, sizeof keep)) {
      /* Before Windows 10 1607 a file that goes with its last handle cannot be kept. */
      result = GetLastError() == ERROR_INVALID_PARAMETER ? -ENOSYS : oc_win_failure();
    } else if (!SetFileInformationByHandle(handle, FileRenameInfo, rename, (DWORD)(sizeof *rename + bytes))) {
      result = oc_win_failure();
      SetFileInformationByHandle(handle, DISPOSITION_EX, &discard, sizeof discard);
    }
  }
  free(rename);
  free(wide);
  return result;
}
