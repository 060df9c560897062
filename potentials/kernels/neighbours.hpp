// The neighbours of one centre within a cutoff, laid out for vectors.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simd.hpp"

namespace {

constexpr double kShortest = 1e-3;  // shorter distances count as this one: coincident atoms stay finite

template <class T> class Buffer {  // grows, never shrinks, aligned to whole vectors
  public:
    T *reserve(size_t n) {
        if (n > size_) {
            size_ = n + n / 2;
            blocks_ = std::vector<Block>(size_ / kLanes<T> + 2);
        }
        return data();
    }
    T *data() { return reinterpret_cast<T *>(blocks_.data()); }

  private:
    struct alignas(kBytes) Block {
        char bytes[kBytes];
    };
    std::vector<Block> blocks_;
    size_t size_ = 0;
};

// Structure of arrays, grouped by element, each group padded to whole vectors with neighbours of no weight.
template <class T> struct Neighbours {
    std::vector<int64_t> pair, first, count;  // pair of each entry; start and size of each element's group
    int64_t n = 0;                            // entries, padding included
    T *x, *y, *z, *r, *inverse_r, *cut, *slope;  // unit vector, distance, 1/r, fc, dfc/dr
    Buffer<T> memory;

    void gather(const T *vector, const T *squared, const int64_t *species, int64_t n_pairs, int64_t n_elements,
                T cutoff) {
        constexpr int L = kLanes<T>;
        pair.resize(size_t(n_pairs + n_elements * L + L));
        first.assign(size_t(n_elements), 0);
        count.assign(size_t(n_elements), 0);
        const T limit = cutoff * cutoff;
        n = 0;
        for (int64_t e = 0; e < n_elements; ++e) {
            first[e] = n;
            for (int64_t p = 0; p < n_pairs; ++p) {
                pair[n] = p;
                n += !(squared[p] >= limit) & (n_elements == 1 || species[p] == e);
            }
            count[e] = n - first[e];
            while (n % L) pair[n++] = -1;
        }
        measure(vector, cutoff);
    }

  private:
    void measure(const T *vector, T cutoff) {
        using C = Constants<T>;
        constexpr int L = kLanes<T>;
        T *at = memory.reserve(size_t(7 * (n + L)));
        for (T **array : {&x, &y, &z, &r, &inverse_r, &cut, &slope}) *array = at, at += n + L;
        for (int64_t i = 0; i < n; ++i) {
            const T *v = vector + 3 * (pair[i] < 0 ? 0 : pair[i]);
            const T keep = T(pair[i] >= 0);
            x[i] = keep * v[0], y[i] = keep * v[1], z[i] = keep * v[2], cut[i] = keep;
        }
        const T over_cutoff = 1 / cutoff;
        for (int64_t i = 0; i < n; i += L) {
            const Vec<T> vx = load(x + i), vy = load(y + i), vz = load(z + i);
            Vec<T> length = square_root<T>(vx * vx + vy * vy + vz * vz);
            length = at_least<T>(length, T(kShortest));
            const Vec<T> inverse = T(1) / length;
            const Vec<T> phase = length * over_cutoff - T(0.5);  // fc = 1/2 - 1/2 sin(pi (r/Rc - 1/2))
            const Vec<T> sine = phase * polynomial(C::kSine, phase * phase);
            const Vec<T> keep = T(0.5) * load(cut + i);
            store<T>(cut + i, keep - keep * sine);
            store<T>(slope + i, keep * polynomial(C::kCosine, phase * phase) * (T(-3.14159265358979323846) * over_cutoff));
            store<T>(x + i, vx * inverse), store<T>(y + i, vy * inverse), store<T>(z + i, vz * inverse);
            store<T>(r + i, length), store<T>(inverse_r + i, inverse);
        }
        for (T *array : {x, y, z, r, inverse_r, cut, slope}) store<T>(array + n, Vec<T>{});
    }
};

}  // namespace
