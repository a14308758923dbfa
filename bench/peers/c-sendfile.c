/*
 * The C side of the sendfile bench.
 *
 *   c-sendfile sink                              prints its port, then swallows every connection until it is killed
 *   c-sendfile send MODE PORT FILE BODY TOTAL       sends bodies of BODY bytes until TOTAL bytes, after a warm-up of an
 *                                              eighth, and prints CPU and wall seconds; MODE is sendfile or read-send
 *   c-sendfile fetch PORT PATH                gets PATH by HTTP, swallows it and prints the wall seconds and bytes
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *swallow(void *argument) {
  int fd = (int)(intptr_t)argument;
  static __thread char block[1 << 20];
  while (recv(fd, block, sizeof block, MSG_TRUNC) > 0) continue;
  close(fd);
  return NULL;
}

static void sink(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (void *)&address, sizeof address) < 0 || listen(server, 4096) < 0) fail("listen");
  getsockname(server, (void *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int fd = accept(server, NULL, NULL);
    pthread_t thread;
    if (fd >= 0 && pthread_create(&thread, NULL, swallow, (void *)(intptr_t)fd) == 0) pthread_detach(thread);
  }
}

static double seconds(const struct timeval *t) { return (double)t->tv_sec + (double)t->tv_usec / 1e6; }

static double cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
}

static double wall(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void send_body(int out, int in, off_t body, int copies) {
  static char block[256 * 1024];
  for (off_t at = 0; at < body;) {
    if (!copies) {
      if (sendfile(out, in, &at, (size_t)(body - at)) <= 0) fail("sendfile");
      continue;
    }
    size_t wanted = body - at < (off_t)sizeof block ? (size_t)(body - at) : sizeof block;
    ssize_t got = pread(in, block, wanted, at);
    if (got <= 0) fail("read");
    for (ssize_t sent = 0; sent < got;) {
      ssize_t now = send(out, block + sent, (size_t)(got - sent), MSG_NOSIGNAL);
      if (now < 0) fail("send");
      sent += now;
    }
    at += got;
  }
}

static int sender(char **arguments) {
  int copies = strcmp(arguments[0], "read-send") == 0;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)atoi(arguments[1]))};
  int in = open(arguments[2], O_RDONLY), out = socket(AF_INET, SOCK_STREAM, 0);
  off_t body = atoll(arguments[3]), total = atoll(arguments[4]);
  if (in < 0) fail("open");
  if (connect(out, (void *)&address, sizeof address) < 0) fail("connect");
  for (off_t sent = 0; sent < total / 8; sent += body) send_body(out, in, body, copies);
  double cpu_before = cpu(), before = wall();
  for (off_t sent = 0; sent < total; sent += body) send_body(out, in, body, copies);
  printf("{\"cpu\":%.6f,\"wall\":%.6f}\n", cpu() - cpu_before, wall() - before);
  return 0;
}

static int fetch(char **arguments) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)atoi(arguments[0]))};
  static char block[1 << 20];
  char request[512];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (void *)&address, sizeof address) < 0) fail("connect");
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                        arguments[1]);
  double before = wall(), bytes = 0;
  if (write(fd, request, (size_t)length) != length) fail("write");
  for (ssize_t got; (got = recv(fd, block, sizeof block, MSG_TRUNC)) > 0;) bytes += (double)got;
  printf("{\"wall\":%.6f,\"bytes\":%.0f}\n", wall() - before, bytes);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "sink") == 0) sink();
  if (count == 7 && strcmp(arguments[1], "send") == 0) return sender(arguments + 2);
  if (count == 4 && strcmp(arguments[1], "fetch") == 0) return fetch(arguments + 2);
  fprintf(stderr, "usage: c-sendfile sink | send sendfile|read-send PORT FILE BODY TOTAL | fetch PORT PATH\n");
  return 2;
}
