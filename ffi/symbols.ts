/**
 * The one table of C functions: name, argument types and, always, an `f64` result that is `>= 0` or `-errno`.
 * Every backend turns it into callable functions. Order and types are those of `c/outcore.h`.
 */

/** How an argument crosses: a 32-bit integer, a double, or the address of a typed array's first byte. */
export type ArgumentType = "i32" | "f64" | "buffer";

/** The ABI number that this table describes; the library must answer the same from `oc_abi`. */
export const ABI = 2;

export const symbols = {
  oc_abi: [],
  oc_page_size: [],
  oc_map_granularity: [],
  oc_errno_name: ["i32", "buffer", "f64"],
  oc_feature: ["i32"],
  oc_limit: ["i32"],
  oc_monotonic: [],
  oc_pid: [],
  oc_open: ["buffer", "i32", "i32"],
  oc_close: ["i32", "i32"],
  oc_dup: ["i32", "i32"],
  oc_size: ["i32", "i32"],
  oc_stat: ["i32", "buffer"],
  oc_room: ["buffer", "buffer"],
  oc_pread: ["i32", "buffer", "f64", "f64", "f64"],
  oc_pwrite: ["i32", "buffer", "f64", "f64", "f64"],
  oc_truncate: ["i32", "f64"],
  oc_allocate: ["i32", "f64", "f64"],
  oc_punch: ["i32", "f64", "f64"],
  oc_sync: ["i32", "i32"],
  oc_sync_begin: ["i32", "f64", "f64"],
  oc_fadvise: ["i32", "f64", "f64", "i32"],
  oc_lock: ["i32", "i32", "f64", "f64"],
  oc_object_open: ["buffer", "i32", "i32"],
  oc_object_unlink: ["buffer", "i32"],
  oc_memory_file: ["buffer", "i32"],
  oc_unnamed: ["buffer", "i32"],
  oc_link: ["i32", "buffer"],
  oc_map: ["f64", "f64", "i32", "i32", "i32", "f64"],
  oc_unmap: ["f64", "f64"],
  oc_bury: ["f64", "f64"],
  oc_retire: ["f64", "f64"],
  oc_protect: ["f64", "f64", "i32"],
  oc_advise: ["f64", "f64", "i32"],
  oc_flush: ["f64", "f64", "i32"],
  oc_resident: ["f64", "f64"],
  oc_pin: ["f64", "f64", "i32"],
  oc_copy_out: ["buffer", "f64", "f64", "f64"],
  oc_copy_in: ["f64", "buffer", "f64", "f64"],
  oc_find: ["f64", "f64", "buffer", "f64"],
  oc_find_in: ["buffer", "f64", "f64", "buffer", "f64"],
  oc_find_all: ["f64", "f64", "i32", "buffer", "f64"],
  oc_crc32c: ["buffer", "f64", "f64", "f64"],
  oc_crc32c_at: ["f64", "f64", "f64"],
  oc_dirty: ["f64", "f64", "i32", "buffer", "f64"],
  oc_differ: ["f64", "f64", "i32", "f64", "buffer", "f64"],
  oc_write_runs: ["i32", "f64", "buffer", "f64", "f64", "buffer", "f64"],
  oc_log_runs: ["i32", "f64", "f64", "buffer", "f64", "f64", "buffer"],
  oc_gather_runs: ["f64", "buffer", "f64", "f64", "buffer", "buffer"],
  oc_write_pages: ["i32", "f64", "buffer", "f64", "f64", "buffer"],
  oc_apply_runs: ["i32", "f64", "buffer", "f64", "f64", "buffer"],
  oc_copy_runs: ["i32", "f64", "i32", "buffer", "f64"],
  oc_same_runs: ["f64", "buffer", "f64", "i32", "f64", "buffer", "f64"],
  oc_release_runs: ["f64", "buffer", "f64", "i32", "f64"],
  oc_advise_runs: ["f64", "buffer", "f64", "i32"],
  oc_overlay_runs: ["f64", "buffer", "f64", "i32"],
  oc_guard_install: [],
  oc_guard_table: [],
  oc_guard_add: ["f64", "f64", "i32"],
  oc_guard_remove: ["i32", "i32"],
  oc_shared: [],
  oc_load64: ["f64", "i32"],
  oc_store64: ["f64", "f64"],
  oc_add64: ["f64", "f64"],
  oc_load32: ["f64", "i32"],
  oc_store64_two: ["f64", "f64", "f64", "f64"],
  oc_fence: [],
  oc_wait_word: ["f64", "f64", "f64", "f64"],
  oc_wake: ["f64", "i32"],
  oc_lock_test: ["i32", "f64"],
  oc_thread_descriptor: ["i32", "i32"],
  oc_waiter_open: ["buffer", "i32"],
  oc_waiter_add: ["i32", "f64", "f64", "f64", "f64"],
  oc_waiter_cancel: ["i32", "f64"],
  oc_waiter_close: ["i32", "i32"],
  oc_frame_hash: ["f64", "f64", "i32", "i32"],
  oc_sendfile: ["i32", "i32", "f64", "f64", "i32", "buffer", "f64", "f64"],
  oc_send: ["i32", "buffer", "f64", "f64", "i32"],
  oc_send_copy: ["i32", "i32", "f64", "f64"],
  oc_splice: ["i32", "i32", "f64"],
  oc_copy_range: ["i32", "f64", "i32", "f64", "f64"],
  oc_clone: ["i32", "i32"],
  oc_seek: ["i32", "f64", "i32"],
  oc_poll: ["i32", "i32"],
  oc_shutdown: ["i32", "i32"],
  oc_nonblocking: ["i32", "i32"],
  oc_socket_check: ["i32", "i32"],
  oc_socket_find: ["buffer", "i32", "buffer", "i32", "i32", "i32", "buffer"],
  oc_ends: ["buffer", "i32", "buffer", "i32", "buffer"],
  oc_send_now: ["buffer", "buffer", "buffer"],
  oc_file_find: ["f64", "f64", "f64"],
  oc_open_beneath: ["i32", "buffer", "i32"],
  oc_channel_open: ["buffer", "i32"],
  oc_channel_close: ["i32", "i32"],
  oc_job_add: ["i32", "i32", "i32", "i32", "f64", "f64", "f64"],
  oc_job_moved: ["f64", "i32"],
  oc_job_stop: ["f64", "i32"],
  oc_job_take: ["i32", "buffer", "f64"],
  oc_pump_state: ["buffer", "i32"],
} as const;

export type SymbolName = keyof typeof symbols;

type ArgumentOf<T extends ArgumentType> = T extends "buffer" ? ArrayBufferView : number;

type ArgumentsOf<T extends readonly ArgumentType[]> = { -readonly [I in keyof T]: ArgumentOf<T[I]> };

/** The table as functions. */
export type Calls = {
  readonly [Name in SymbolName]: (...args: ArgumentsOf<(typeof symbols)[Name]>) => number;
};
