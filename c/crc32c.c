/* crc32c: polynomial 0x1EDC6F41, reflected (0x82F63B78); the processor's instruction where there is one, else eight
 * tables (slicing-by-8, Kounavis and Berry 2005). */
#include "outcore.h"
#include "internal.h"

#include <stddef.h>
#include <string.h>

static uint32_t tables[8][256];
static int ready;

/* Idempotent: two threads that fill the tables at once write the same numbers. */
static void fill(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0x82F63B78u : value >> 1;
    tables[0][i] = value;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int k = 1; k < 8; k++) tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xff];
  __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

static uint32_t portable(uint32_t crc, const uint8_t *bytes, size_t length) {
  if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) fill();
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    word ^= crc;
    crc = tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
          tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^ tables[2][word >> 40 & 0xff] ^
          tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
    bytes += 8;
    length -= 8;
  }
  while (length--) crc = crc >> 8 ^ tables[0][(crc ^ *bytes++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
#include <cpuid.h>
/* clang since 14 keeps the crc32 instruction apart from sse4.2; older compilers do not know the name. */
#if defined(__clang__) && __clang_major__ >= 14
#define WITH_CRC32 __attribute__((target("sse4.2,crc32")))
#else
#define WITH_CRC32 __attribute__((target("sse4.2")))
#endif
#define CRC_WORD(crc, word) __builtin_ia32_crc32di(crc, word)
#define CRC_BYTE(crc, byte) __builtin_ia32_crc32qi(crc, byte)
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define WITH_CRC32
#define CRC_WORD(crc, word) __crc32cd((uint32_t)(crc), word)
#define CRC_BYTE(crc, byte) __crc32cb(crc, byte)
#endif

#if defined(CRC_WORD)
/* The instruction takes three cycles and one can begin in each: three lanes of bytes are worked through side by side and
 * then joined. Short lanes are for a page of 4096 bytes. */
enum { LONG_LANE = 4096, SHORT_LANE = 1360 };

/* table[k][b]: the checksum that is only byte k of value b, followed by `length` zeros. */
typedef struct {
  size_t length;
  int ready;
  uint32_t table[4][256];
} lane_kind;
static lane_kind long_lane = {.length = LONG_LANE}, short_lane = {.length = SHORT_LANE};

static uint32_t skip_lane(const lane_kind *lane, uint32_t crc) {
  return lane->table[0][crc & 0xff] ^ lane->table[1][crc >> 8 & 0xff] ^ lane->table[2][crc >> 16 & 0xff] ^
         lane->table[3][crc >> 24];
}

static uint64_t word_at(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

WITH_CRC32 static uint32_t one_lane(uint32_t crc, const uint8_t *bytes, size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; bytes += 8, length -= 8) wide = CRC_WORD(wide, word_at(bytes));
  crc = (uint32_t)wide;
  while (length--) crc = CRC_BYTE(crc, *bytes++);
  return crc;
}

/* Idempotent, as `fill`. What zeros do to a checksum is linear: 32 single bits tell all. */
static void fill_lane(lane_kind *lane) {
  static const uint8_t zeros[LONG_LANE];
  for (int k = 0; k < 4; k++)
    for (uint32_t bit = 0; bit < 8; bit++) {
      uint32_t one = one_lane(1u << (8 * k + bit), zeros, lane->length);
      for (uint32_t b = 1u << bit; b < 2u << bit; b++) lane->table[k][b] = one ^ lane->table[k][b ^ 1u << bit];
    }
  __atomic_store_n(&lane->ready, 1, __ATOMIC_RELEASE);
}

/* All of the bytes that fill three lanes; the rest is left. */
WITH_CRC32 static uint32_t three_lanes(lane_kind *lane, uint32_t crc, const uint8_t **bytes, size_t *length) {
  const size_t span = lane->length;
  if (*length < 3 * span) return crc;
  if (!__atomic_load_n(&lane->ready, __ATOMIC_ACQUIRE)) fill_lane(lane);
  const uint8_t *at = *bytes;
  size_t left = *length;
  for (; left >= 3 * span; at += 3 * span, left -= 3 * span) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < span; i += 8) {
      a = CRC_WORD(a, word_at(at + i));
      b = CRC_WORD(b, word_at(at + span + i));
      c = CRC_WORD(c, word_at(at + 2 * span + i));
    }
    crc = skip_lane(lane, skip_lane(lane, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
  }
  *bytes = at;
  *length = left;
  return crc;
}

WITH_CRC32 static uint32_t hardware(uint32_t crc, const uint8_t *bytes, size_t length) {
  crc = three_lanes(&long_lane, crc, &bytes, &length);
  crc = three_lanes(&short_lane, crc, &bytes, &length);
  return one_lane(crc, bytes, length);
}
#endif

#if defined(__x86_64__)
/* __builtin_cpu_supports needs a runtime library that not every toolchain has; cpuid is slow, so it is asked once. */
static int has_hardware(void) {
  static int known; /* 0 not yet, 1 no, 2 yes */
  int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (answer == 0) {
    unsigned a, b, c = 0, d;
    answer = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? 2 : 1;
    __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
  }
  return answer == 2;
}
#elif defined(__ARM_FEATURE_CRC32)
static int has_hardware(void) { return 1; }
#else
static uint32_t hardware(uint32_t crc, const uint8_t *bytes, size_t length) { return portable(crc, bytes, length); }
static int has_hardware(void) { return 0; }
#endif

static double crc32c(const uint8_t *bytes, size_t length, double seed) {
  uint32_t crc = ~(uint32_t)seed;
  return (double)(uint32_t)~(has_hardware() ? hardware(crc, bytes, length) : portable(crc, bytes, length));
}

double oc_crc32c(const uint8_t *buffer, double start, double length, double seed) {
  return crc32c(buffer + (size_t)start, (size_t)length, seed);
}

double oc_crc32c_at(double address, double length, double seed) {
  return crc32c(OC_POINTER(address), (size_t)length, seed);
}
