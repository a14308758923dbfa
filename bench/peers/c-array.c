/*
 * The floor of transactional arrays: the bytes that a commit must write, in one file, and as many syncs. Started with a
 * folder; each line of standard input names what to do, the answer is microseconds.
 *
 *   commit-1         two pages written over zeros, one sync
 *   commit-sparse    1001 pages in a row, one sync
 *   append           1 MiB behind the end and a sync; a page over zeros and a sync
 *   fill BYTES       so many bytes into a new file, and a sync
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)

static char *block;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put(int fd, size_t length, off_t at) {
	while (length > 0) {
		size_t span = length < 4 * MIB ? length : 4 * MIB;
		if (pwrite(fd, block, span, at) != (ssize_t)span) exit(1);
		at += (off_t)span;
		length -= span;
	}
}

int main(int count, char **args) {
	char line[128];
	if (count < 2 || chdir(args[1]) != 0) return 1;
	block = malloc(4 * MIB);
	if (!block) return 1;
	memset(block, 7, 4 * MIB);
	int log = open("floor.log", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int home = open("floor.home", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (log < 0 || home < 0) return 1;
	put(log, 64 * MIB, 0);
	fsync(log);
	off_t at = 0, end = 0;
	while (fgets(line, sizeof line, stdin)) {
		if (at > 48 * MIB) at = 0;
		double started = now();
		if (strncmp(line, "commit-1", 8) == 0) {
			put(log, 8192, at);
			fdatasync(log);
			at += 8192;
		} else if (strncmp(line, "commit-sparse", 13) == 0) {
			put(log, 1001 * 4096, at);
			fdatasync(log);
			at += 1001 * 4096;
		} else if (strncmp(line, "append", 6) == 0) {
			put(home, MIB, end);
			fdatasync(home);
			put(log, 4096, at);
			fdatasync(log);
			end += MIB;
			at += 4096;
		} else {
			size_t length = strtoul(line + 5, NULL, 10);
			int fd = open("floor.fill", O_RDWR | O_CREAT | O_TRUNC, 0600);
			started = now();
			put(fd, length, 0);
			fdatasync(fd);
			double took = now() - started;
			close(fd);
			printf("%f\n", took);
			fflush(stdout);
			continue;
		}
		printf("%f\n", now() - started);
		fflush(stdout);
	}
	return 0;
}
