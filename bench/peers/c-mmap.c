/*
 * read: memcpy out of one mapping that stays. touch: its first byte only. whole: a mapping of its own, the file in order,
 * unmapped. view: open, map, touch, unmap, close.
 */
#include "peer.h"

static char *buffer;
static char *mapped;

static char *map(const char *file, int *fd, size_t *size)
{
	*fd = open(file, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		fail(file);
	*size = size_of(*fd);
	char *p = mmap(NULL, *size, PROT_READ, MAP_SHARED, *fd, 0);
	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static void unmap(char *p, int fd, size_t size)
{
	munmap(p, size);
	close(fd);
}

static void copy(const char *from, size_t length)
{
	memcpy(buffer, from, length);
	sink += (unsigned char)buffer[length - 1];
}

static size_t run(const char *file, const struct command *c)
{
	int fd;
	size_t size;

	if (buffer == NULL)
		buffer = aligned_buffer();
	if (strcmp(c->op, "whole") == 0) {
		char *p = map(file, &fd, &size);
		for (size_t at = 0; at + c->length <= size; at += c->length)
			copy(p + at, c->length);
		unmap(p, fd, size);
		return size / c->length;
	}
	if (strcmp(c->op, "view") == 0) {
		for (size_t i = 0; i < c->count; i++) {
			char *p = map(file, &fd, &size);
			sink += (unsigned char)p[(size_t)c->offsets[i]];
			unmap(p, fd, size);
		}
		return c->count;
	}
	if (mapped == NULL)
		mapped = map(file, &fd, &size);
	if (strcmp(c->op, "touch") == 0)
		for (size_t i = 0; i < c->count; i++)
			sink += (unsigned char)mapped[(size_t)c->offsets[i]];
	else
		for (size_t i = 0; i < c->count; i++)
			copy(mapped + (size_t)c->offsets[i], c->length);
	return c->count;
}

int main(int argc, char **argv)
{
	return serve(argc, argv, run);
}
