/* What the .c files share. Not part of the contract. */
#ifndef OUTCORE_INTERNAL_H
#define OUTCORE_INTERNAL_H

#include <stdint.h>

/* An address as it crosses the border, and back. */
#define OC_DOUBLE(pointer) ((double)(uintptr_t)(pointer))
#define OC_POINTER(address) ((void *)(uintptr_t)(address))

/* A descriptor that is about to be closed is not to be closed again when its thread ends. */
void oc_disown_descriptor(int fd);

/* "No limit", exact in a double. */
#define OC_UNLIMITED 9007199254740991.0

#endif
