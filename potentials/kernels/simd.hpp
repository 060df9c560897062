// Vectors of numbers (GCC and Clang extensions), and the few functions of them that the descriptors need.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define SMELTER_UNROLL _Pragma("unroll")
#else
#define SMELTER_UNROLL _Pragma("GCC unroll 8")
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <class T, int Bytes> struct VectorOf { typedef T type __attribute__((vector_size(Bytes))); };
template <class T> struct Bits { typedef int32_t type; };
template <> struct Bits<double> { typedef int64_t type; };
template <class T> using Vec = typename VectorOf<T, kBytes>::type;
template <class T> using IntVec = typename VectorOf<typename Bits<T>::type, kBytes>::type;
template <class T> constexpr int kLanes = kBytes / int(sizeof(T));

template <class T> inline Vec<T> load(const T *from) {
    Vec<T> v;
    std::memcpy(&v, from, kBytes);
    return v;
}

template <class T> inline void store(T *to, Vec<T> v) { std::memcpy(to, &v, kBytes); }

// Lanes without bit H: a, those with it: b; each the sum of two lanes that differ in bit H.
template <class T, int H> inline Vec<T> fold(Vec<T> a, Vec<T> b) {
    Vec<T> folded;
#if defined(__clang__)
    for (int l = 0; l < kLanes<T>; ++l) folded[l] = l & H ? b[l - H] + b[l] : a[l] + a[l + H];
#else
    IntVec<T> low, high;
    for (int l = 0; l < kLanes<T>; ++l) {
        low[l] = l & H ? kLanes<T> + l - H : l;
        high[l] = l & H ? kLanes<T> + l : l + H;
    }
    folded = __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
#endif
    return folded;
}

// Lane l of the result: the sum over the lanes of v[l], for N vectors.
template <class T, int N> inline Vec<T> fold_all(const Vec<T> *v) {
    if constexpr (N == 1)
        return v[0];
    else
        return fold<T, N / 2>(fold_all<T, N / 2>(v), fold_all<T, N / 2>(v + N / 2));
}

// to[i] = the sum over the lanes of v[i]; v may be read up to the next multiple of the number of lanes.
template <class T> inline void sums(const Vec<T> *v, int64_t n, T *to) {
    constexpr int L = kLanes<T>;
    int64_t i = 0;
    for (; i + L <= n; i += L) store<T>(to + i, fold_all<T, L>(v + i));
    if (i == n) return;
    const Vec<T> rest = fold_all<T, L>(v + i);
    std::memcpy(to + i, &rest, size_t(n - i) * sizeof(T));
}

template <class T> inline Vec<T> square_root(Vec<T> v) {
    Vec<T> root;
    for (int l = 0; l < kLanes<T>; ++l) root[l] = __builtin_sqrt(v[l]);
    return root;
}

template <> inline Vec<float> square_root<float>(Vec<float> v) {
    Vec<float> root;
    for (int l = 0; l < kLanes<float>; ++l) root[l] = __builtin_sqrtf(v[l]);
    return root;
}

// Hold what was loaded in a register: the compiler would load it again for every use, and loads are the limit.
template <class V> inline void keep(V &v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#else
    (void)v;
#endif
}

template <class T> inline Vec<T> at_least(Vec<T> x, T least) {  // not-a-number stays what it is
    return x < least ? Vec<T>{} + least : x;
}

#if defined(__AVX512F__)
template <> inline Vec<float> at_least<float>(Vec<float> x, float least) {
    return (Vec<float>)_mm512_maskz_max_ps(0xffff, (__m512)(Vec<float>{} + least), (__m512)x);
}
#endif

template <class T, int N> inline Vec<T> polynomial(const T (&coefficient)[N], Vec<T> x) {
    Vec<T> y = coefficient[N - 1] + Vec<T>{};
    for (int k = N - 2; k >= 0; --k) y = y * x + coefficient[k];
    return y;
}

// float: minimax fits to 8e-8 (exp2, relative), 7e-9 (log2), 1e-8 (sine, cosine); double: series to 1e-16.
template <class T> struct Constants;

template <> struct Constants<float> {
    static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    static constexpr int kMantissa = 23;
    static constexpr int32_t kHalfRoot = 0x3f3504f3;  // bits of sqrt(1/2)
    static constexpr float kLeast = -125.0f;          // exp2 of less is as good as zero
    static constexpr float kExp2[] = {1.00000008f,   0.693147225f,   0.240221074f,
                                      0.0555029731f, 0.00967603636f, 0.00134100001f};
    static constexpr float kLog2[] = {1.44269487f,  -0.721347129f, 0.48092253f,   -0.360721192f, 0.28765665f,
                                      -0.238519509f, 0.217379666f, -0.210302933f, 0.125411212f};
    // log2(1 + t)/t for -1 < t <= 0, good where (1 + t)^kSteep is not negligible: 1e-8 of the greatest value
    static constexpr float kPowerLog2[] = {1.44269479f,   -0.721378927f, 0.4797332f,
                                           -0.378206924f, 0.171658975f,  -0.561560378f};
    static constexpr double kSteep = 30;
    static constexpr float kSine[] = {3.14159264f, -5.16771009f, 2.55007766f, -0.598292159f, 0.0776594074f};
    static constexpr float kCosine[] = {1.0f,         -4.93480214f, 4.05870916f,
                                        -1.33521206f, 0.234937559f, -0.0243967164f};
};

template <> struct Constants<double> {
    static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr int kMantissa = 52;
    static constexpr int64_t kHalfRoot = 0x3fe6a09e667f3bcd;
    static constexpr double kLeast = -1000.0;
    static constexpr double kExp2[] = {1.0,
                                       0.69314718055994529,
                                       0.24022650695910069,
                                       0.055504108664821576,
                                       0.0096181291076284769,
                                       0.0013333558146428441,
                                       0.00015403530393381606,
                                       1.5252733804059838e-05,
                                       1.3215486790144305e-06,
                                       1.0178086009239696e-07,
                                       7.0549116208011209e-09,
                                       4.4455382718708101e-10,
                                       2.5678435993488196e-11,
                                       1.3691488853904124e-12};
    static constexpr double kPowerLog2[] = {1.4426950408889634};  // never used
    static constexpr double kSteep = 0;
    // log2(m) = q (k0 + k1 q^2 + ...), q = (m - 1)/(m + 1): 2/((2k + 1) ln 2)
    static constexpr double kLog2[] = {2.8853900817779268,  0.96179669392597555, 0.57707801635558531,
                                       0.41219858311113239, 0.32059889797532522, 0.26230818925253880,
                                       0.22195308321368667, 0.19235933878519512, 0.16972882833987804,
                                       0.15186263588304877, 0.13739952770371080};
    static constexpr double kSine[] = {3.1415926535897931,     -5.1677127800499694,    2.5501640398773451,
                                       -0.59926452932079188,   0.082145886611128191,   -0.0073704309457143478,
                                       0.00046630280576761234, -2.1915353447830204e-05, 7.9520540014755084e-07,
                                       -2.2948428997269856e-08, 5.3926646626081248e-10};
    static constexpr double kCosine[] = {1.0,
                                         -4.934802200544679,
                                         4.0587121264167676,
                                         -1.3352627688545893,
                                         0.23533063035889312,
                                         -0.025806891390014051,
                                         0.0019295743094039221,
                                         -0.00010463810492484565,
                                         4.3030695870329439e-06,
                                         -1.3878952462213761e-07,
                                         3.6047307974624982e-09,
                                         -7.7007071306013461e-11};
};

template <class T> inline Vec<T> exp2(Vec<T> x) {
    using C = Constants<T>;
    x = at_least<T>(x, C::kLeast);
    const Vec<T> shifted = x + C::kRound;
    const Vec<T> power = polynomial(C::kExp2, x - (shifted - C::kRound));
    return (Vec<T>)((IntVec<T>)power + ((IntVec<T>)shifted << C::kMantissa));
}

template <class T> inline Vec<T> log2(Vec<T> x) {  // of positive normal numbers
    using C = Constants<T>;
    const IntVec<T> exponent = ((IntVec<T>)x - C::kHalfRoot) >> C::kMantissa;
    const Vec<T> m = (Vec<T>)((IntVec<T>)x - (exponent << C::kMantissa)) - T(1);
    const Vec<T> whole = __builtin_convertvector(exponent, Vec<T>);
    if constexpr (sizeof(T) == sizeof(float)) {
        return whole + m * polynomial(C::kLog2, m);
    } else {
        const Vec<T> q = m / (m + T(2));
        return whole + q * polynomial(C::kLog2, q * q);
    }
}

}  // namespace
