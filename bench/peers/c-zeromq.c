/*
 * A peer of the ring bench: one way through a PAIR of ZeroMQ sockets over ipc, between two processes, in lockstep. Each
 * line of standard input is BYTES COUNT and is answered by the median and the 99th percentile in nanoseconds, from before
 * the payload is written until the reader has read its first, middle and last 8 bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

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

static void reader(const char *address, double *costs, int count)
{
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PAIR);
	if (zmq_connect(socket, address) != 0)
		_exit(1);
	for (int i = 0; i < count; i++) {
		zmq_msg_t message;
		zmq_msg_init(&message);
		if (zmq_msg_recv(&message, socket, 0) < 0)
			_exit(1);
		const uint8_t *at = zmq_msg_data(&message);
		size_t bytes = zmq_msg_size(&message);
		uint64_t word, sum = 0;
		double sent;
		memcpy(&sent, at, 8);
		memcpy(&word, at, 8), sum += word;
		memcpy(&word, at + bytes / 2 / 8 * 8, 8), sum += word;
		memcpy(&word, at + bytes - 8, 8), sum += word;
		sink = sum;
		costs[i] = now() - sent;
		zmq_msg_close(&message);
		zmq_send(socket, "", 1, 0);
	}
	zmq_close(socket);
	zmq_ctx_term(context);
	_exit(0);
}

int main(void)
{
	double size, rounds;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%lf %lf", &size, &rounds) == 2) {
		size_t bytes = (size_t)size;
		int count = (int)rounds;
		char address[64];
		snprintf(address, sizeof address, "ipc:///tmp/outcore-bench-%d.sock", getpid());
		double *costs = mmap(NULL, sizeof(double) * (size_t)count, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		uint8_t *source = malloc(bytes), answer;
		memset(source, 3, bytes);
		pid_t child = fork();
		if (child == 0)
			reader(address, costs, count);
		void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PAIR);
		int ok = zmq_bind(socket, address) == 0;
		for (int i = 0; ok && i < count; i++) {
			zmq_msg_t message;
			double start = now();
			zmq_msg_init_size(&message, bytes);
			memcpy(zmq_msg_data(&message), source, bytes);
			memcpy(zmq_msg_data(&message), &start, 8);
			ok = zmq_msg_send(&message, socket, 0) >= 0 && zmq_recv(socket, &answer, 1, 0) >= 0;
		}
		zmq_close(socket);
		zmq_ctx_term(context);
		waitpid(child, NULL, 0);
		qsort(costs, (size_t)count, sizeof *costs, by_value);
		printf("%.1f %.1f\n", ok ? costs[count / 2] : -1, costs[(int)((double)(count - 1) * 0.99)]);
		munmap(costs, sizeof(double) * (size_t)count);
		free(source);
		unlink(address + 6);
	}
	return 0;
}
