/*
 * A peer is started with the path of a file and answers one line per command on standard input:
 *
 *   OP OFFSETS LENGTH FROM COUNT
 *
 * OFFSETS is a file of doubles, of which COUNT from FROM on are used; LENGTH is in bytes. The answer is the nanoseconds
 * per operation.
 */
#ifndef OUTCORE_BENCH_PEER_H
#define OUTCORE_BENCH_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct command {
	char op[32];
	size_t length;
	size_t count;
	const double *offsets;
};

static volatile uint64_t sink;

static void fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static size_t size_of(int fd)
{
	struct stat s;
	if (fstat(fd, &s) != 0)
		fail("fstat");
	return s.st_size;
}

/* On a page: a destination some bytes further than the source within a page is copied to at half the speed. */
static char *aligned_buffer(void)
{
	void *p;
	if (posix_memalign(&p, 4096, 1 << 24) != 0)
		fail("posix_memalign");
	memset(p, 1, 1 << 24);
	return p;
}

static double *load(const char *path, size_t *count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	size_t size = size_of(fd);
	double *values = malloc(size);
	if (values == NULL || read(fd, values, size) != (ssize_t)size)
		fail(path);
	close(fd);
	*count = size / sizeof *values;
	return values;
}

/* Does the operation and returns how many of them that was. */
typedef size_t work(const char *file, const struct command *command);

static int serve(int argc, char **argv, work *run)
{
	char line[8192], path[4096] = "", loaded[4096] = "";
	double *offsets = NULL;
	size_t from, known = 0;
	struct command command;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FILE\n", argv[0]);
		return 2;
	}
	while (fgets(line, sizeof line, stdin) != NULL) {
		if (sscanf(line, "%31s %4095s %zu %zu %zu", command.op, path, &command.length, &from, &command.count) != 5) {
			printf("not a command: %s", line);
			return 2;
		}
		if (strcmp(path, loaded) != 0) {
			free(offsets);
			offsets = load(path, &known);
			strcpy(loaded, path);
		}
		if (from + command.count > known) {
			printf("only %zu offsets\n", known);
			return 2;
		}
		command.offsets = offsets + from;
		double started = now();
		size_t done = run(argv[1], &command);
		printf("%.3f\n", (now() - started) / done);
		fflush(stdout);
	}
	return 0;
}

#endif
