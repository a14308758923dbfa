/*
 * Sending files on Windows: one TransmitFile call, from a C runtime descriptor to a socket handle. No runtime shows
 * its socket handles, so sendFile goes through the runtime's streams there. Untested.
 */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <winsock2.h>
#include <mswsock.h>
#include <windows.h>
#include <io.h>

#define LONGEST_CALL 0x7ffffffeu

static double translate(int number) {
  switch (number) {
    case WSAEWOULDBLOCK: return -EAGAIN;
    case WSAENOTSOCK: return -ENOTSOCK;
    case WSAENOTCONN: return -ENOTCONN;
    case WSAESHUTDOWN: return -EPIPE;
    case WSAECONNRESET: return -ECONNRESET;
    case WSAECONNABORTED: return -ECONNABORTED;
    case ERROR_INVALID_HANDLE: return -EBADF;
    case ERROR_ACCESS_DENIED: return -EACCES;
  }
  return -EINVAL;
}

/* TransmitFile is found through the socket: mswsock.dll exports it too, but only this way works on every version. */
static LPFN_TRANSMITFILE transmit_file(SOCKET socket) {
  GUID id = WSAID_TRANSMITFILE;
  LPFN_TRANSMITFILE found = NULL;
  DWORD bytes = 0;
  int failed = WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &found, sizeof found, &bytes, NULL,
                        NULL);
  return failed ? NULL : found;
}

double oc_sendfile(int32_t out, int32_t in, double offset, double count, int32_t flags, const uint8_t *parts,
                   double header_length, double trailer_length) {
  int position = (flags & OC_SENDFILE_POSITION) != 0;
  if ((flags & ~OC_SENDFILE_POSITION) || (!position && offset < 0)) return -EINVAL;
  SOCKET socket = (SOCKET)(uintptr_t)(uint32_t)out;
  intptr_t handle = _get_osfhandle(in);
  if (handle == -1) return -EBADF;
  int64_t at = position ? _lseeki64(in, 0, SEEK_CUR) : (int64_t)offset;
  int64_t size = _filelengthi64(in);
  if (at < 0 || size < 0) return -(double)errno;
  /* A length of 0 would mean the whole file. */
  double left = (double)(size - at);
  double length = left <= 0 ? 0 : count < left ? count : left;
  if (length > LONGEST_CALL) length = LONGEST_CALL;
  int ended = length == count || (double)at + length >= (double)size;
  TRANSMIT_FILE_BUFFERS around = {(void *)parts, (DWORD)header_length, (void *)(parts + (size_t)header_length),
                                  ended ? (DWORD)trailer_length : 0};
  LPFN_TRANSMITFILE transmit = transmit_file(socket);
  if (!transmit) return translate(WSAGetLastError());
  OVERLAPPED where = {0};
  where.Offset = (DWORD)(at & 0xffffffff);
  where.OffsetHigh = (DWORD)(at >> 32);
  where.hEvent = WSACreateEvent();
  HANDLE file = length > 0 ? (HANDLE)handle : NULL;
  double result;
  DWORD sent = 0, state = 0;
  BOOL done = transmit(socket, file, (DWORD)length, 0, &where, &around, 0);
  if (!done && WSAGetLastError() != WSA_IO_PENDING) result = translate(WSAGetLastError());
  else if (WSAGetOverlappedResult(socket, &where, &sent, TRUE, &state)) result = (double)sent;
  else result = translate(WSAGetLastError());
  WSACloseEvent(where.hEvent);
  if (result > 0 && position) _lseeki64(in, at + (int64_t)(length), SEEK_SET);
  return result;
}

double oc_shutdown(int32_t fd, int32_t how) {
  return shutdown((SOCKET)(uintptr_t)(uint32_t)fd, how) < 0 ? translate(WSAGetLastError()) : 0;
}

double oc_send(int32_t fd, const uint8_t *buffer, double start, double length, int32_t more) {
  (void)fd, (void)buffer, (void)start, (void)length, (void)more;
  return -ENOSYS;
}

double oc_send_copy(int32_t out, int32_t in, double offset, double count) {
  (void)out, (void)in, (void)offset, (void)count;
  return -ENOSYS;
}

double oc_clone(int32_t in, int32_t out) {
  (void)in, (void)out;
  return -ENOSYS;
}

double oc_seek(int32_t fd, double offset, int32_t kind) {
  (void)fd, (void)offset, (void)kind;
  return -ENOSYS;
}

double oc_poll(int32_t fd, int32_t unused) {
  (void)fd, (void)unused;
  return -ENOSYS;
}

double oc_nonblocking(int32_t fd, int32_t on) {
  (void)fd, (void)on;
  return -ENOSYS;
}

double oc_socket_check(int32_t fd, int32_t unused) {
  (void)fd, (void)unused;
  return -ENOSYS;
}

double oc_socket_find(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port,
                      int32_t hint, int32_t scan, double *out) {
  (void)local, (void)local_port, (void)remote, (void)remote_port, (void)hint, (void)scan, (void)out;
  return -ENOSYS;
}

double oc_ends(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port, uint8_t *out) {
  (void)local, (void)local_port, (void)remote, (void)remote_port, (void)out;
  return -ENOSYS;
}

double oc_send_now(double *request, const uint8_t *ends, const uint8_t *parts) {
  (void)request, (void)ends, (void)parts;
  return -ENOSYS;
}

double oc_file_find(double device, double inode_low, double inode_high) {
  (void)device, (void)inode_low, (void)inode_high;
  return -ENOSYS;
}

double oc_open_beneath(int32_t root, const uint8_t *path, int32_t flags) {
  (void)root, (void)path, (void)flags;
  return -ENOSYS;
}

double oc_splice(int32_t in, int32_t out, double count) {
  (void)in, (void)out, (void)count;
  return -ENOSYS;
}

double oc_copy_range(int32_t in, double in_offset, int32_t out, double out_offset, double count) {
  (void)in, (void)in_offset, (void)out, (void)out_offset, (void)count;
  return -ENOSYS;
}

double oc_channel_open(double *out, int32_t unused) {
  (void)out, (void)unused;
  return -ENOSYS;
}

double oc_channel_close(int32_t channel, int32_t unused) {
  (void)channel, (void)unused;
  return -ENOSYS;
}

double oc_job_add(int32_t channel, int32_t kind, int32_t out, int32_t in, double offset, double out_offset,
                  double count) {
  (void)channel, (void)kind, (void)out, (void)in, (void)offset, (void)out_offset, (void)count;
  return -ENOSYS;
}

double oc_job_moved(double job, int32_t unused) {
  (void)job, (void)unused;
  return -ENOSYS;
}

double oc_job_stop(double job, int32_t unused) {
  (void)job, (void)unused;
  return -ENOSYS;
}

double oc_job_take(int32_t channel, double *out, double capacity) {
  (void)channel, (void)out, (void)capacity;
  return -ENOSYS;
}

double oc_pump_state(double *out, int32_t unused) {
  (void)unused;
  out[0] = out[1] = 0;
  return 0;
}
