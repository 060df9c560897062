// What neighbour lists and forces need of pairs, each in one pass; potentials/kernels/pairs.py calls it.

#include <algorithm>
#include <cstdint>

namespace {

template <class T>
void forces(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour, int64_t n_vectors, const T *gradient,
            T *out) {
    const int64_t n_pairs = first_pair[n_atoms];
    std::fill(out, out + 3 * n_atoms * n_vectors, T(0));
    for (int64_t m = 0; m < n_vectors; ++m, gradient += 3 * n_pairs, out += 3 * n_atoms)
        for (int64_t i = 0; i < n_atoms; ++i) {
            T x = 0, y = 0, z = 0;
            for (int64_t p = first_pair[i]; p < first_pair[i + 1]; ++p) {
                const T *g = gradient + 3 * p;
                T *other = out + 3 * neighbour[p];
                x += g[0], y += g[1], z += g[2];
                other[0] -= g[0], other[1] -= g[1], other[2] -= g[2];
            }
            out[3 * i] += x, out[3 * i + 1] += y, out[3 * i + 2] += z;
        }
}

template <class T>
void vectors(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour, const T *position, const T *offset,
             T *out) {
    for (int64_t i = 0; i < n_atoms; ++i)
        for (int64_t p = first_pair[i]; p < first_pair[i + 1]; ++p)
            for (int d = 0; d < 3; ++d)
                out[3 * p + d] = position[3 * neighbour[p] + d] - position[3 * i + d] + offset[3 * p + d];
}

}  // namespace

extern "C" {

// out (n_pairs, 3): position of the neighbour, less that of the centre, plus offset (n_pairs, 3).
void smelter_vectors_float32(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour,
                             const float *position, const float *offset, float *out) {
    vectors(n_atoms, first_pair, neighbour, position, offset, out);
}

void smelter_vectors_float64(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour,
                             const double *position, const double *offset, double *out) {
    vectors(n_atoms, first_pair, neighbour, position, offset, out);
}

// out (n_vectors, n_atoms, 3): the sum of gradient (n_vectors, n_pairs, 3) over the pairs an atom is the centre of,
// less that over the pairs it is the neighbour of.
void smelter_forces_float32(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour, int64_t n_vectors,
                            const float *gradient, float *out) {
    forces(n_atoms, first_pair, neighbour, n_vectors, gradient, out);
}

void smelter_forces_float64(int64_t n_atoms, const int64_t *first_pair, const int64_t *neighbour, int64_t n_vectors,
                            const double *gradient, double *out) {
    forces(n_atoms, first_pair, neighbour, n_vectors, gradient, out);
}

// From pairs (n, 2) listed once, with the cell each neighbour is in, shift (n, 3): all 2n pairs sorted by centre, and
// where those of each centre begin, first_pair (n_atoms + 1). box: cell vectors as rows.
void smelter_both_ends(int64_t n_atoms, int64_t n, const uint64_t *pairs, const int32_t *shift, const double *box,
                       int64_t *first_pair, int64_t *centre, int64_t *neighbour, double *offset) {
    std::fill(first_pair, first_pair + n_atoms + 1, 0);
    for (int64_t k = 0; k < 2 * n; ++k) ++first_pair[pairs[k] + 1];
    for (int64_t i = 0; i < n_atoms; ++i) first_pair[i + 1] += first_pair[i];
    for (int end = 0; end < 2; ++end)
        for (int64_t k = 0; k < n; ++k) {
            const int64_t here = int64_t(pairs[2 * k + end]), place = first_pair[here]++;
            const int32_t *s = shift + 3 * k;
            centre[place] = here, neighbour[place] = int64_t(pairs[2 * k + 1 - end]);
            for (int d = 0; d < 3; ++d) {
                const double along = s[0] * box[d] + s[1] * box[3 + d] + s[2] * box[6 + d];
                offset[3 * place + d] = end ? -along : along;
            }
        }
    for (int64_t i = n_atoms; i > 0; --i) first_pair[i] = first_pair[i - 1];
    first_pair[0] = 0;
}
}
