/* read: pread into a buffer. whole: the file in order. open: open, pread, close. */
#include "peer.h"

static int fd = -1;
static char *buffer;

static void fill(int from, size_t length, off_t offset)
{
	if (pread(from, buffer, length, offset) != (ssize_t)length)
		fail("pread");
	sink += (unsigned char)buffer[0];
}

static size_t run(const char *file, const struct command *c)
{
	if (buffer == NULL)
		buffer = aligned_buffer();
	if (fd < 0 && (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		fail(file);
	if (strcmp(c->op, "whole") == 0) {
		size_t size = size_of(fd);
		for (size_t at = 0; at + c->length <= size; at += c->length)
			fill(fd, c->length, at);
		return size / c->length;
	}
	if (strcmp(c->op, "open") == 0) {
		for (size_t i = 0; i < c->count; i++) {
			int one = open(file, O_RDONLY | O_CLOEXEC);
			if (one < 0)
				fail(file);
			fill(one, c->length, c->offsets[i]);
			close(one);
		}
		return c->count;
	}
	for (size_t i = 0; i < c->count; i++)
		fill(fd, c->length, c->offsets[i]);
	return c->count;
}

int main(int argc, char **argv)
{
	return serve(argc, argv, run);
}
