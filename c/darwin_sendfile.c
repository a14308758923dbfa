/*
 * Sending files on macOS. Its sendfile waits in the kernel where nothing can interrupt it, so files go out through a
 * buffer; what Linux does in its pump the layer above does with timers. Untested.
 */
#include "outcore.h"
#include "internal.h"

#include <arpa/inet.h>
#include <copyfile.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESULT(expression) ((expression) < 0 ? -(double)errno : 0)
#define COPY_BUFFER (256 * 1024)

double oc_send(int32_t fd, const uint8_t *buffer, double start, double length, int32_t more) {
  (void)more;
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
  ssize_t sent;
  do sent = send(fd, buffer + (size_t)start, (size_t)length, MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == ENOTSOCK) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 0) return -EAGAIN;
    size_t limit = length > 512 && !(fcntl(fd, F_GETFL) & O_NONBLOCK) ? 512 : (size_t)length;
    do sent = write(fd, buffer + (size_t)start, limit);
    while (sent < 0 && errno == EINTR);
  }
  return sent < 0 ? -(double)errno : (double)sent;
}

double oc_send_copy(int32_t out, int32_t in, double offset, double count) {
  static _Thread_local uint8_t *buffer;
  if (!buffer && !(buffer = malloc(COPY_BUFFER))) return -ENOMEM;
  ssize_t got = pread(in, buffer, count > COPY_BUFFER ? COPY_BUFFER : (size_t)count, (off_t)offset);
  if (got <= 0) return got < 0 ? -(double)errno : 0;
  return oc_send(out, buffer, 0, (double)got, 0);
}

double oc_sendfile(int32_t out, int32_t in, double offset, double count, int32_t flags, const uint8_t *parts,
                   double header_length, double trailer_length) {
  int position = (flags & OC_SENDFILE_POSITION) != 0;
  if ((flags & ~OC_SENDFILE_POSITION) || (!position && offset < 0)) return -EINVAL;
  double total = 0;
  if (header_length > 0) {
    total = oc_send(out, parts, 0, header_length, 1);
    if (total < header_length) return total;
  }
  if (count > 0) {
    off_t at = position ? lseek(in, 0, SEEK_CUR) : (off_t)offset;
    double sent = at < 0 ? -(double)errno : oc_send_copy(out, in, (double)at, count);
    if (sent < 0) return total > 0 ? total : sent;
    if (position) lseek(in, at + (off_t)sent, SEEK_SET);
    total += sent;
    struct stat status;
    if (sent < count && (fstat(in, &status) < 0 || (double)at + sent < (double)status.st_size)) return total;
  }
  if (trailer_length > 0) {
    double sent = oc_send(out, parts, header_length, trailer_length, 0);
    if (sent < 0) return total > 0 ? total : sent;
    total += sent;
  }
  return total;
}

double oc_clone(int32_t in, int32_t out) { return RESULT(fcopyfile(in, out, NULL, COPYFILE_DATA)); }

double oc_seek(int32_t fd, double offset, int32_t kind) {
  off_t at = lseek(fd, (off_t)offset, kind == OC_SEEK_HOLE ? SEEK_HOLE : SEEK_DATA);
  return at < 0 ? -(double)errno : (double)at;
}

double oc_poll(int32_t fd, int32_t unused) {
  (void)unused;
  struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
  if (poll(&ready, 1, 0) < 0) return -(double)errno;
  if (ready.revents & POLLNVAL) return -EBADF;
  return ((ready.revents & POLLIN) ? OC_READY_IN : 0) | ((ready.revents & POLLOUT) ? OC_READY_OUT : 0) |
         ((ready.revents & (POLLERR | POLLHUP)) ? OC_READY_ERROR : 0);
}

double oc_shutdown(int32_t fd, int32_t how) { return RESULT(shutdown(fd, how)); }

double oc_nonblocking(int32_t fd, int32_t on) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -(double)errno;
  int before = (flags & O_NONBLOCK) != 0;
  if (before != (on != 0) && fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
    return -(double)errno;
  return before;
}

double oc_socket_check(int32_t fd, int32_t unused) {
  (void)unused;
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0) return -(double)errno;
  int type = 0;
  size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -(double)errno;
  return type == SOCK_STREAM ? 1 : -EPROTOTYPE;
}

/* Without a way to list descriptors that is worth its risk, only descriptors that the runtime shows are used. */
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
