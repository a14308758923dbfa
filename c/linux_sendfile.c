/* Sending files without a copy, and finding the sockets to send them on: Linux. */
#include "outcore.h"
#include "internal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef FICLONE
#define FICLONE _IOW(0x94, 9, int)
#endif

#define RESULT(expression) ((expression) < 0 ? -(double)errno : 0)

/* The most that one call moves, whatever it is asked for. */
#define LONGEST_CALL 0x7ffff000

#define COPY_BUFFER (256 * 1024)

/* ---- one call ---- */

/* Sends what MSG_MORE held back: setting TCP_NODELAY does, whatever it was before. */
static void push(int fd) {
  int before = 0, on = 1;
  socklen_t size = sizeof before;
  if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &before, &size) < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!before) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &before, sizeof before);
}

/* A count that reaches beyond the file's end makes the kernel wait for more before it sends the last packet. */
static double within_file(int in, double offset, double count, int position) {
  struct stat status;
  if (fstat(in, &status) < 0 || !S_ISREG(status.st_mode)) return count;
  if (position) {
    off_t at = lseek(in, 0, SEEK_CUR);
    if (at < 0) return count;
    offset = (double)at;
  }
  double left = (double)status.st_size - offset;
  if (left <= 0) return count;
  return left < count ? left : count;
}

static double send_block(int fd, const uint8_t *bytes, size_t length, int flags) {
  ssize_t sent;
  do sent = send(fd, bytes, length, flags | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == ENOTSOCK) {
    do sent = write(fd, bytes, length);
    while (sent < 0 && errno == EINTR);
  }
  return sent < 0 ? -(double)errno : (double)sent;
}

double oc_sendfile(int32_t out, int32_t in, double offset, double count, int32_t flags, const uint8_t *parts,
                   double header_length, double trailer_length) {
  int position = (flags & OC_SENDFILE_POSITION) != 0;
  double total = 0;
  if (flags & ~OC_SENDFILE_POSITION) return -EINVAL;
  if (!position && offset < 0) return -EINVAL;
  if (header_length > 0) {
    int more = count > 0 || trailer_length > 0 ? MSG_MORE : 0;
    double sent = send_block(out, parts, (size_t)header_length, more);
    if (sent < header_length) return sent;
    total = sent;
  }
  if (count > 0) {
    double wanted = within_file(in, offset, count, position);
    off_t at = (off_t)offset;
    size_t length = wanted > LONGEST_CALL ? LONGEST_CALL : (size_t)wanted;
    ssize_t sent;
    do sent = sendfile(out, in, position ? NULL : &at, length);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
      int failure = errno;
      /* Descriptors the wrong way round are one error, whichever of them the kernel looks at first. */
      if (failure == ESPIPE && (fcntl(out, F_GETFL) & O_ACCMODE) == O_RDONLY) failure = EBADF;
      if (total == 0) return -(double)failure;
      push(out);
      return total;
    }
    total += (double)sent;
    int ended = (double)sent == count || sent == 0 || ((double)sent == wanted && wanted < count);
    if (!ended) return total;
    if (sent == 0 && trailer_length == 0 && total > 0) push(out);
  }
  if (trailer_length > 0) {
    double sent = send_block(out, parts + (size_t)header_length, (size_t)trailer_length, 0);
    if (sent < 0) return total > 0 ? total : sent;
    total += sent;
  }
  return total;
}

/* A pipe in blocking mode takes PIPE_BUF bytes without waiting whenever poll says that it takes any. */
static double write_without_waiting(int fd, const uint8_t *bytes, size_t length) {
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 0) return -EAGAIN;
    if (length > 4096 && !(fcntl(fd, F_GETFL) & O_NONBLOCK)) length = 4096;
  }
  ssize_t sent;
  do sent = write(fd, bytes, length);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -(double)errno : (double)sent;
}

double oc_send(int32_t fd, const uint8_t *buffer, double start, double length, int32_t more) {
  ssize_t sent;
  do sent = send(fd, buffer + (size_t)start, (size_t)length,
                 MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return (double)sent;
  if (errno != ENOTSOCK) return -(double)errno;
  return write_without_waiting(fd, buffer + (size_t)start, (size_t)length);
}

double oc_send_copy(int32_t out, int32_t in, double offset, double count) {
  static _Thread_local uint8_t *buffer;
  if (!buffer && !(buffer = malloc(COPY_BUFFER))) return -ENOMEM;
  size_t length = count > COPY_BUFFER ? COPY_BUFFER : (size_t)count;
  ssize_t got;
  do got = pread(in, buffer, length, (off_t)offset);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return got < 0 ? -(double)errno : 0;
  return oc_send(out, buffer, 0, (double)got, (double)got < count);
}

double oc_splice(int32_t in, int32_t out, double count) {
  size_t length = count > LONGEST_CALL ? LONGEST_CALL : (size_t)count;
  ssize_t moved;
  do moved = splice(in, NULL, out, NULL, length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  while (moved < 0 && errno == EINTR);
  return moved < 0 ? -(double)errno : (double)moved;
}

double oc_copy_range(int32_t in, double in_offset, int32_t out, double out_offset, double count) {
  off_t from = (off_t)in_offset, to = (off_t)out_offset;
  size_t length = count > LONGEST_CALL ? LONGEST_CALL : (size_t)count;
  ssize_t moved;
  do moved = copy_file_range(in, &from, out, &to, length, 0);
  while (moved < 0 && errno == EINTR);
  return moved < 0 ? -(double)errno : (double)moved;
}

double oc_clone(int32_t in, int32_t out) { return RESULT(ioctl(out, FICLONE, in)); }

double oc_seek(int32_t fd, double offset, int32_t kind) {
  off_t at = lseek(fd, (off_t)offset, kind == OC_SEEK_HOLE ? SEEK_HOLE : SEEK_DATA);
  return at < 0 ? -(double)errno : (double)at;
}

/* ---- descriptors ---- */

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

/* An address in one form: IPv4 as its IPv6 mapping, the port last. */
typedef struct {
  uint8_t host[16];
  uint16_t port;
} end_point;

static int parse_end_point(const uint8_t *text, int32_t port, end_point *out) {
  char host[64];
  size_t length = strcspn((const char *)text, "%");
  if (length >= sizeof host) return -1;
  memcpy(host, text, length);
  host[length] = 0;
  out->port = (uint16_t)port;
  if (inet_pton(AF_INET6, host, out->host) == 1) return 0;
  memset(out->host, 0, 10);
  out->host[10] = out->host[11] = 0xff;
  return inet_pton(AF_INET, host, out->host + 12) == 1 ? 0 : -1;
}

static int equals(const struct sockaddr_storage *address, const end_point *wanted) {
  end_point found = {.host = {0}};
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    found.host[10] = found.host[11] = 0xff;
    memcpy(found.host + 12, &four->sin_addr, 4);
    found.port = ntohs(four->sin_port);
  } else if (address->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    memcpy(found.host, &six->sin6_addr, 16);
    found.port = ntohs(six->sin6_port);
  } else
    return 0;
  return found.port == wanted->port && memcmp(found.host, wanted->host, 16) == 0;
}

static int connects(int fd, const end_point *local, const end_point *remote) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 || !equals(&address, local)) return 0;
  size = sizeof address;
  return getpeername(fd, (struct sockaddr *)&address, &size) == 0 && equals(&address, remote);
}

/* A duplicate of fd when it is the wanted connection, else -1. The number may pass to another connection between
 * check and duplication, so what was duplicated is checked again. */
static int claim(int fd, const end_point *local, const end_point *remote) {
  if (!connects(fd, local, remote)) return -1;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return -1;
  if (connects(copy, local, remote)) return copy;
  close(copy);
  return -1;
}

double oc_socket_find(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port,
                      int32_t hint, int32_t scan, double *out) {
  end_point own, peer;
  if (parse_end_point(local, local_port, &own) < 0 || parse_end_point(remote, remote_port, &peer) < 0) return -EINVAL;
  int found = hint >= 0 ? claim(hint, &own, &peer) : -1;
  out[0] = hint;
  if (found >= 0) return found;
  if (!scan) return -ENOENT;
  DIR *folder = opendir("/proc/self/fd");
  if (!folder) return -(double)errno;
  for (struct dirent *entry; found < 0 && (entry = readdir(folder));) {
    if (entry->d_name[0] == '.') continue;
    int fd = atoi(entry->d_name);
    found = claim(fd, &own, &peer);
    out[0] = fd;
  }
  closedir(folder);
  return found < 0 ? -ENOENT : found;
}

/* ---- a small body at once ---- */

/* A duplicate of fd when it is a stream and, unless ends says that any will do, the connection that ends names: two
 * blocks of 16 bytes and a port, as oc_ends makes them. A file is never duplicated: closing it would drop its locks. */
static int claim_ends(int fd, const uint8_t *ends) {
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) return -1;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return -1;
  if (ends[0] == OC_ENDS_UNKNOWN) {
    if (oc_socket_check(copy, 0) == 1) return copy;
  } else {
    end_point own, peer;
    memcpy(own.host, ends, 16);
    memcpy(peer.host, ends + 18, 16);
    own.port = (uint16_t)(ends[16] << 8 | ends[17]);
    peer.port = (uint16_t)(ends[34] << 8 | ends[35]);
    if (connects(copy, &own, &peer)) return copy;
  }
  close(copy);
  return -1;
}

double oc_ends(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port, uint8_t *out) {
  end_point both[2];
  if (parse_end_point(local, local_port, &both[0]) < 0 || parse_end_point(remote, remote_port, &both[1]) < 0)
    return -EINVAL;
  for (int i = 0; i < 2; i++, out += 18) {
    memcpy(out, both[i].host, 16);
    out[16] = (uint8_t)(both[i].port >> 8);
    out[17] = (uint8_t)both[i].port;
  }
  return 0;
}

/* Reads a small part of the file behind its header and in front of its trailer: all leave in one call. */
static double send_read(int fd, int in, off_t offset, size_t count, const uint8_t *parts, size_t header, size_t trailer) {
  uint8_t block[2 * OC_SMALL_MOST];
  if (count > OC_SMALL_MOST || header + trailer > OC_SMALL_MOST) return -E2BIG;
  memcpy(block, parts, header);
  ssize_t got = pread(in, block + header, count, offset);
  if (got != (ssize_t)count) return -EAGAIN;
  memcpy(block + header + count, parts + header, trailer);
  return oc_send(fd, block, 0, (double)(header + count + trailer), 0);
}

static double send_parts(int fd, int in, off_t offset, size_t count, const uint8_t *parts, size_t header,
                         size_t trailer) {
  double total = 0;
  if (header > 0) {
    total = oc_send(fd, parts, 0, (double)header, 1);
    if (total < (double)header) return total;
  }
  for (size_t left = count; left > 0;) {
    ssize_t sent;
    do sent = sendfile(fd, in, &offset, left);
    while (sent < 0 && errno == EINTR);
    if (sent <= 0) return total > 0 ? total : sent < 0 ? -(double)errno : -EAGAIN;
    total += (double)sent;
    left -= (size_t)sent;
  }
  if (trailer > 0) {
    double sent = oc_send(fd, parts + header, 0, (double)trailer, 0);
    if (sent > 0) total += sent;
  }
  return total;
}

double oc_send_now(double *request, const uint8_t *ends, const uint8_t *parts) {
  int fd = (int)request[0], in = (int)request[1];
  double offset = request[2], count = request[3], header = request[4], trailer = request[5];
  struct stat status;
  request[0] = -1;
  if (fstat(in, &status) < 0) return -(double)errno;
  request[1] = (double)status.st_size;
  /* Whatever is no file of a real file system, or in blocking mode, is left to who tells errors apart. */
  if (!S_ISREG(status.st_mode) || status.st_blocks == 0) return -EINVAL;
  if (offset >= (double)status.st_size) return -ERANGE;
  if (count > (double)status.st_size - offset) count = (double)status.st_size - offset;
  request[3] = count;
  double wanted = header + count + trailer;
  if (wanted > OC_NOW_MOST) return -E2BIG;
  int out = claim_ends(fd, ends);
  if (out < 0) return -ENOENT;
  double sent = -EINVAL;
  int flags = fcntl(out, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK)) {
    if (count <= request[6] && header + trailer <= OC_SMALL_MOST)
      sent = send_read(out, in, (off_t)offset, (size_t)count, parts, (size_t)header, (size_t)trailer);
    else sent = send_parts(out, in, (off_t)offset, (size_t)count, parts, (size_t)header, (size_t)trailer);
  }
  if (sent > 0 && sent < wanted) request[0] = out;
  else close(out);
  return sent;
}

double oc_file_find(double device, double inode_low, double inode_high) {
  uint64_t inode = (uint64_t)inode_low | (uint64_t)inode_high << 32;
  DIR *folder = opendir("/proc/self/fd");
  if (!folder) return -(double)errno;
  int found = -1;
  for (struct dirent *entry; found < 0 && (entry = readdir(folder));) {
    if (entry->d_name[0] == '.') continue;
    int fd = atoi(entry->d_name);
    struct stat status;
    if (fstat(fd, &status) < 0 || (uint64_t)status.st_ino != inode || (double)status.st_dev != device) continue;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) continue;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) continue;
    if (fstat(copy, &status) == 0 && (uint64_t)status.st_ino == inode && (double)status.st_dev == device) found = copy;
    else close(copy);
  }
  closedir(folder);
  return found < 0 ? -ENOENT : found;
}

double oc_open_beneath(int32_t root, const uint8_t *path, int32_t flags) {
  struct {
    uint64_t flags, mode, resolve;
  } how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .mode = 0, .resolve = 0x08 | 0x02};
  /* RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS */
  if (flags & OC_OPEN_DIRECTORY) how.flags |= O_DIRECTORY;
  if (flags & OC_OPEN_NOFOLLOW) how.resolve |= 0x04; /* RESOLVE_NO_SYMLINKS */
  long fd;
  do fd = syscall(SYS_openat2, root, path, &how, sizeof how);
  while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  return fd < 0 ? -(double)errno : (double)fd;
}
