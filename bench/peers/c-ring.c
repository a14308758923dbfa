/*
 * Peers of the ring bench. Each command on standard input is MODE BYTES COUNT and is answered by the median and the 99th
 * percentile in nanoseconds:
 *
 *   memcpy      one copy of BYTES, into each of four buffers in turn, as a ring does
 *   byteserial  one way through a segment with the SHMX protocol and its byte-serial checksum on both sides, between two
 *               processes that spin: from before the payload is written until the reader has verified the frame
 *   socket      the same through a Unix stream socket
 */
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 4 };

struct slot {
	_Atomic uint64_t frame;
	uint64_t bytes;
	uint32_t checksum;
	uint8_t pad[44];
};

struct ring {
	_Atomic uint32_t reserved;
	uint8_t pad0[60];
	_Atomic uint32_t written;
	uint8_t pad1[60];
	_Atomic uint32_t seen;
	uint8_t pad2[60];
};

static volatile uint64_t sink;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double tail; /* 99th percentile of the values that `median` saw last */

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof *values, by_value);
	tail = values[(int)((double)(count - 1) * 0.99)];
	return values[count / 2];
}

static uint32_t checksum(const uint8_t *bytes, size_t length)
{
	uint64_t hash = 1469598103934665603ull;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 1099511628211ull;
	return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

static void relax(unsigned *spins)
{
	__asm__ volatile("" ::: "memory");
	if (++*spins % 4096 == 0)
		sched_yield();
}

static void read_sum(const uint8_t *at, size_t bytes)
{
	uint64_t word, sum = 0;
	memcpy(&word, at, 8), sum += word;
	memcpy(&word, at + bytes / 2 / 8 * 8, 8), sum += word;
	memcpy(&word, at + bytes - 8, 8), sum += word;
	sink = sum;
}

static double copy(size_t bytes, int count)
{
	uint8_t *from = malloc(bytes), *all = malloc(bytes * SLOTS);
	double *costs = malloc(sizeof(double) * (size_t)count);
	memset(from, 1, bytes);
	memset(all, 2, bytes * SLOTS);
	for (int i = 0; i < count; i++) {
		uint8_t *to = all + bytes * (size_t)(i % SLOTS);
		double start = now();
		memcpy(to, from, bytes);
		__asm__ volatile("" ::"r"(to) : "memory");
		costs[i] = now() - start;
	}
	double cost = median(costs, count);
	free(from), free(all), free(costs);
	return cost;
}

static double serial(size_t bytes, int count)
{
	size_t stride = sizeof(struct slot) + (bytes + 63) / 64 * 64, total = sizeof(struct ring) + stride * SLOTS;
	uint8_t *base = mmap(NULL, total + sizeof(double) * (size_t)count, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ring *ring = (struct ring *)base;
	double *costs = (double *)(base + total); /* a multiple of 64 */
	uint8_t *source = malloc(bytes);
	memset(source, 3, bytes);
	pid_t child = fork();
	if (child == 0) {
		unsigned spins = 0;
		for (uint32_t i = 1; i <= (uint32_t)count; i++) {
			while (ring->written != i)
				relax(&spins);
			struct slot *slot = (struct slot *)(base + sizeof *ring + (i - 1) % SLOTS * stride);
			const uint8_t *payload = (const uint8_t *)(slot + 1);
			if (checksum(payload, slot->bytes) != slot->checksum || ring->reserved - i >= SLOTS)
				_exit(1);
			read_sum(payload, bytes);
			double sent;
			memcpy(&sent, payload, 8);
			costs[i - 1] = now() - sent;
			ring->seen = i;
		}
		_exit(0);
	}
	unsigned spins = 0;
	for (uint32_t i = 1; i <= (uint32_t)count; i++) {
		double start = now();
		ring->reserved = i;
		struct slot *slot = (struct slot *)(base + sizeof *ring + (i - 1) % SLOTS * stride);
		uint8_t *payload = (uint8_t *)(slot + 1);
		memcpy(payload, source, bytes);
		memcpy(payload, &start, 8);
		slot->bytes = bytes;
		slot->checksum = checksum(payload, bytes);
		slot->frame = i;
		ring->written = i;
		while (ring->seen != i)
			relax(&spins);
	}
	waitpid(child, NULL, 0);
	double cost = median(costs, count);
	munmap(base, total + sizeof(double) * (size_t)count);
	free(source);
	return cost;
}

static void whole(int fd, uint8_t *bytes, size_t length, int out)
{
	while (length > 0) {
		ssize_t done = out ? write(fd, bytes, length) : read(fd, bytes, length);
		if (done <= 0)
			_exit(1);
		bytes += done;
		length -= (size_t)done;
	}
}

static double through_socket(size_t bytes, int count)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	double *costs = mmap(NULL, sizeof(double) * (size_t)count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *buffer = calloc(1, bytes);
	uint8_t answer = 1;
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < count; i++) {
			whole(pair[1], buffer, bytes, 0);
			read_sum(buffer, bytes);
			double sent;
			memcpy(&sent, buffer, 8);
			costs[i] = now() - sent;
			whole(pair[1], &answer, 1, 1);
		}
		_exit(0);
	}
	for (int i = 0; i < count; i++) {
		double start = now();
		memcpy(buffer, &start, 8);
		whole(pair[0], buffer, bytes, 1);
		whole(pair[0], &answer, 1, 0);
	}
	waitpid(child, NULL, 0);
	close(pair[0]), close(pair[1]);
	double cost = median(costs, count);
	munmap(costs, sizeof(double) * (size_t)count);
	free(buffer);
	return cost;
}

int main(void)
{
	char mode[32];
	double bytes, count;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%31s %lf %lf", mode, &bytes, &count) == 3) {
		double cost = -1;
		if (strcmp(mode, "memcpy") == 0)
			cost = copy((size_t)bytes, (int)count);
		else if (strcmp(mode, "byteserial") == 0)
			cost = serial((size_t)bytes, (int)count);
		else if (strcmp(mode, "socket") == 0)
			cost = through_socket((size_t)bytes, (int)count);
		printf("%.1f %.1f\n", cost, tail);
	}
	return 0;
}
