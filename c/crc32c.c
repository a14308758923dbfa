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
WITH_CRC32 static uint32_t hardware(uint32_t crc, const uint8_t *bytes, size_t length) {
  uint64_t wide = crc;
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    wide = __builtin_ia32_crc32di(wide, word);
    bytes += 8;
    length -= 8;
  }
  crc = (uint32_t)wide;
  while (length--) crc = __builtin_ia32_crc32qi(crc, *bytes++);
  return crc;
}
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
#include <arm_acle.h>
static uint32_t hardware(uint32_t crc, const uint8_t *bytes, size_t length) {
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    crc = __crc32cd(crc, word);
    bytes += 8;
    length -= 8;
  }
  while (length--) crc = __crc32cb(crc, *bytes++);
  return crc;
}
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
