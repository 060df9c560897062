// The activation CELU and its slope in one pass; potentials/kernels/celu.py calls it.

#include <algorithm>

#include "simd.hpp"

namespace {

constexpr double kLog2OfE = 1.4426950408889634;
constexpr double kLeastPower = -64;  // a slope below 2^-64 counts as that: nothing beside 1, and products stay normal

template <class T> void celu_part(T *z, T *slope, T alpha) {
    const Vec<T> x = load(z), zero{};
    const Vec<T> below = x < zero ? x : zero;
    const Vec<T> power = exp2<T>(at_least<T>(T(kLog2OfE) / alpha * below, T(kLeastPower)));
    const Vec<T> exact = below < zero ? power : zero + T(1);
    store<T>(slope, exact);
    store<T>(z, (x - below) + alpha * (exact - T(1)));
}

template <class T> void celu(T *z, T *slope, int64_t n, T alpha) {
    constexpr int L = kLanes<T>;
    int64_t i = 0;
    for (; i + L <= n; i += L) celu_part(z + i, slope + i, alpha);
    if (i == n) return;
    T last_z[L] = {}, last_slope[L];
    std::copy(z + i, z + n, last_z);
    celu_part(last_z, last_slope, alpha);
    std::copy(last_z, last_z + (n - i), z + i);
    std::copy(last_slope, last_slope + (n - i), slope + i);
}

}  // namespace

extern "C" {

// z becomes max(z, 0) + alpha (exp(min(z, 0)/alpha) - 1), slope becomes exp(min(z, 0)/alpha); n numbers each.
void smelter_celu_float32(float *z, float *slope, int64_t n, double alpha) { celu(z, slope, n, float(alpha)); }

void smelter_celu_float64(double *z, double *slope, int64_t n, double alpha) { celu(z, slope, n, alpha); }
}
