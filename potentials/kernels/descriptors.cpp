// ANI (NeuroChem) descriptors of every atom, and products with their Jacobian and its transpose.
//
// C ABI only: potentials/kernels/cpp.py loads it through ctypes. One call does one task for a range of atoms
// per thread; atoms are independent, and the transposed product writes only the pairs of its own centre.
//
//   radial   D[e][s]       = sum_j 1/4 exp(-eta (r_j - R_s)^2) fc(r_j)                       j of element e
//   angular  D[p,q][a][z]  = sum_jk 2 fc(r_j) fc(r_k) G_a Z_z                    j, k of elements p, q; j < k
//            G_a = exp(-eta ((r_j + r_k)/2 - S_a)^2),   Z_z = ((1 + cos(theta - theta_z))/2)^zeta
//
// With c = cos(theta) = 0.95 u_j.u_k and s = sqrt(1 - c^2), cos(theta - theta_z) = c cos(theta_z) + s sin(theta_z):
// no acos and no pow. A centre's angular block is the product (shells x triples)(triples x angles), taken from
// pieces that stay in the first-level cache. Vectors run over pairs and over triples (lanes of Vec<T>).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "neighbours.hpp"
#include "simd.hpp"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

extern "C" {

struct Spec {
    int64_t n_elements, n_radial, n_shells, n_angles;
    double radial_cutoff, angular_cutoff, radial_eta, angular_eta, zeta;
    const double *radial_shifts, *shell_shifts, *angle_shifts;
};

struct Graph {
    int64_t n_atoms;
    const int64_t *species, *first_pair, *neighbour;
    const void *vector;
};

enum Task : int32_t { kValues = 0, kPull = 1, kPush = 2 };
}

namespace {

// ---------------------------------------------------------------- settings in the kernel's own units

constexpr double kLog2OfE = 1.4426950408889634;

template <class T> struct Settings {
    int64_t n_elements, n_radial, n_shells, n_angles, n_features;
    T radial_cutoff, angular_cutoff, radial_k, angular_k, zeta;  // k: exp(-eta x^2) = exp2(k x^2)
    std::vector<T> radial_shift, shell_shift, half_cosine, half_sine;
    bool even = false;          // shells at equal steps, by recurrence from the middle one
    T shell_step = 0;           // exp2(shell_step x) is the ratio of neighbouring Gaussians, without
    std::vector<T> shell_ratio; // the constant factors kept here
    bool steep = false;         // zeta so great that powers need no full logarithm

    explicit Settings(const Spec &spec)
        : n_elements(spec.n_elements), n_radial(spec.n_radial), n_shells(spec.n_shells), n_angles(spec.n_angles),
          n_features(n_elements * n_radial + n_elements * (n_elements + 1) / 2 * n_shells * n_angles),
          radial_cutoff(T(spec.radial_cutoff)), angular_cutoff(T(spec.angular_cutoff)),
          radial_k(T(-spec.radial_eta * kLog2OfE)), angular_k(T(-spec.angular_eta * kLog2OfE)), zeta(T(spec.zeta)),
          radial_shift(spec.radial_shifts, spec.radial_shifts + n_radial),
          shell_shift(spec.shell_shifts, spec.shell_shifts + n_shells) {
        for (int64_t z = 0; z < n_angles; ++z) {
            half_cosine.push_back(T(0.5 * __builtin_cos(spec.angle_shifts[z])));
            half_sine.push_back(T(0.5 * __builtin_sin(spec.angle_shifts[z])));
        }
        if constexpr (sizeof(T) == sizeof(float)) steep = spec.zeta >= Constants<T>::kSteep;
        space_shells(spec);
    }

  private:
    void space_shells(const Spec &spec) {
        if (n_shells < 3) return;
        const int64_t middle = n_shells / 2;
        const double *shift = spec.shell_shifts;
        const double step = (shift[n_shells - 1] - shift[0]) / double(n_shells - 1);
        const double k = spec.angular_eta * kLog2OfE, most = -Constants<T>::kLeast;
        const double reach = std::max(std::abs(shift[middle]), std::abs(spec.angular_cutoff - shift[middle]));
        even = k * reach * reach < most && 2 * k * std::abs(step) * reach < most &&
               k * step * step * double(middle * middle) < most;
        for (int64_t a = 0; a < n_shells; ++a) {
            const double x = step * double(a - middle);
            even = even && std::abs(shift[a] - shift[middle] - x) < 8 * std::numeric_limits<T>::epsilon();
            shell_ratio.push_back(T(std::exp2(-k * x * x)));
        }
        shell_step = T(2 * k * step);
    }
};

// ---------------------------------------------------------------- one thread's work

// kShells and kAngles are the sizes known to the compiler, or 0.
template <class T, int kShells, int kAngles> class Worker {
    static constexpr int L = kLanes<T>;
    static constexpr int kChunk = 8;  // vectors of triples handled together
    using V = Vec<T>;
    using Lane = typename Bits<T>::type;

  public:
    Worker(const Settings<T> &settings, const Graph &graph, int32_t task, int64_t n_vectors)
        : s_(settings), graph_(graph), task_(task), n_vectors_(n_vectors) {}

    void run(int64_t begin, int64_t end, const T *in, T *out) {
        const int64_t n_pairs = graph_.first_pair[graph_.n_atoms];
        const int64_t rows = graph_.n_atoms * s_.n_features;
        for (int64_t i = begin; i < end; ++i) {
            const int64_t first = graph_.first_pair[i];
            prepare(first, graph_.first_pair[i + 1] - first);
            if (task_ == kPull) {
                clear(out + 3 * first, 3 * n_pairs, 3 * (graph_.first_pair[i + 1] - first));
                pull_radial(in + i * s_.n_features, rows, out + 3 * first, 3 * n_pairs);
                pull_angular(in + i * s_.n_features, rows, out + 3 * first, 3 * n_pairs);
            } else if (task_ == kPush) {
                clear(out + i * s_.n_features, rows, s_.n_features);
                push_radial(in + 3 * first, 3 * n_pairs, out + i * s_.n_features, rows);
                push_angular(in + 3 * first, 3 * n_pairs, out + i * s_.n_features, rows);
            } else {
                values_radial(out + i * s_.n_features);
                values_angular(out + i * s_.n_features);
            }
        }
    }

  private:
    int64_t n_shells() const { return kShells ? kShells : s_.n_shells; }
    int64_t n_angles() const { return kAngles ? kAngles : s_.n_angles; }

    void clear(T *out, int64_t stride, int64_t n) {
        for (int64_t m = 0; m < n_vectors_; ++m) std::memset(out + m * stride, 0, size_t(n) * sizeof(T));
    }

    void prepare(int64_t first, int64_t n_pairs) {
        const T *vector = static_cast<const T *>(graph_.vector) + 3 * first;
        T *squared = squared_.reserve(size_t(n_pairs));
        species_.resize(size_t(n_pairs));
        for (int64_t p = 0; p < n_pairs; ++p) {
            const T *v = vector + 3 * p;
            squared[p] = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        }
        if (s_.n_elements > 1)
            for (int64_t p = 0; p < n_pairs; ++p) species_[p] = graph_.species[graph_.neighbour[first + p]];
        radial_.gather(vector, squared, species_.data(), n_pairs, s_.n_elements, s_.radial_cutoff);
        angular_.gather(vector, squared, species_.data(), n_pairs, s_.n_elements, s_.angular_cutoff);
    }

    // ------------------------------------------------------------ radial

    void values_radial(T *out) {
        V *total = vectors(totals_, s_.n_radial + L);
        for (int64_t e = 0; e < s_.n_elements; ++e) {
            const int64_t begin = radial_.first[e], end = begin + radial_.count[e];
            for (int64_t shell = 0; shell < s_.n_radial; ++shell) {
                total[shell] = V{};
                for (int64_t i = begin; i < end; i += L) {
                    const V x = load(radial_.r + i) - s_.radial_shift[shell];
                    total[shell] += load(radial_.cut + i) * exp2<T>(s_.radial_k * x * x);
                }
                total[shell] *= T(0.25);
            }
            sums<T>(total, s_.n_radial, out + e * s_.n_radial);
        }
    }

    // Derivative of each shell's term with respect to r, for one vector of pairs.
    void radial_slopes(int64_t i, V *slope) const {
        const V r = load(radial_.r + i), cut = T(0.25) * load(radial_.cut + i);
        const V cut_slope = T(0.25) * load(radial_.slope + i);
        const T factor = T(2 / kLog2OfE) * s_.radial_k;
        for (int64_t shell = 0; shell < s_.n_radial; ++shell) {
            const V x = r - s_.radial_shift[shell];
            slope[shell] = (cut_slope + factor * x * cut) * exp2<T>(s_.radial_k * x * x);
        }
    }

    void pull_radial(const T *in, int64_t rows, T *out, int64_t stride) {
        V *slope = vectors(slopes_, s_.n_radial);
        for (int64_t e = 0; e < s_.n_elements; ++e) {
            const int64_t begin = radial_.first[e], end = begin + radial_.count[e];
            for (int64_t i = begin; i < end; i += L) {
                radial_slopes(i, slope);
                for (int64_t m = 0; m < n_vectors_; ++m) {
                    const T *weight = in + m * rows + e * s_.n_radial;
                    V total{};
                    for (int64_t shell = 0; shell < s_.n_radial; ++shell) total += weight[shell] * slope[shell];
                    scatter(radial_, i, end, total * load(radial_.x + i), total * load(radial_.y + i),
                            total * load(radial_.z + i), out + m * stride);
                }
            }
        }
    }

    void push_radial(const T *in, int64_t stride, T *out, int64_t rows) {
        V *slope = vectors(slopes_, s_.n_radial);
        V *total = vectors(totals_, n_vectors_ * s_.n_radial + L);
        for (int64_t e = 0; e < s_.n_elements; ++e) {
            const int64_t begin = radial_.first[e], end = begin + radial_.count[e];
            for (int64_t k = 0; k < n_vectors_ * s_.n_radial; ++k) total[k] = V{};
            for (int64_t i = begin; i < end; i += L) {
                radial_slopes(i, slope);
                for (int64_t m = 0; m < n_vectors_; ++m) {
                    T change[L] = {};
                    for (int64_t l = 0; l < L && i + l < end; ++l) {
                        const T *v = in + m * stride + 3 * radial_.pair[i + l];
                        change[l] = v[0] * radial_.x[i + l] + v[1] * radial_.y[i + l] + v[2] * radial_.z[i + l];
                    }
                    const V dr = load(change);
                    for (int64_t shell = 0; shell < s_.n_radial; ++shell)
                        total[m * s_.n_radial + shell] += dr * slope[shell];
                }
            }
            for (int64_t m = 0; m < n_vectors_; ++m)
                sums<T>(total + m * s_.n_radial, s_.n_radial, out + m * rows + e * s_.n_radial);
        }
    }

    // Add vectors of one group of neighbours to their pairs.
    static void scatter(const Neighbours<T> &list, int64_t i, int64_t end, V x, V y, V z, T *out) {
        T xs[L], ys[L], zs[L];
        store<T>(xs, x), store<T>(ys, y), store<T>(zs, z);
        for (int64_t l = 0; l < L && i + l < end; ++l) {
            T *v = out + 3 * list.pair[i + l];
            v[0] += xs[l], v[1] += ys[l], v[2] += zs[l];
        }
    }

    // ------------------------------------------------------------ angular: lists of triples

    // Call row(j, first k, end of k, number of the first triple) for the triples of elements p <= q; return
    // their number.
    template <class Row> int64_t for_rows(int64_t p, int64_t q, Row row) const {
        const int64_t end = angular_.first[q] + angular_.count[q];
        int64_t triple = 0;
        for (int64_t j = angular_.first[p]; j < angular_.first[p] + angular_.count[p]; ++j) {
            const int64_t k = p == q ? j + 1 : angular_.first[q];
            row(j, k, end, triple);
            triple += end - k;
        }
        return triple;
    }

    // Cosine (times 0.95), mean distance and weight 2 fc fc of every triple, packed; the last vector is filled
    // with triples of no weight.
    int64_t pack_triples(int64_t p, int64_t q) {
        const Neighbours<T> &a = angular_;
        const int64_t most = a.count[p] * a.count[q] + 2 * L;
        cosine_ = buffers_[0].reserve(size_t(most));
        distance_ = buffers_[1].reserve(size_t(most));
        weight_ = buffers_[2].reserve(size_t(most));
        const int64_t n = for_rows(p, q, [&](int64_t j, int64_t k, int64_t end, int64_t t) {
            const T xj = T(0.95) * a.x[j], yj = T(0.95) * a.y[j], zj = T(0.95) * a.z[j];
            const T half_r = T(0.5) * a.r[j], cut = 2 * a.cut[j];
            for (; k < end; k += L, t += L) {
                store<T>(cosine_ + t, xj * load(a.x + k) + yj * load(a.y + k) + zj * load(a.z + k));
                store<T>(distance_ + t, half_r + T(0.5) * load(a.r + k));
                store<T>(weight_ + t, cut * load(a.cut + k));
            }
        });
        for (T *array : {cosine_, distance_, weight_}) store<T>(array + n, V{});
        return n;
    }

    // G_a, and with a derivative dG_a/d(mean distance), of one vector of triples.
    template <bool kSlope> void shells(V distance, V *value, V *slope) const {
        if (s_.even) {
            even_shells(distance, value);
        } else {
            for (int64_t a = 0; a < n_shells(); ++a) {
                const V x = distance - s_.shell_shift[a];
                value[a] = exp2<T>(s_.angular_k * x * x);
            }
        }
        if (!kSlope) return;
        const T factor = T(2 / kLog2OfE) * s_.angular_k;
        for (int64_t a = 0; a < n_shells(); ++a) slope[a] = factor * (distance - s_.shell_shift[a]) * value[a];
    }

    // exp(-eta (x - m d)^2) = exp(-eta x^2) exp(2 eta d x)^m exp(-eta d^2 m^2) with x from the middle shell.
    void even_shells(V distance, V *value) const {
        const int64_t middle = n_shells() / 2;
        const V x = distance - s_.shell_shift[middle], up = exp2<T>(s_.shell_step * x);
        const V down = exp2<T>(-s_.shell_step * x);
        V running = value[middle] = exp2<T>(s_.angular_k * x * x);
        for (int64_t a = middle + 1; a < n_shells(); ++a) value[a] = (running *= up) * s_.shell_ratio[a];
        running = value[middle];
        for (int64_t a = middle - 1; a >= 0; --a) value[a] = (running *= down) * s_.shell_ratio[a];
    }

    // Z_z, and with a derivative dZ_z/dc, of one vector of triples.
    template <bool kSlope> void angles(V cosine, V *value, V *slope) const {
        const V sine = square_root<T>(T(1) - cosine * cosine);
        V ratio{};
        if (kSlope) ratio = s_.zeta * (cosine / sine);
        const T exponent = kSlope ? s_.zeta - 1 : s_.zeta;
        if (s_.steep) {
            for (int64_t z = 0; z < n_angles(); ++z)
                value[z] = steep_power(s_.half_cosine[z] * cosine + (s_.half_sine[z] * sine - T(0.5)), exponent);
        } else {
            for (int64_t z = 0; z < n_angles(); ++z) {
                const V x = T(0.5) + s_.half_cosine[z] * cosine + s_.half_sine[z] * sine;
                value[z] = exp2<T>(exponent * log2<T>(at_least<T>(x, T(1e-12))));
            }
        }
        if (!kSlope) return;
        for (int64_t z = 0; z < n_angles(); ++z) {
            slope[z] = value[z] * (s_.zeta * s_.half_cosine[z] - ratio * s_.half_sine[z]);
            value[z] *= T(0.5) + s_.half_cosine[z] * cosine + s_.half_sine[z] * sine;
        }
    }

    // (1 + t)^exponent
    static V steep_power(V t, T exponent) {
        return exp2<T>(exponent * t * polynomial(Constants<T>::kPowerLog2, t));
    }

    // total[a][z] += sum over i of shell[i][a] angle[i][z], in tiles held in registers.
    void accumulate(const V *shell, const V *angle, int64_t n, V *total) const {
        if (n_shells() % 4 == 0 && n_angles() % 4 == 0) {
            for (int64_t a = 0; a < n_shells(); a += 4)
                for (int64_t z = 0; z < n_angles(); z += 4)
                    tile<4, 4>(shell + a, angle + z, n, total + a * n_angles() + z);
        } else {
            for (int64_t a = 0; a < n_shells(); ++a)
                for (int64_t z = 0; z < n_angles(); ++z) tile<1, 1>(shell + a, angle + z, n, total + a * n_angles() + z);
        }
    }

    template <int A, int Z> void tile(const V *shell, const V *angle, int64_t n, V *total) const {
        V part[A][Z];
        SMELTER_UNROLL for (int a = 0; a < A; ++a)
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) part[a][z] = total[a * n_angles() + z];
        for (int64_t i = 0; i < n; ++i, shell += n_shells(), angle += n_angles()) {
            V row[A];
            SMELTER_UNROLL for (int a = 0; a < A; ++a) row[a] = shell[a], keep(row[a]);
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) {
                V value = angle[z];
                keep(value);
                SMELTER_UNROLL for (int a = 0; a < A; ++a) part[a][z] += row[a] * value;
            }
        }
        SMELTER_UNROLL for (int a = 0; a < A; ++a)
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) total[a * n_angles() + z] = part[a][z];
    }

    // The same for the change of the terms along one tangent: of the weight, of the weighted distance and cosine.
    void accumulate_change(const V *shell, const V *angle, const T *change, int64_t padded, int64_t n, V *total) const {
        if (n_shells() % 2 == 0 && n_angles() % 8 == 0) {
            for (int64_t a = 0; a < n_shells(); a += 2)
                for (int64_t z = 0; z < n_angles(); z += 8)
                    tile_change<2, 8>(shell + a, angle + z, change, padded, n, total + a * n_angles() + z);
        } else {
            for (int64_t a = 0; a < n_shells(); ++a)
                for (int64_t z = 0; z < n_angles(); ++z)
                    tile_change<1, 1>(shell + a, angle + z, change, padded, n, total + a * n_angles() + z);
        }
    }

    template <int A, int Z>
    void tile_change(const V *shell, const V *angle, const T *change, int64_t padded, int64_t n, V *total) const {
        V part[A][Z];
        SMELTER_UNROLL for (int a = 0; a < A; ++a)
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) part[a][z] = total[a * n_angles() + z];
        for (int64_t i = 0; i < n; ++i, shell += 2 * n_shells(), angle += 2 * n_angles()) {
            const V weight = load(change + i * L), distance = load(change + padded + i * L);
            const V cosine = load(change + 2 * padded + i * L);
            V by_value[A], by_slope[A];
            SMELTER_UNROLL for (int a = 0; a < A; ++a) {
                by_value[a] = weight * shell[a] + distance * shell[n_shells() + a];
                by_slope[a] = cosine * shell[a];
            }
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) {
                V value = angle[z], slope = angle[n_angles() + z];
                keep(value), keep(slope);
                SMELTER_UNROLL for (int a = 0; a < A; ++a) part[a][z] += by_value[a] * value;
                SMELTER_UNROLL for (int a = 0; a < A; ++a) part[a][z] += by_slope[a] * slope;
            }
        }
        SMELTER_UNROLL for (int a = 0; a < A; ++a)
            SMELTER_UNROLL for (int z = 0; z < Z; ++z) total[a * n_angles() + z] = part[a][z];
    }

    template <class Block> void for_element_pairs(Block block) {
        int64_t feature = s_.n_elements * s_.n_radial;
        for (int64_t p = 0; p < s_.n_elements; ++p)
            for (int64_t q = p; q < s_.n_elements; ++q, feature += n_shells() * n_angles()) block(p, q, feature);
    }

    // ------------------------------------------------------------ angular: the three tasks

    void values_angular(T *out) {
        const int64_t n_terms = n_shells() * n_angles();
        V *shell = vectors(shells_, kChunk * n_shells()), *angle = vectors(angles_, kChunk * n_angles());
        V *total = vectors(totals_, n_terms + L);
        for_element_pairs([&](int64_t p, int64_t q, int64_t feature) {
            const int64_t n = pack_triples(p, q);
            for (int64_t k = 0; k < n_terms; ++k) total[k] = V{};
            for (int64_t t = 0; t < n; t += kChunk * L) {
                int64_t i = 0;
                for (; i < kChunk && t + i * L < n; ++i) {
                    V *g = shell + i * n_shells();
                    shells<false>(load(distance_ + t + i * L), g, nullptr);
                    angles<false>(load(cosine_ + t + i * L), angle + i * n_angles(), nullptr);
                    for (int64_t a = 0; a < n_shells(); ++a) g[a] *= load(weight_ + t + i * L);
                }
                accumulate(shell, angle, i, total);
            }
            sums<T>(total, n_terms, out + feature);
        });
    }

    // Transposed product. Per triple and cotangent: the derivative by the weight, by the mean distance, by the
    // cosine; then, over rows of triples, by the distance and the unit vector of each neighbour.
    void pull_angular(const T *in, int64_t rows, T *out, int64_t stride) {
        V *shell = vectors(shells_, 2 * n_shells()), *angle = vectors(angles_, 2 * n_angles());
        for_element_pairs([&](int64_t p, int64_t q, int64_t feature) {
            const int64_t n = pack_triples(p, q), padded = n + 2 * L;
            T *by_weight = buffers_[3].reserve(size_t(3 * n_vectors_ * padded + L)) + L;
            for (int64_t t = 0; t < n; t += L) {
                shells<true>(load(distance_ + t), shell, shell + n_shells());
                angles<true>(load(cosine_ + t), angle, angle + n_angles());
                const V weight = load(weight_ + t);
                for (int64_t m = 0; m < n_vectors_; ++m) {
                    T *to = by_weight + 3 * m * padded + t;
                    contract(in + m * rows + feature, shell, angle, weight, to, to + padded, to + 2 * padded);
                }
            }
            for (int64_t m = 0; m < n_vectors_; ++m)
                pull_rows(p, q, by_weight + 3 * m * padded, padded, out + m * stride);
        });
    }

    void contract(const T *cotangent, const V *shell, const V *angle, V weight, T *by_weight, T *by_distance,
                  T *by_cosine) const {
        V value{}, distance{}, cosine{};
        for (int64_t a = 0; a < n_shells(); ++a) {
            V over_angles{}, over_slopes{};
            for (int64_t z = 0; z < n_angles(); ++z) {
                const T g = cotangent[a * n_angles() + z];
                over_angles += g * angle[z];
                over_slopes += g * angle[n_angles() + z];
            }
            value += shell[a] * over_angles;
            distance += shell[n_shells() + a] * over_angles;
            cosine += shell[a] * over_slopes;
        }
        store<T>(by_weight, T(2) * value);
        store<T>(by_distance, T(0.5) * weight * distance);
        store<T>(by_cosine, T(0.95) * weight * cosine);
    }

    void pull_rows(int64_t p, int64_t q, const T *by_weight, int64_t padded, T *out) {
        const Neighbours<T> &a = angular_;
        T *memory = buffers_[4].reserve(size_t(4 * (a.n + L)));
        std::memset(memory, 0, size_t(4 * (a.n + L)) * sizeof(T));
        T *gr = memory, *gx = gr + a.n + L, *gy = gx + a.n + L, *gz = gy + a.n + L;
        const int64_t n_rows = a.count[p], row_stride = n_rows + L;
        V *row = vectors(totals_, 4 * row_stride) - a.first[p];
        for_rows(p, q, [&](int64_t j, int64_t k, int64_t end, int64_t t) {
            V r{}, x{}, y{}, z{};
            for (int64_t i = k / L * L; i < end; i += L) {  // whole vectors of neighbours, those from k to end count
                const IntVec<T> lane = lane_index() + Lane(i);
                const IntVec<T> inside = (lane >= Lane(k)) & (lane < Lane(end));
                const T *at = by_weight + t + (i - k);
                const V w = inside ? load(at) : V{}, d = inside ? load(at + padded) : V{};
                const V c = inside ? load(at + 2 * padded) : V{};
                r += d + w * a.slope[j] * load(a.cut + i);
                x += c * load(a.x + i), y += c * load(a.y + i), z += c * load(a.z + i);
                store<T>(gr + i, load(gr + i) + d + w * a.cut[j] * load(a.slope + i));
                store<T>(gx + i, load(gx + i) + c * a.x[j]);
                store<T>(gy + i, load(gy + i) + c * a.y[j]);
                store<T>(gz + i, load(gz + i) + c * a.z[j]);
            }
            row[j] = r, row[j + row_stride] = x, row[j + 2 * row_stride] = y, row[j + 3 * row_stride] = z;
        });
        T *row_sum = squared_.reserve(size_t(n_rows));
        for (T *column : {gr, gx, gy, gz}) {
            sums<T>(row + a.first[p], n_rows, row_sum);
            for (int64_t j = 0; j < n_rows; ++j) column[a.first[p] + j] += row_sum[j];
            row += row_stride;
        }
        for (int64_t e = p;; e = q) {
            const int64_t end = a.first[e] + a.count[e];
            for (int64_t i = a.first[e]; i < end; i += L) {
                const V ux = load(a.x + i), uy = load(a.y + i), uz = load(a.z + i), over_r = load(a.inverse_r + i);
                const V x = load(gx + i), y = load(gy + i), z = load(gz + i);
                const V along = load(gr + i) - over_r * (ux * x + uy * y + uz * z);
                scatter(a, i, end, over_r * x + along * ux, over_r * y + along * uy, over_r * z + along * uz, out);
            }
            if (e == q) break;
        }
    }

    static IntVec<T> lane_index() {
        IntVec<T> index;
        for (int l = 0; l < L; ++l) index[l] = l;
        return index;
    }

    void push_angular(const T *in, int64_t stride, T *out, int64_t rows) {
        const int64_t n_terms = n_shells() * n_angles();
        V *shell = vectors(shells_, 2 * kChunk * n_shells()), *angle = vectors(angles_, 2 * kChunk * n_angles());
        V *total = vectors(totals_, n_vectors_ * n_terms + L);
        tangents(in, stride);
        for_element_pairs([&](int64_t p, int64_t q, int64_t feature) {
            const int64_t n = pack_triples(p, q), padded = n + 2 * L;
            const T *changes = pack_changes(p, q, padded);
            for (int64_t k = 0; k < n_vectors_ * n_terms; ++k) total[k] = V{};
            for (int64_t t = 0; t < n; t += kChunk * L) {
                int64_t i = 0;
                for (; i < kChunk && t + i * L < n; ++i) {
                    V *g = shell + 2 * i * n_shells(), *f = angle + 2 * i * n_angles();
                    shells<true>(load(distance_ + t + i * L), g, g + n_shells());
                    angles<true>(load(cosine_ + t + i * L), f, f + n_angles());
                }
                for (int64_t m = 0; m < n_vectors_; ++m)
                    accumulate_change(shell, angle, changes + 3 * m * padded + t, padded, i, total + m * n_terms);
            }
            for (int64_t m = 0; m < n_vectors_; ++m)
                sums<T>(total + m * n_terms, n_terms, out + m * rows + feature);
        });
    }

    // Change of distance and unit vector of every angular neighbour: arrays r, x, y, z for each tangent.
    void tangents(const T *in, int64_t stride) {
        const Neighbours<T> &a = angular_;
        T *memory = buffers_[4].reserve(size_t(4 * n_vectors_ * (a.n + L)));
        std::memset(memory, 0, size_t(4 * n_vectors_ * (a.n + L)) * sizeof(T));
        for (int64_t m = 0; m < n_vectors_; ++m) {
            T *r = memory + 4 * m * (a.n + L), *x = r + a.n + L, *y = x + a.n + L, *z = y + a.n + L;
            for (int64_t i = 0; i < a.n; ++i) {
                if (a.pair[i] < 0) continue;
                const T *v = in + m * stride + 3 * a.pair[i];
                r[i] = v[0] * a.x[i] + v[1] * a.y[i] + v[2] * a.z[i];
                x[i] = a.inverse_r[i] * (v[0] - r[i] * a.x[i]);
                y[i] = a.inverse_r[i] * (v[1] - r[i] * a.y[i]);
                z[i] = a.inverse_r[i] * (v[2] - r[i] * a.z[i]);
            }
        }
    }

    // For each tangent: change of the weight, and weight times change of mean distance and of cosine, packed.
    const T *pack_changes(int64_t p, int64_t q, int64_t padded) {
        const Neighbours<T> &a = angular_;
        T *packed = buffers_[3].reserve(size_t(3 * n_vectors_ * padded));
        for (int64_t m = 0; m < n_vectors_; ++m) {
            const T *r = buffers_[4].data() + 4 * m * (a.n + L), *x = r + a.n + L, *y = x + a.n + L, *z = y + a.n + L;
            T *dw = packed + 3 * m * padded, *wd = dw + padded, *wc = wd + padded;
            const int64_t n = for_rows(p, q, [&](int64_t j, int64_t k, int64_t end, int64_t t) {
                for (; k < end; k += L, t += L) {
                    const V rk = load(r + k), weight = load(weight_ + t);
                    const V dc = load(a.x + k) * x[j] + load(a.y + k) * y[j] + load(a.z + k) * z[j] +
                                 load(x + k) * a.x[j] + load(y + k) * a.y[j] + load(z + k) * a.z[j];
                    store<T>(dw + t, T(2) * (r[j] * a.slope[j] * load(a.cut + k) + a.cut[j] * load(a.slope + k) * rk));
                    store<T>(wd + t, T(0.5) * weight * (r[j] + rk));
                    store<T>(wc + t, T(0.95) * weight * dc);
                }
            });
            for (T *array : {dw, wd, wc}) store<T>(array + n, V{});
        }
        return packed;
    }

    V *vectors(Buffer<T> &buffer, int64_t n) { return reinterpret_cast<V *>(buffer.reserve(size_t(n * L))); }

    const Settings<T> &s_;
    const Graph &graph_;
    const int32_t task_;
    const int64_t n_vectors_;
    Neighbours<T> radial_, angular_;
    std::vector<int64_t> species_;
    T *cosine_ = nullptr, *distance_ = nullptr, *weight_ = nullptr;
    Buffer<T> squared_, slopes_, totals_, shells_, angles_, buffers_[5];
};

// ---------------------------------------------------------------- threads and entry points

// Denormal numbers are flushed to zero while the kernel runs: they cost much and mean nothing here.
class FlushDenormals {
#if defined(__SSE__)
  public:
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(saved_); }

  private:
    unsigned saved_;
#endif
};

template <class T, int kShells, int kAngles>
int run_range(const Settings<T> &settings, const Graph &graph, int32_t task, int64_t n_vectors, const T *in, T *out,
              int64_t begin, int64_t end) noexcept {
    try {
        const FlushDenormals flush;
        Worker<T, kShells, kAngles>(settings, graph, task, n_vectors).run(begin, end, in, out);
        return 0;
    } catch (...) {
        return 1;
    }
}

template <class T>
int run(const Spec &spec, const Graph &graph, int32_t task, int64_t n_vectors, const T *in, T *out, int32_t n_threads) {
    const Settings<T> settings(spec);
    const auto range = spec.n_shells == 8 && spec.n_angles == 8 ? run_range<T, 8, 8> : run_range<T, 0, 0>;
    std::vector<int> failed(size_t(n_threads), 0);
    std::vector<std::thread> threads;
    const auto part = [&](int32_t k) {
        failed[size_t(k)] = range(settings, graph, task, n_vectors, in, out, graph.n_atoms * k / n_threads,
                                  graph.n_atoms * (k + 1) / n_threads);
    };
    for (int32_t k = 1; k < n_threads; ++k) threads.emplace_back(part, k);
    part(0);
    for (std::thread &thread : threads) thread.join();
    for (const int f : failed)
        if (f) return 1;
    return 0;
}

template <class T>
int run_safely(const Spec *spec, const Graph *graph, int32_t task, int64_t n_vectors, const void *in, void *out,
               int32_t n_threads) noexcept {
    try {
        return run<T>(*spec, *graph, task, n_vectors, static_cast<const T *>(in), static_cast<T *>(out), n_threads);
    } catch (...) {
        return 1;
    }
}

}  // namespace

extern "C" {

// What the CPU must offer, in the words of /proc/cpuinfo: data, so that it can be read before any code runs.
extern const char smelter_required_cpu_flags[];
const char smelter_required_cpu_flags[] = SMELTER_REQUIRED_CPU_FLAGS;

// Task 0: out = descriptors (n_atoms, n_features). Task 1: in (n_vectors, n_atoms, n_features) times the Jacobian,
// out (n_vectors, n_pairs, 3). Task 2: the Jacobian times in (n_vectors, n_pairs, 3), out (n_vectors, n_atoms,
// n_features). Returns 0, or 1 when memory or threads could not be had.
int smelter_descriptors_float32(const Spec *spec, const Graph *graph, int32_t task, int64_t n_vectors, const void *in,
                                void *out, int32_t n_threads) {
    return run_safely<float>(spec, graph, task, n_vectors, in, out, n_threads);
}

int smelter_descriptors_float64(const Spec *spec, const Graph *graph, int32_t task, int64_t n_vectors, const void *in,
                                void *out, int32_t n_threads) {
    return run_safely<double>(spec, graph, task, n_vectors, in, out, n_threads);
}
}
