/*
 * The floor of transactional arrays: the bytes that a commit must write, from as many places, into a log that is laid out
 * already, and as many syncs. Started with a folder; each line of standard input names what to do, the answer is seconds.
 *
 *   commit-1         a page of its own and one more, over zeros, one sync
 *   commit-sparse    10 pages and 1000 from random places in memory, over zeros in a row, one sync
 *   append           1 MiB behind the end of a file and a sync; a page over zeros and a sync
 *   fill BYTES       a new file, its name synced; so many bytes and a sync; a page over zeros and a sync
 *   over BYTES       so many bytes over the zeros of a log and a sync
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
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

/* Pages from here and there in memory, as a commit finds them. */
static void gather(int fd, char *memory, size_t pages, size_t count, off_t at) {
	static struct iovec parts[1024];
	for (size_t done = 0; done < count;) {
		int filled = 0;
		for (; filled < 512 && done + (size_t)filled < count; filled++)
			parts[filled] = (struct iovec){memory + (size_t)random() % pages * 4096, 4096};
		if (pwritev(fd, parts, filled, at) != (ssize_t)filled * 4096) exit(1);
		at += (off_t)filled * 4096;
		done += (size_t)filled;
	}
}

static void zeros(int fd, size_t length) {
	memset(block, 0, 4 * MIB);
	put(fd, length, 0);
	fsync(fd);
	memset(block, 7, 4 * MIB);
}

int main(int count, char **args) {
	char line[128];
	const size_t wide = 256 * (size_t)MIB;
	if (count < 2 || chdir(args[1]) != 0) return 1;
	block = malloc(4 * MIB);
	char *memory = NULL;
	int folder = open(".", O_RDONLY | O_DIRECTORY);
	int log = open("floor.log", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int home = open("floor.home", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int over = -1;
	if (!block || folder < 0 || log < 0 || home < 0) return 1;
	zeros(log, 64 * MIB);
	off_t at = 0, end = 0;
	while (fgets(line, sizeof line, stdin)) {
		if (at > 48 * MIB) at = 0;
		size_t length = strtoul(line + 5, NULL, 10);
		if (strncmp(line, "commit-s", 8) == 0 && !memory) {
			memory = malloc(wide);
			if (!memory) return 1;
			memset(memory, 7, wide);
		}
		if (strncmp(line, "over", 4) == 0) {
			if (over < 0) over = open("floor.over", O_RDWR | O_CREAT | O_TRUNC, 0600);
			zeros(over, length);
		}
		if (strncmp(line, "fill", 4) == 0) unlink("floor.fill");
		double started = now();
		if (strncmp(line, "commit-1", 8) == 0) {
			put(log, 8192, at);
			fdatasync(log);
			at += 8192;
		} else if (strncmp(line, "commit-s", 8) == 0) {
			put(log, 10 * 4096, at);
			gather(log, memory, wide / 4096, 1000, at + 10 * 4096);
			fdatasync(log);
			at += 1010 * 4096;
		} else if (strncmp(line, "append", 6) == 0) {
			put(home, MIB, end);
			fdatasync(home);
			put(log, 4096, at);
			fdatasync(log);
			end += MIB;
			at += 4096;
		} else if (strncmp(line, "over", 4) == 0) {
			put(over, length, 0);
			fdatasync(over);
		} else {
			int fd = open("floor.fill", O_RDWR | O_CREAT | O_TRUNC, 0600);
			fsync(folder);
			put(fd, length, 0);
			fdatasync(fd);
			put(log, 4096, at);
			fdatasync(log);
			at += 4096;
			close(fd);
		}
		printf("%.9f\n", (now() - started) / 1e6);
		fflush(stdout);
	}
	return 0;
}
