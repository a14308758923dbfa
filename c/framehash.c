/*
 * The checksum of SHMX frames, exactly, in vector form.
 *
 * hash(i + 1) = (hash(i) xor byte(i)) * P mod 2^64. The xor touches only the low byte s(i) of the hash. So with
 * x(i) = s(i) xor byte(i):
 *   s(i + 1) = x(i) * 0xB3 mod 256                              (the low byte of P is 0xB3)
 *   hash(n)  = START * P^n + sum of (x(i) - s(i)) * P^(n - i)
 * The first line is a chain, but bit j of x * 0xB3 is x_j xor a function of the lower bits of x: once bit planes 0 to
 * j - 1 of all x(i) are known, plane j of all s(i) is one prefix xor. 0xB3 = 3 * 17 * 129 mod 256, so the product
 * is t = x + 2x, u = t + 16t, v = u + 128u, whose carries are majorities of planes. The sum is a dot product with
 * weights that are cut into four signed 16-bit parts.
 */
#include "outcore.h"
#include "internal.h"

#include <errno.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define P 1099511628211ull
#define START 1469598103934665603ull
#define BLOCK 512 /* bytes; 8 words of 64 bits per plane */

static int16_t weight[4][BLOCK] __attribute__((aligned(64))); /* parts of P^(BLOCK - i) */
static uint64_t power[BLOCK / 64 + 1];                        /* P^(64 k) */
static int ready;

/* Idempotent: two threads that fill the tables at once write the same numbers. */
static void fill(void) {
  uint64_t value = 1;
  for (int i = BLOCK - 1; i >= 0; i--) {
    value *= P;
    uint64_t rest = value;
    for (int k = 0; k < 4; k++) {
      int16_t part = (int16_t)(uint16_t)rest;
      weight[k][i] = part;
      rest = (rest - (uint64_t)(int64_t)part) >> 16;
    }
    if (i % 64 == 0) power[(BLOCK - i) / 64] = value;
  }
  power[0] = 1;
  __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

static uint64_t serial(uint64_t hash, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * P;
  return hash;
}

#define MAJORITY(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))

/* The chain over `words` words of 64 bytes: bit planes of the bytes in, bit planes of s out; returns s after them. */
#define CHAIN(NAME, PREFIX, ATTRIBUTES)                                                                                \
  ATTRIBUTES static inline uint8_t NAME(uint64_t b[8][8], uint64_t s[8][8], int words, uint8_t state) {               \
    uint64_t x[8][8], t[8][8], c[8] = {0}, d[8] = {0};                                                                 \
    uint8_t after = 0;                                                                                                 \
    _Pragma("GCC unroll 8") for (int j = 0; j < 8; j++) {                                                              \
      uint64_t carry = state >> j & 1 ? ~0ull : 0;                                                                     \
      for (int w = 0; w < words; w++) {                                                                                \
        uint64_t below = j > 0 ? x[j > 0 ? j - 1 : 0][w] : 0;                                                          \
        uint64_t g = below ^ c[w];                                                                                     \
        if (j >= 4) g ^= t[j >= 4 ? j - 4 : 0][w] ^ d[w];                                                              \
        if (j == 7) g ^= x[0][w];                                                                                      \
        uint64_t q = PREFIX(b[j][w] ^ g);                                                                              \
        uint64_t plane = (q << 1) ^ carry;                                                                             \
        carry ^= 0 - (q >> 63);                                                                                        \
        s[j][w] = plane;                                                                                               \
        uint64_t now = plane ^ b[j][w];                                                                                \
        x[j][w] = now;                                                                                                 \
        uint64_t third = now ^ below ^ c[w];                                                                           \
        t[j][w] = third;                                                                                               \
        if (j >= 4) d[w] = MAJORITY(third, t[j >= 4 ? j - 4 : 0][w], d[w]);                                            \
        c[w] = MAJORITY(now, below, c[w]);                                                                             \
      }                                                                                                                \
      after |= (uint8_t)((carry & 1) << j);                                                                            \
    }                                                                                                                  \
    return after;                                                                                                      \
  }

static inline uint64_t prefix_shift(uint64_t q) {
  q ^= q << 1;
  q ^= q << 2;
  q ^= q << 4;
  q ^= q << 8;
  q ^= q << 16;
  q ^= q << 32;
  return q;
}
CHAIN(chain_shift, prefix_shift, )

/* 8 bytes as a matrix of bits, mirrored at its diagonal. */
static inline uint64_t transpose(uint64_t m) {
  uint64_t swap = (m ^ m >> 7) & 0x00aa00aa00aa00aaull;
  m ^= swap ^ swap << 7;
  swap = (m ^ m >> 14) & 0x0000cccc0000ccccull;
  m ^= swap ^ swap << 14;
  swap = (m ^ m >> 28) & 0x00000000f0f0f0f0ull;
  return m ^ swap ^ swap << 28;
}

static void slice_portable(const uint8_t *bytes, uint64_t b[8][8], int words) {
  for (int w = 0; w < words; w++) {
    uint64_t plane[8] = {0};
    for (int k = 0; k < 8; k++) {
      uint64_t m;
      memcpy(&m, bytes + w * 64 + k * 8, 8);
      m = transpose(m);
      for (int j = 0; j < 8; j++) plane[j] |= (m >> (8 * j) & 0xff) << (8 * k);
    }
    for (int j = 0; j < 8; j++) b[j][w] = plane[j];
  }
}

static void unslice_portable(uint64_t s[8][8], uint8_t *out, int words) {
  for (int w = 0; w < words; w++)
    for (int k = 0; k < 8; k++) {
      uint64_t m = 0;
      for (int j = 0; j < 8; j++) m |= (s[j][w] >> (8 * k) & 0xff) << (8 * j);
      m = transpose(m);
      memcpy(out + w * 64 + k * 8, &m, 8);
    }
}

/* Sum of (x - s) * weight over `length` bytes, a multiple of 64. */
static uint64_t dot_portable(const uint8_t *bytes, const uint8_t *s, int length) {
  uint64_t total = 0;
  for (int k = 0; k < 4; k++) {
    const int16_t *w = weight[k] + BLOCK - length;
    int32_t sum = 0; /* 128 products of 255 * 32768 fit */
    int64_t wide = 0;
    for (int i = 0; i < length; i++) {
      sum += ((int)(bytes[i] ^ s[i]) - (int)s[i]) * w[i];
      if (i % 128 == 127) wide += sum, sum = 0;
    }
    total += (uint64_t)(wide + sum) << (16 * k);
  }
  return total;
}

#define BLOCKS(NAME, SLICE, CHAINED, UNSLICE, DOT, ATTRIBUTES)                                                         \
  ATTRIBUTES static uint64_t NAME(uint64_t hash, const uint8_t *bytes, size_t length) {                               \
    uint64_t b[8][8] __attribute__((aligned(64))), s[8][8] __attribute__((aligned(64)));                              \
    uint8_t chain[BLOCK] __attribute__((aligned(64)));                                                                 \
    uint8_t state = (uint8_t)hash;                                                                                     \
    while (length >= 64) {                                                                                             \
      int words = length >= BLOCK ? BLOCK / 64 : (int)(length / 64);                                                   \
      SLICE(bytes, b, words);                                                                                          \
      state = CHAINED(b, s, words, state);                                                                             \
      UNSLICE(s, chain, words);                                                                                        \
      hash = hash * power[words] + DOT(bytes, chain, words * 64);                                                      \
      bytes += words * 64;                                                                                             \
      length -= (size_t)words * 64;                                                                                    \
    }                                                                                                                  \
    return serial(hash, bytes, length);                                                                                \
  }

BLOCKS(sliced, slice_portable, chain_shift, unslice_portable, dot_portable, )

#if defined(__aarch64__)
#if defined(__clang__)
#define PMULL __attribute__((target("aes")))
#else
#define PMULL __attribute__((target("+crypto")))
#endif

/* `transpose` of two matrices. */
static inline uint64x2_t transpose_two(uint64x2_t m) {
  uint64x2_t swap = vandq_u64(veorq_u64(m, vshrq_n_u64(m, 7)), vdupq_n_u64(0x00aa00aa00aa00aaull));
  m = veorq_u64(m, veorq_u64(swap, vshlq_n_u64(swap, 7)));
  swap = vandq_u64(veorq_u64(m, vshrq_n_u64(m, 14)), vdupq_n_u64(0x0000cccc0000ccccull));
  m = veorq_u64(m, veorq_u64(swap, vshlq_n_u64(swap, 14)));
  swap = vandq_u64(veorq_u64(m, vshrq_n_u64(m, 28)), vdupq_n_u64(0x00000000f0f0f0f0ull));
  return veorq_u64(m, veorq_u64(swap, vshlq_n_u64(swap, 28)));
}

/* Bytes r, 8 + r, ... 56 + r of 64, then those of r + 1: two rows of a matrix of bytes mirrored at its diagonal. */
static inline uint8x16_t two_rows(uint8x16x4_t from, int r) {
  static const uint8_t first[16] = {0, 8, 16, 24, 32, 40, 48, 56, 1, 9, 17, 25, 33, 41, 49, 57};
  return vqtbl4q_u8(from, vaddq_u8(vld1q_u8(first), vdupq_n_u8((uint8_t)r)));
}

static inline void slice_neon(const uint8_t *bytes, uint64_t b[8][8], int words) {
  for (int w = 0; w < words; w++) {
    uint8x16x4_t part;
    for (int k = 0; k < 4; k++)
      part.val[k] = vreinterpretq_u8_u64(transpose_two(vreinterpretq_u64_u8(vld1q_u8(bytes + w * 64 + k * 16))));
    for (int j = 0; j < 8; j += 2) {
      uint64x2_t planes = vreinterpretq_u64_u8(two_rows(part, j));
      b[j][w] = vgetq_lane_u64(planes, 0);
      b[j + 1][w] = vgetq_lane_u64(planes, 1);
    }
  }
}

static inline void unslice_neon(uint64_t s[8][8], uint8_t *out, int words) {
  for (int w = 0; w < words; w++) {
    uint8x16x4_t part;
    for (int k = 0; k < 4; k++)
      part.val[k] = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(s[2 * k][w]), vcreate_u64(s[2 * k + 1][w])));
    for (int k = 0; k < 4; k++)
      vst1q_u8(out + w * 64 + k * 16,
               vreinterpretq_u8_u64(transpose_two(vreinterpretq_u64_u8(two_rows(part, 2 * k)))));
  }
}

/* A lane sums 64 products of 255 * 32768 at most. */
static inline uint64_t dot_neon(const uint8_t *bytes, const uint8_t *s, int length) {
  int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  int32x4_t more[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  for (int i = 0; i < length; i += 8) {
    uint8x8_t before = vld1_u8(s + i);
    int16x8_t difference = vreinterpretq_s16_u16(vsubl_u8(veor_u8(before, vld1_u8(bytes + i)), before));
    for (int k = 0; k < 4; k++) {
      int16x8_t by = vld1q_s16(weight[k] + BLOCK - length + i);
      sum[k] = vmlal_s16(sum[k], vget_low_s16(difference), vget_low_s16(by));
      more[k] = vmlal_high_s16(more[k], difference, by);
    }
  }
  uint64_t total = 0;
  for (int k = 0; k < 4; k++) total += (uint64_t)(vaddlvq_s32(sum[k]) + vaddlvq_s32(more[k])) << (16 * k);
  return total;
}

PMULL static inline uint64_t prefix_pmull(uint64_t q) {
  return vgetq_lane_u64(vreinterpretq_u64_p128(vmull_p64((poly64_t)q, (poly64_t)~0ull)), 0);
}
CHAIN(chain_pmull, prefix_pmull, PMULL)
BLOCKS(neon, slice_neon, chain_pmull, unslice_neon, dot_neon, PMULL)

static int has_pmull(void) {
#if defined(__APPLE__)
  return 1;
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & (1u << 4)) != 0; /* HWCAP_PMULL */
#else
  return 0;
#endif
}

/* Nanoseconds for some blocks by a kernel. */
static double cost_of(uint64_t (*kernel)(uint64_t, const uint8_t *, size_t)) {
  static const uint8_t sample[4 * BLOCK];
  double best = 1e18;
  for (int i = 0; i < 5; i++) {
    double start = oc_monotonic();
    volatile uint64_t result = kernel(START, sample, sizeof sample);
    (void)result;
    double cost = oc_monotonic() - start;
    if (cost < best) best = cost;
  }
  return best;
}
#endif

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,pclmul,sse4.1")))
#if defined(__clang__) && __clang_major__ >= 18
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,evex512,avx2,pclmul,vpclmulqdq")))
#else
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,pclmul,vpclmulqdq")))
#endif

AVX2 static inline uint64_t prefix_clmul(uint64_t q) {
  return (uint64_t)_mm_cvtsi128_si64(
      _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)q), _mm_set1_epi8((char)0xff), 0));
}
CHAIN(chain_clmul, prefix_clmul, AVX2)

AVX2 static inline void slice_avx2(const uint8_t *bytes, uint64_t b[8][8], int words) {
  for (int w = 0; w < words; w++) {
    __m256i low = _mm256_loadu_si256((const __m256i *)(bytes + w * 64));
    __m256i high = _mm256_loadu_si256((const __m256i *)(bytes + w * 64 + 32));
    for (int j = 7; j >= 0; j--) {
      b[j][w] = (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
      low = _mm256_add_epi8(low, low);
      high = _mm256_add_epi8(high, high);
    }
  }
}

AVX2 static inline void unslice_avx2(uint64_t s[8][8], uint8_t *out, int words) {
  const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3,
                                          3, 3, 3, 3, 3, 3);
  const __m256i pick = _mm256_set1_epi64x((long long)0x8040201008040201ull);
  for (int w = 0; w < words; w++)
    for (int half = 0; half < 2; half++) {
      __m256i sum = _mm256_setzero_si256();
      for (int j = 0; j < 8; j++) {
        __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32((int)(s[j][w] >> (32 * half))), spread);
        __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, pick), pick);
        sum = _mm256_or_si256(sum, _mm256_and_si256(set, _mm256_set1_epi8((char)(1 << j))));
      }
      _mm256_store_si256((__m256i *)(out + w * 64 + half * 32), sum);
    }
}

AVX2 static inline int64_t sum_avx2(__m256i v) {
  __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)),
                                  _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
  __m128i half = _mm_add_epi64(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

AVX2 static inline uint64_t dot_avx2(const uint8_t *bytes, const uint8_t *s, int length) {
  __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int i = 0; i < length; i += 16) {
    __m128i before = _mm_load_si128((const __m128i *)(s + i));
    __m128i after = _mm_xor_si128(before, _mm_loadu_si128((const __m128i *)(bytes + i)));
    __m256i difference = _mm256_sub_epi16(_mm256_cvtepu8_epi16(after), _mm256_cvtepu8_epi16(before));
    for (int k = 0; k < 4; k++)
      sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(difference, _mm256_load_si256((const __m256i *)(
                                                                          weight[k] + BLOCK - length + i))));
  }
  uint64_t total = 0;
  for (int k = 0; k < 4; k++) total += (uint64_t)sum_avx2(sum[k]) << (16 * k);
  return total;
}

BLOCKS(avx2, slice_avx2, chain_clmul, unslice_avx2, dot_avx2, AVX2)

AVX512 static inline __m512i prefix_512(__m512i q) {
  const __m512i ones = _mm512_set1_epi64(-1);
  return _mm512_unpacklo_epi64(_mm512_clmulepi64_epi128(q, ones, 0x00), _mm512_clmulepi64_epi128(q, ones, 0x01));
}

AVX512 static inline uint8_t chain_512(uint64_t b[8][8], uint64_t s[8][8], uint8_t state) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i x[8], t[8], c = zero, d = zero;
  uint8_t after = 0;
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    __m512i byte = _mm512_load_si512(b[j]);
    __m512i below = j > 0 ? x[j > 0 ? j - 1 : 0] : zero;
    __m512i g = _mm512_xor_si512(below, c);
    if (j >= 4) g = _mm512_ternarylogic_epi64(g, t[j >= 4 ? j - 4 : 0], d, 0x96);
    if (j == 7) g = _mm512_xor_si512(g, x[0]);
    __m512i q = prefix_512(_mm512_xor_si512(byte, g));
    /* Parity of each word, then of all words before each. */
    unsigned parity = _mm512_movepi64_mask(q);
    parity ^= parity << 1;
    parity ^= parity << 2;
    parity ^= parity << 4;
    unsigned before = (parity << 1) ^ (state >> j & 1 ? 0xffu : 0u);
    after |= (uint8_t)((before >> 8 & 1) << j);
    if (state >> j & 1) after ^= (uint8_t)(1u << j);
    __m512i plane = _mm512_add_epi64(q, q);
    plane = _mm512_mask_xor_epi64(plane, (__mmask8)before, plane, _mm512_set1_epi64(-1));
    _mm512_store_si512(s[j], plane);
    __m512i now = _mm512_xor_si512(plane, byte);
    x[j] = now;
    t[j] = _mm512_ternarylogic_epi64(now, below, c, 0x96);
    if (j >= 4) d = _mm512_ternarylogic_epi64(t[j], t[j >= 4 ? j - 4 : 0], d, 0xe8);
    c = _mm512_ternarylogic_epi64(now, below, c, 0xe8);
  }
  return after;
}

AVX512 static uint64_t avx512(uint64_t hash, const uint8_t *bytes, size_t length) {
  uint64_t b[8][8] __attribute__((aligned(64))), s[8][8] __attribute__((aligned(64)));
  uint8_t state = (uint8_t)hash;
  while (length >= BLOCK) {
    for (int w = 0; w < 8; w++) {
      __m512i v = _mm512_loadu_si512(bytes + w * 64);
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++) b[j][w] = _mm512_test_epi8_mask(v, _mm512_set1_epi8((char)(1 << j)));
    }
    state = chain_512(b, s, state);
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int w = 0; w < 8; w++) {
      __m512i before = _mm512_setzero_si512();
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++)
        before = _mm512_mask_add_epi8(before, s[j][w], before, _mm512_set1_epi8((char)(1 << j)));
      __m512i after = _mm512_xor_si512(before, _mm512_loadu_si512(bytes + w * 64));
      __m512i low = _mm512_sub_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(after)),
                                     _mm512_cvtepu8_epi16(_mm512_castsi512_si256(before)));
      __m512i high = _mm512_sub_epi16(_mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(after, 1)),
                                      _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(before, 1)));
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        sum[k] = _mm512_add_epi32(sum[k], _mm512_madd_epi16(low, _mm512_load_si512(weight[k] + w * 64)));
        sum[k] = _mm512_add_epi32(sum[k], _mm512_madd_epi16(high, _mm512_load_si512(weight[k] + w * 64 + 32)));
      }
    }
    uint64_t total = 0;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      __m512i wide = _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum[k])),
                                      _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum[k], 1)));
      total += (uint64_t)_mm512_reduce_add_epi64(wide) << (16 * k);
    }
    hash = hash * power[8] + total;
    bytes += BLOCK;
    length -= BLOCK;
  }
  return avx2(hash, bytes, length);
}

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul"); }
static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vpclmulqdq");
}
#endif

static int best(void) {
#if defined(__x86_64__)
  static int found;
  if (found == 0) found = has_avx512() ? OC_HASH_AVX512 : has_avx2() ? OC_HASH_AVX2 : OC_HASH_SERIAL;
  return found;
#elif defined(__aarch64__)
  /* Cores differ in what a multiplication costs the serial kernel, so the first use measures: some 50 us. */
  static int found;
  if (found == 0) found = has_pmull() && cost_of(neon) < cost_of(serial) ? OC_HASH_NEON : OC_HASH_SERIAL;
  return found;
#else
  return OC_HASH_SERIAL; /* slicing has not been seen to win without a carry-less multiplication */
#endif
}

double oc_frame_hash(double address, double length, int32_t part, int32_t kernel) {
  if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) fill();
  const uint8_t *bytes = OC_POINTER(address);
  size_t count = (size_t)length;
  uint64_t hash;
  switch (kernel == OC_HASH_BEST ? best() : kernel) {
    case OC_HASH_SERIAL: hash = serial(START, bytes, count); break;
    case OC_HASH_SLICED: hash = sliced(START, bytes, count); break;
#if defined(__x86_64__)
    case OC_HASH_AVX2:
      if (!has_avx2()) return -ENOSYS;
      hash = avx2(START, bytes, count);
      break;
    case OC_HASH_AVX512:
      if (!has_avx512()) return -ENOSYS;
      hash = avx512(START, bytes, count);
      break;
#endif
#if defined(__aarch64__)
    case OC_HASH_NEON:
      if (!has_pmull()) return -ENOSYS;
      hash = neon(START, bytes, count);
      break;
#endif
    default: return -ENOSYS;
  }
  uint32_t high = (uint32_t)(hash >> 32), low = (uint32_t)hash;
  return part == 0 ? (double)(high ^ low) : part == 1 ? (double)low : (double)high;
}
