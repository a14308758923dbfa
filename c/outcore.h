/*
 * outcore.h: the contract between the C library and everything above it.
 *
 * Rules that hold for every function here:
 *  - 64-bit quantities (addresses, lengths, offsets, counts) cross as double, exact below 2^53;
 *    descriptors, flags and kinds cross as int32_t.
 *  - The result is >= 0, or -errno. Windows errors are translated to errno numbers. Nobody reads errno.
 *  - What a system lacks returns -ENOSYS.
 *  - A buffer is a pointer to the first byte of a typed array; (buffer, start) addresses byte `start` of it.
 *  - A path is bytes that end in NUL, in the system's file-name encoding (UTF-8 on Windows).
 *  - No policy: no caches, no formats, no retries but EINTR.
 */
#ifndef OUTCORE_H
#define OUTCORE_H

#include <stdint.h>

#if defined(_WIN32)
#define OC_API __declspec(dllexport)
#else
#define OC_API __attribute__((visibility("default")))
#endif

/* Raised whenever a name, a parameter or the layout of a shared structure changes. */
#define OC_ABI 2

/* ---- about the system ------------------------------------------------------------------------ */

/* OC_ABI of this library. */
OC_API double oc_abi(void);

/* Bytes of a page of memory. */
OC_API double oc_page_size(void);

/* Granularity of the offset and address of a file mapping, in bytes (64 KiB on Windows, else a page). */
OC_API double oc_map_granularity(void);

/* Writes the symbolic name of errno `number` ("ENOSPC") into out, at most `capacity` bytes; returns its length. */
OC_API double oc_errno_name(int32_t number, uint8_t *out, double capacity);

/* 1 when the kernel has the feature, 0 when not. */
#define OC_FEATURE_OFD_LOCKS 0
#define OC_FEATURE_POPULATE_READ 1  /* MADV_POPULATE_READ */
#define OC_FEATURE_PAGEMAP_SCAN 2
#define OC_FEATURE_OPENAT2 3
#define OC_FEATURE_MEMFD 4
#define OC_FEATURE_FALLOCATE 5
OC_API double oc_feature(int32_t which);

/* A limit or a level of this process or machine; -ENOSYS when the system does not tell. "No limit" is 2^53 - 1. */
#define OC_LIMIT_DESCRIPTORS 0        /* soft limit on open descriptors */
#define OC_LIMIT_DESCRIPTORS_OPEN 1   /* descriptors open now */
#define OC_LIMIT_ADDRESS_SPACE 2      /* bytes of address space allowed */
#define OC_LIMIT_MAPS 3               /* mappings allowed (vm.max_map_count) */
#define OC_LIMIT_MAPS_USED 4          /* mappings now */
#define OC_LIMIT_LOCKED 5             /* bytes that may be locked in memory */
#define OC_LIMIT_MEMORY 6             /* bytes of physical memory */
#define OC_LIMIT_MEMORY_AVAILABLE 7   /* bytes that could be had without swapping */
#define OC_LIMIT_RESIDENT 8           /* bytes of this process resident in memory */
OC_API double oc_limit(int32_t which);

/* Nanoseconds of the monotonic clock, which is one clock for all processes of the machine. */
OC_API double oc_monotonic(void);

/* Number of this process. */
OC_API double oc_pid(void);

/* ---- descriptors ----------------------------------------------------------------------------- */

#define OC_OPEN_READ 0
#define OC_OPEN_WRITE 1      /* read and write */
#define OC_OPEN_CREATE 2
#define OC_OPEN_EXCLUSIVE 4  /* with CREATE: -EEXIST when there is one */
#define OC_OPEN_TRUNCATE 8
#define OC_OPEN_NOFOLLOW 16  /* -ELOOP when the last part of the path is a symbolic link */
#define OC_OPEN_DIRECTORY 32

/* Opens a path: close-on-exec, never blocking on a FIFO. Returns a descriptor. */
OC_API double oc_open(const uint8_t *path, int32_t flags, int32_t mode);

/* Closes a descriptor. */
OC_API double oc_close(int32_t fd, int32_t unused);

/* A second descriptor, close-on-exec, of the same open file description; the lowest free number from `least` on, where
 * descriptors are numbers of the system. */
OC_API double oc_dup(int32_t fd, int32_t least);

/* Bytes of the file. The fast half of oc_stat. */
OC_API double oc_size(int32_t fd, int32_t unused);

/* Writes OC_STAT_* numbers into out, a Float64Array of OC_STAT_COUNT elements. */
#define OC_STAT_SIZE 0
#define OC_STAT_KIND 1         /* OC_KIND_* */
#define OC_STAT_DEVICE 2
#define OC_STAT_INODE_LOW 3    /* low 32 bits */
#define OC_STAT_INODE_HIGH 4   /* high 32 bits */
#define OC_STAT_BLOCK_SIZE 5
#define OC_STAT_ALLOCATED 6    /* bytes that the file takes on disk */
#define OC_STAT_MODIFIED 7     /* seconds since 1970, with a fraction */
#define OC_STAT_LINKS 8
#define OC_STAT_MODE 9         /* permission bits */
#define OC_STAT_OWNER 10
#define OC_STAT_FILE_SYSTEM 11 /* OC_FS_* */
#define OC_STAT_COUNT 12
#define OC_KIND_OTHER 0
#define OC_KIND_FILE 1
#define OC_KIND_DIRECTORY 2
#define OC_KIND_FIFO 3
#define OC_KIND_SOCKET 4
#define OC_KIND_CHARACTER 5
#define OC_KIND_BLOCK 6
#define OC_FS_LOCAL 0
#define OC_FS_MEMORY 1   /* tmpfs, ramfs */
#define OC_FS_NETWORK 2  /* NFS, SMB, Ceph, 9p, FUSE */
#define OC_FS_VIRTUAL 3  /* proc, sysfs and their like: sizes lie, mappings fail */
OC_API double oc_stat(int32_t fd, double *out);

/* Free and total bytes of the file system that holds path: out[0] free to this user, out[1] total, out[2] OC_FS_*. */
OC_API double oc_room(const uint8_t *path, double *out);

/* Reads up to `length` bytes at `offset` into (buffer, start), short only at the end of the file. */
OC_API double oc_pread(int32_t fd, uint8_t *buffer, double start, double length, double offset);

/* Writes `length` bytes of (buffer, start) at `offset`; returns the bytes written, short only after an error. */
OC_API double oc_pwrite(int32_t fd, const uint8_t *buffer, double start, double length, double offset);

/* Sets the size of the file; new bytes are a hole of zeros. */
OC_API double oc_truncate(int32_t fd, double size);

/* Makes sure that [offset, offset + length) has blocks on disk and the file reaches that far. */
OC_API double oc_allocate(int32_t fd, double offset, double length);

/* Frees the blocks of [offset, offset + length), which then reads as zeros. The size stays. */
OC_API double oc_punch(int32_t fd, double offset, double length);

/* Makes the file durable: data_only 1 leaves out times and the like (fdatasync). */
OC_API double oc_sync(int32_t fd, int32_t data_only);

/* Begins to write what is dirty in [offset, offset + length) to the disk and does not wait for it: oc_sync will have less
 * to do. It makes nothing durable, and -ENOSYS is no reason to worry. */
OC_API double oc_sync_begin(int32_t fd, double offset, double length);

/* Advice on reading [offset, offset + length) of a file; OC_ADVISE_NORMAL, SEQUENTIAL, RANDOM, WILLNEED, DONTNEED. */
OC_API double oc_fadvise(int32_t fd, double offset, double length, int32_t advice);

/* Tries to lock a range, never blocking: -EAGAIN when another open file description holds it. The lock belongs to
 * the open file description and ends with it (Linux: OFD lock). Length 0 means to the end. */
#define OC_LOCK_NONE 0
#define OC_LOCK_SHARED 1
#define OC_LOCK_EXCLUSIVE 2
OC_API double oc_lock(int32_t fd, int32_t kind, double offset, double length);

/* ---- names ----------------------------------------------------------------------------------- */

/* Opens or creates a shared memory object. Flags and mode as oc_open. The name has no slash. */
OC_API double oc_object_open(const uint8_t *name, int32_t flags, int32_t mode);

/* Removes the name of a shared memory object. */
OC_API double oc_object_unlink(const uint8_t *name, int32_t unused);

/* A memory file without a name. */
OC_API double oc_memory_file(const uint8_t *label, int32_t unused);

/* A new file without a name in the folder `path`, and its name once it is whole. -EEXIST when the name is taken. */
OC_API double oc_unnamed(const uint8_t *path, int32_t mode);
OC_API double oc_link(int32_t fd, const uint8_t *path);

/* ---- memory ---------------------------------------------------------------------------------- */

#define OC_PROT_NONE 0
#define OC_PROT_READ 1
#define OC_PROT_WRITE 2 /* read and write */

#define OC_MAP_SHARED 1
#define OC_MAP_PRIVATE 2
#define OC_MAP_ANONYMOUS 4 /* fd and offset are ignored */
#define OC_MAP_FIXED 8     /* replace what is mapped at `address`, which this library mapped or reserved */
#define OC_MAP_POPULATE 16

/* Maps [offset, offset + length) of fd, or anonymous zeros; address 0 lets the system choose. Returns the address.
 * Never reserves swap for it. */
OC_API double oc_map(double address, double length, int32_t protection, int32_t flags, int32_t fd, double offset);

/* Gives back a range. Nobody may hold a view of it. */
OC_API double oc_unmap(double address, double length);

/* Replaces a range by zeros that cost nothing until written and can be read and written for ever. The address range
 * is never given back: what makes a view that escaped harmless. */
OC_API double oc_bury(double address, double length);

/* Gives back a range that views were made of: like oc_unmap, but until OC_RETIRED more ranges are retired (or their
 * addresses are needed) it shows zeros, because a thread of the runtime may still work on a view (compress it, say)
 * that the program has given up. */
#define OC_RETIRED 256
#define OC_RETIRED_BYTES 4398046511104.0 /* all retired ranges together, but for the last */
OC_API double oc_retire(double address, double length);

OC_API double oc_protect(double address, double length, int32_t protection);

#define OC_ADVISE_NORMAL 0
#define OC_ADVISE_SEQUENTIAL 1
#define OC_ADVISE_RANDOM 2
#define OC_ADVISE_WILLNEED 3
#define OC_ADVISE_DONTNEED 4
#define OC_ADVISE_POPULATE_READ 5
#define OC_ADVISE_POPULATE_WRITE 6
#define OC_ADVISE_HUGEPAGE 7
#define OC_ADVISE_NOHUGEPAGE 8
#define OC_ADVISE_COLD 9
#define OC_ADVISE_PAGEOUT 10
#define OC_ADVISE_DONTFORK 11
#define OC_ADVISE_DONTDUMP 12
OC_API double oc_advise(double address, double length, int32_t kind);

/* Writes dirty pages of a shared mapping back and waits for it (wait 1), or starts to (wait 0). */
OC_API double oc_flush(double address, double length, int32_t wait);

/* Bytes of the range that are in memory now. */
OC_API double oc_resident(double address, double length);

/* Locks the range in memory (on 1) or unlocks it (on 0). */
OC_API double oc_pin(double address, double length, int32_t on);

/* Copies between memory and a buffer: out of memory, and into it. A page whose file has shrunk reads as zeros and is
 * recorded by the guard. */
OC_API double oc_copy_out(uint8_t *buffer, double start, double address, double length);
OC_API double oc_copy_in(double address, const uint8_t *buffer, double start, double length);

/* Offset of the first occurrence of needle in [address, address + length), or -ENOENT. */
OC_API double oc_find(double address, double length, const uint8_t *needle, double needle_length);

/* The same in a buffer: an offset from `start`, or -ENOENT. */
OC_API double oc_find_in(const uint8_t *buffer, double start, double length, const uint8_t *needle,
                         double needle_length);

/* Writes the offsets of the bytes equal to `byte` into out, at most `capacity` of them; returns their number. */
OC_API double oc_find_all(double address, double length, int32_t byte, double *out, double capacity);

/* crc32c (Castagnoli) of a buffer or of memory, continued from `seed` (0 to begin). */
OC_API double oc_crc32c(const uint8_t *buffer, double start, double length, double seed);
OC_API double oc_crc32c_at(double address, double length, double seed);

/* ---- pages of private mappings, for transactional arrays --------------------------------------- */

/* A list of runs is an array of (start, length) in bytes from `address`, multiples of the page size. */

/* Which pages of a private mapping were copied (written to): writes runs into out, room for `capacity` of them, and
 * returns their number. When that is `capacity` there may be more, behind the last. -ENOSYS when the system cannot tell
 * in this way. */
#define OC_DIRTY_SCAN 0    /* the PAGEMAP_SCAN request, Linux 6.7 */
#define OC_DIRTY_PAGEMAP 1 /* the words of /proc/self/pagemap; a zero page that was only read counts too */
OC_API double oc_dirty(double address, double length, int32_t way, double *out, double capacity);

/* The same by comparison with the file from `offset` on; beyond its end, and with fd -1, with zeros. */
OC_API double oc_differ(double address, double length, int32_t fd, double offset, double *out, double capacity);

/* Writes head and then the runs, one after the other, at `offset`. Returns the bytes written, or the first error. */
OC_API double oc_write_runs(int32_t fd, double offset, const uint8_t *head, double head_length, double address,
                            const double *runs, double count);

/* Writes the runs, one after the other, at `offset`, and the crc32c of each of their pages as they were written into sums,
 * whoever changes the memory meanwhile. It asks the system to begin with the disk after each MiB, oc_write_pages and oc_apply_runs do so after each 256 KiB. Returns the bytes written, or the first error. */
OC_API double oc_log_runs(int32_t fd, double offset, double address, const double *runs, double count, double page,
                          uint32_t *sums);

/* Copies the runs, one after the other, to out, and puts the crc32c of each page of the copy into sums. */
OC_API double oc_gather_runs(double address, const double *runs, double count, double page, uint32_t *sums,
                             uint8_t *out);

/* Writes whole pages at `offset`, and the crc32c of each into sums. */
OC_API double oc_write_pages(int32_t fd, double offset, const uint8_t *bytes, double length, double page,
                             uint32_t *sums);

/* Writes each run at its own place, memory at address + start to the file at start, and the crc32c of each of their pages
 * into sums. */
OC_API double oc_apply_runs(int32_t fd, double address, const double *runs, double count, double page, uint32_t *sums);

/* Copies file `from`, from `offset` on, to the places of the runs in file `to`, run after run. */
OC_API double oc_copy_runs(int32_t from, double offset, int32_t to, const double *runs, double count);

/* Pages of the runs that hold the same as the file from `offset` on, run after run; out as in oc_dirty, with room for
 * all of them. */
OC_API double oc_same_runs(double address, const double *runs, double count, int32_t fd, double offset, double *out,
                           double capacity);

/* Gives back the private pages of the runs: what is mapped there is seen again, which must hold the same as the file `fd`
 * from `offset` on, run after run. A page that holds something else was written to meanwhile, and stays so. */
OC_API double oc_release_runs(double address, const double *runs, double count, int32_t fd, double offset);

/* oc_advise for each run. */
OC_API double oc_advise_runs(double address, const double *runs, double count, int32_t kind);

/* Maps parts of a file, privately and writable, over parts of a range: triples (start, length, offset in the file).
 * fd -1 lays zeros. */
OC_API double oc_overlay_runs(double address, const double *runs, double count, int32_t fd);

/* ---- the guard: pages that cannot be read any more, and writes that must not be ---------------- */

/* A page of a mapped file that is gone (truncated, or lost to an I/O error) makes the system send SIGBUS (Windows: an
 * in-page error). The guard answers inside registered ranges: it lays zeros over the page, and over twice as many
 * pages at each further fault of the range, and counts. A write to a range that was registered for reading (a private
 * mapping) makes it writable, so that what is written stays in this process, and is counted apart. Every other fault
 * goes to the handler that was there before. */

#define OC_GUARD_SLOTS 65536
typedef struct {
  double address;  /* 0: free */
  double length;
  double low;      /* offset in the range of the lowest page that faulted; valid when faults > 0 */
  uint32_t faults; /* how often the range faulted */
  uint32_t state;  /* 0 free, 1 being filled, 2 active */
  int32_t protection;
  uint32_t burst;  /* log2 of the pages that the next overlay covers */
  uint32_t strays; /* writes to a range that was registered for reading */
  uint32_t reserved[5];
} oc_guard_slot; /* 64 bytes */

/* Installs the handlers, once per process. */
OC_API double oc_guard_install(void);

/* Address of the table of OC_GUARD_SLOTS slots, which lives as long as the process. */
OC_API double oc_guard_table(void);

/* Registers a range; returns its slot, or -ENOSPC. */
OC_API double oc_guard_add(double address, double length, int32_t protection);

/* Frees a slot. */
OC_API double oc_guard_remove(int32_t slot, int32_t unused);

/* ---- numbers that all threads of the process share -------------------------------------------- */

#define OC_SHARED_MAPS 0   /* mappings held by this library */
#define OC_SHARED_BURIED 1 /* buried ranges, in MiB (rounded up) */
#define OC_SHARED_COUNT 64

/* Address of OC_SHARED_COUNT int32 that start at 0. */
OC_API double oc_shared(void);

/* ---- words that processes share, waiting and waking -------------------------------------------- */

/* One 64-bit word at an address that is a multiple of 8: a full fence, then a load; a store that nothing before it
 * passes, then a full fence; add, returning what was there before. Above 2^53 a double is not exact. */
OC_API double oc_load64(double address, int32_t unused);
OC_API double oc_store64(double address, double value);
OC_API double oc_add64(double address, double value);

/* One 32-bit word, after everything that was read before it. */
OC_API double oc_load32(double address, int32_t unused);

/* Two stores in this order, then a full fence. */
OC_API double oc_store64_two(double first, double first_value, double second, double second_value);

/* A full fence between what was read before it and what is read after it. */
OC_API double oc_fence(void);

/* Waits until the 32-bit word at address is not `expected`: spins for `spin` ns, then sleeps up to `timeout` ns.
 * Returns 1 when it differs, 0 when the time is over. Other processes wake it with oc_wake. A negative timeout is as
 * long, and the word is looked at every millisecond: its writer wakes nobody. */
OC_API double oc_wait_word(double address, double expected, double spin, double timeout);

/* Wakes everybody who sleeps on the word, in every process. */
OC_API double oc_wake(double address, int32_t unused);

/* 1 when another open file description holds an exclusive lock on byte `offset`, else 0. */
OC_API double oc_lock_test(int32_t fd, double offset);

/* Closes the descriptor when the calling thread ends (on 1), or no longer (on 0). For what a terminated Worker leaves.
 * oc_close ends it too. A child by fork does not have the descriptor either way: it would keep its locks. */
OC_API double oc_thread_descriptor(int32_t fd, int32_t on);

/* The one waiter thread of the process sleeps on many words at once and tells the event loop of each JavaScript
 * thread through a socket. A channel is such a socket: out[0] is the descriptor to read, out[1] the channel. */
OC_API double oc_waiter_open(int32_t *out, int32_t unused);

/* Writes the 8 bytes of the double `token` to the channel once the word is not `expected` or `timeout` ns are over;
 * a negative timeout as for oc_wait_word. */
OC_API double oc_waiter_add(int32_t channel, double address, double expected, double token, double timeout);

/* Forgets a token: 1 when it had not been written yet. Afterwards the word is not touched any more. */
OC_API double oc_waiter_cancel(int32_t channel, double token);

/* Forgets all tokens of a channel and closes the writing end. */
OC_API double oc_waiter_close(int32_t channel, int32_t unused);

/* ---- the checksum of SHMX frames --------------------------------------------------------------- */

#define OC_HASH_BEST 0   /* the fastest of this processor */
#define OC_HASH_SERIAL 1 /* byte by byte */
#define OC_HASH_SLICED 2 /* bit planes in 64-bit words */
#define OC_HASH_AVX2 3
#define OC_HASH_AVX512 4
#define OC_HASH_NEON 5
/* Part 0: both halves of the 64-bit hash xored; 1: its low half; 2: its high half. -ENOSYS without the kernel. */
OC_API double oc_frame_hash(double address, double length, int32_t part, int32_t kernel);
/* ---- sending files: c/..._sendfile.c -- */

/* Sends `header_length` bytes of `parts`, `count` bytes of the file `in` from `offset` on, and the `trailer_length`
 * bytes of `parts` that follow the header's. Returns the bytes sent of all three, which may be fewer than asked for;
 * an error only when none were sent. 0 bytes at the end of the file. The kernel never holds back a last packet. */
#define OC_SENDFILE_POSITION 1 /* ignore `offset`: read at the file's position and move it */
OC_API double oc_sendfile(int32_t out, int32_t in, double offset, double count, int32_t flags, const uint8_t *parts,
                          double header_length, double trailer_length);

/* Sends or writes bytes without waiting; `more` 1 when others follow at once. Returns the bytes taken, or -EAGAIN. */
OC_API double oc_send(int32_t fd, const uint8_t *buffer, double start, double length, int32_t more);

/* One read and one send of at most 256 KiB of a file: what oc_sendfile does where the kernel cannot. */
OC_API double oc_send_copy(int32_t out, int32_t in, double offset, double count);

/* Moves up to `count` bytes from one pipe or socket to another of which at least one is a pipe. Never waits. */
OC_API double oc_splice(int32_t in, int32_t out, double count);

/* Copies between regular files inside the kernel, sharing blocks where the file system can. Returns the bytes. */
OC_API double oc_copy_range(int32_t in, double in_offset, int32_t out, double out_offset, double count);

/* Makes the whole of `out` share the blocks of `in` (reflink). */
OC_API double oc_clone(int32_t in, int32_t out);

/* Offset of the next data or hole at or after `offset`; -ENXIO beyond the last. */
#define OC_SEEK_DATA 0
#define OC_SEEK_HOLE 1
OC_API double oc_seek(int32_t fd, double offset, int32_t kind);

/* What is ready now: OC_READY_* bits. Never waits. */
#define OC_READY_IN 1
#define OC_READY_OUT 2
#define OC_READY_ERROR 4
OC_API double oc_poll(int32_t fd, int32_t unused);

/* shutdown(2): how 0 reading, 1 writing, 2 both. */
OC_API double oc_shutdown(int32_t fd, int32_t how);

/* Sets (on 1) or clears (on 0) non-blocking mode; returns what it was. */
OC_API double oc_nonblocking(int32_t fd, int32_t on);

/* 1 when `fd` is a connected stream socket, -ENOTCONN when it is not connected, -ENOTSOCK when it is no socket. */
OC_API double oc_socket_check(int32_t fd, int32_t unused);

/* Finds the connected socket of this process whose own and whose peer's address are the given ones (text that ends in
 * NUL, and a port) and returns a duplicate of it, checked again after it was made. `hint`, unless -1, is tried first;
 * `scan` 0 tries nothing else. out[0] becomes the number that was duplicated. -ENOENT when there is none. */
OC_API double oc_socket_find(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port,
                             int32_t hint, int32_t scan, double *out);

/* Both addresses of a connection in the form that oc_send_now takes: 36 bytes. */
OC_API double oc_ends(const uint8_t *local, int32_t local_port, const uint8_t *remote, int32_t remote_port,
                      uint8_t *out);
/*
 * Sends a small body in this call or not at all: header, part of a regular file, trailer, at most OC_NOW_MOST bytes in
 * all, to a socket in non-blocking mode, by way of a duplicate that is checked to be the connection that ends names.
 * ends[0] of OC_ENDS_UNKNOWN: any connected stream. request is 7 doubles: socket, file, offset, count (cut at the file's
 * end), bytes of header and trailer in parts, and up to which count the part is read and sent instead (at most
 * OC_SMALL_MOST). Returns the bytes sent; when these are not all request[0] is the duplicate, which is the caller's, else
 * -1; request[1] is the file's size and request[3] the count as cut. Any error: nothing was sent.
 */
#define OC_NOW_MOST (256 * 1024)
#define OC_SMALL_MOST 8192
#define OC_ENDS_UNKNOWN 255 /* no connection ends at a multicast address */
OC_API double oc_send_now(double *request, const uint8_t *ends, const uint8_t *parts);

/* A duplicate of any descriptor of this process that can read the file, or -ENOENT. */
OC_API double oc_file_find(double device, double inode_low, double inode_high);

/* Opens a path for reading beneath the folder `root`: -EXDEV when it leads out of it, through whatever link. */
OC_API double oc_open_beneath(int32_t root, const uint8_t *path, int32_t flags);

/* ---- the pump: one thread that moves bytes, or waits, for all transfers of the process ---------- */

/* A channel is how one JavaScript thread hears of jobs that ended: out[0] becomes a descriptor, one end of a
 * socketpair, on which a byte arrives when something waits to be taken. Returns the channel's number. */
OC_API double oc_channel_open(double *out, int32_t unused);
OC_API double oc_channel_close(int32_t channel, int32_t unused);

/* Starts a job on duplicates of `out` and `in` (-1: none); returns its number. The thread starts with the first job
 * and ends a second after the last. Jobs take turns of at most 4 MiB. */
#define OC_JOB_WRITABLE 0   /* ends when `out` takes bytes */
#define OC_JOB_READABLE 1   /* ends when `in` has bytes, or its end */
#define OC_JOB_SENDFILE 2   /* `count` bytes of the file `in` from `offset` on, to a socket, pipe or file */
#define OC_JOB_COPY 3       /* the same by reading and writing */
#define OC_JOB_SPLICE 4     /* `count` bytes from socket or pipe `in` to socket or pipe `out` */
#define OC_JOB_COPY_RANGE 5 /* file to file, to `out_offset` */
OC_API double oc_job_add(int32_t channel, int32_t kind, int32_t out, int32_t in, double offset, double out_offset,
                         double count);

/* Bytes that a job has moved so far. -ENOENT once it was taken or stopped. */
OC_API double oc_job_moved(double job, int32_t unused);

/* Ends a job; it will not be heard of again. Its descriptors are closed at once, or when its turn ends: then -EBUSY, and
 * more bytes may move until then. Else returns the bytes moved. */
OC_API double oc_job_stop(double job, int32_t unused);

/* Takes up to `capacity` ended jobs: three numbers each: job, bytes moved, and 0 when all was moved, 1 at the end of
 * `in` before that, or -errno. Returns how many. */
OC_API double oc_job_take(int32_t channel, double *out, double capacity);

/* Jobs that have not ended, and whether the thread runs: out[0], out[1]. */
OC_API double oc_pump_state(double *out, int32_t unused);

#endif
