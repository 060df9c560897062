"""The Triton programs of `potentials.kernels.triton`: what one program does for one atom.

Triples lie along the last axis of every tile, one to a lane; shells and angles along the others. With one
warp to a program a lane then keeps all its sums in registers, and lanes meet only once, at the end. Every
result belongs to one program, so nothing is added atomically and equal input gives equal bits.

Names in capitals are known when a program is compiled. A program's neighbours are counted from 0 in 32 bits,
from the first pair of its atom, whose place takes 64.
"""

from __future__ import annotations

import triton
import triton.language as tl

COLUMNS = 6
"""What `sort_neighbours` keeps of each pair: unit vector (3), length, angular cutoff function, its slope."""

SIZES = ["n_atoms", "n_pairs"]
"""Arguments that change too often for programs to be compiled for their divisors."""


@triton.jit  # type: ignore[untyped-decorator]
def _cutoff(length: tl.tensor, CUTOFF: tl.constexpr) -> tl.tensor:
    """Return the cutoff function and its derivative; what is no number stays none."""
    phase = length * (3.141592653589793 / CUTOFF)
    outside = length >= CUTOFF
    value = tl.where(outside, 0.0, 0.5 + 0.5 * tl.cos(phase))
    return value, tl.where(outside, 0.0, (-0.5 * 3.141592653589793 / CUTOFF) * tl.sin(phase))


@triton.jit  # type: ignore[untyped-decorator]
def _gaussians(length: tl.tensor, shifts: tl.tensor, ETA: tl.constexpr) -> tl.tensor:
    """Return exp(−η(length − shift)²) and its derivative, shape (shifts, lanes)."""
    offset = length[None, :] - shifts[:, None]
    value = tl.exp(-ETA * offset * offset)
    return value, (-2.0 * ETA) * offset * value


@triton.jit  # type: ignore[untyped-decorator]
def _angle_terms(
    cosine: tl.tensor, cos_z: tl.tensor, sin_z: tl.tensor, ZETA: tl.constexpr, DAMPING: tl.constexpr
) -> tl.tensor:
    """Return ((1 + cos(θ − θ_z))/2)^ζ and its derivative by the true cosine, shape (angles, lanes)."""
    damped = DAMPING * cosine
    sine = tl.sqrt(1.0 - damped * damped)
    tangent = damped / sine
    base = 0.5 + 0.5 * (damped[None, :] * cos_z[:, None] + sine[None, :] * sin_z[:, None])
    base = tl.where(base < 1e-30, 1e-30, base)
    power = tl.exp((ZETA - 1.0) * tl.log(base))
    slope = (0.5 * DAMPING) * (cos_z[:, None] - tangent[None, :] * sin_z[:, None])
    return power * base, ZETA * power * slope


@triton.jit  # type: ignore[untyped-decorator]
def _row_and_column(triple: tl.tensor) -> tl.tensor:
    """Return j > k of number j (j − 1)/2 + k; the root may be off by one in single precision."""
    row = ((1.0 + tl.sqrt(8.0 * triple.to(tl.float32) + 1.0)) * 0.5).to(tl.int32)
    row = tl.where(row * (row - 1) // 2 > triple, row - 1, row)
    row = tl.where(row * (row + 1) // 2 <= triple, row + 1, row)
    return row, triple - row * (row - 1) // 2


@triton.jit  # type: ignore[untyped-decorator]
def _column(
    columns: tl.tensor, NUMBER: tl.constexpr, n_pairs: tl.tensor, slot: tl.tensor, inside: tl.tensor
) -> tl.tensor:
    return tl.load(columns + NUMBER * n_pairs + slot, mask=inside, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _direction(columns: tl.tensor, n_pairs: tl.tensor, slot: tl.tensor, inside: tl.tensor) -> tl.tensor:
    x = _column(columns, 0, n_pairs, slot, inside)
    y = _column(columns, 1, n_pairs, slot, inside)
    return x, y, _column(columns, 2, n_pairs, slot, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _lengths(columns: tl.tensor, n_pairs: tl.tensor, slot: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """Return length, angular cutoff function and its slope."""
    length = _column(columns, 3, n_pairs, slot, inside)
    cut = _column(columns, 4, n_pairs, slot, inside)
    return length, cut, _column(columns, 5, n_pairs, slot, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _pair_number(order: tl.tensor, first: tl.tensor, slot: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """Return the place in the graph of a neighbour in sorted order."""
    return first + tl.load(order + slot, mask=inside, other=0)


@triton.jit  # type: ignore[untyped-decorator]
def _vector(vectors: tl.tensor, pair: tl.tensor, inside: tl.tensor) -> tl.tensor:
    x = tl.load(vectors + 3 * pair, mask=inside, other=0.0)
    y = tl.load(vectors + 3 * pair + 1, mask=inside, other=0.0)
    return x, y, tl.load(vectors + 3 * pair + 2, mask=inside, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _element_pair(p: tl.tensor, q: tl.tensor, N_ELEMENTS: tl.constexpr) -> tl.tensor:
    """Return the number of an unordered pair of elements: the upper triangle by rows."""
    low, high = tl.minimum(p, q), tl.maximum(p, q)
    return low * (2 * N_ELEMENTS - low - 1) // 2 + high


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def sort_neighbours(
    species: tl.tensor,
    first_pair: tl.tensor,
    neighbour: tl.tensor,
    vector: tl.tensor,
    ends: tl.tensor,
    order: tl.tensor,
    columns: tl.tensor,
    n_pairs: tl.tensor,
    SHORTEST: tl.constexpr,
    RADIAL_CUTOFF: tl.constexpr,
    ANGULAR_CUTOFF: tl.constexpr,
    N_ELEMENTS: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Sort one atom's neighbours: by element, of each those inside the angular cutoff first; drop the skin.

    ``ends`` (2 n_elements + 1 to an atom) begins with 0; then come, for each element, the ends of its angular
    and of all its neighbours. ``order`` is the place of each among the atom's pairs.
    """
    atom = tl.program_id(0).to(tl.int64)
    first = tl.load(first_pair + atom)
    count = (tl.load(first_pair + atom + 1) - first).to(tl.int32)
    ends += atom * (2 * N_ELEMENTS + 1)
    order += first
    columns += first
    n_pairs = n_pairs.to(tl.int64)
    lane = tl.arange(0, LANES)
    placed = count * 0
    tl.store(ends, placed)
    for part in range(2 * N_ELEMENTS):
        for start in range(0, count, LANES):
            place = start + lane
            inside = place < count
            x, y, z = _vector(vector, first + place, inside)
            norm = tl.sqrt(x * x + y * y + z * z)
            length = tl.where(norm < SHORTEST, SHORTEST, norm)
            element = tl.load(
                species + tl.load(neighbour + first + place, mask=inside, other=0), mask=inside, other=-1
            )
            outside = length >= RADIAL_CUTOFF
            beyond_angular = (length >= ANGULAR_CUTOFF).to(tl.int32)
            chosen = inside & (element == part // 2) & (beyond_angular == part % 2) & (outside == 0)
            slot = placed + tl.cumsum(chosen.to(tl.int32), 0) - 1
            cut, slope = _cutoff(length, ANGULAR_CUTOFF)
            tl.store(order + slot, place, mask=chosen)
            tl.store(columns + slot, x / length, mask=chosen)
            tl.store(columns + n_pairs + slot, y / length, mask=chosen)
            tl.store(columns + 2 * n_pairs + slot, z / length, mask=chosen)
            tl.store(columns + 3 * n_pairs + slot, length, mask=chosen)
            tl.store(columns + 4 * n_pairs + slot, cut, mask=chosen)
            tl.store(columns + 5 * n_pairs + slot, slope, mask=chosen)
            placed += tl.sum(chosen.to(tl.int32), 0)
        tl.store(ends + part + 1, placed)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def sum_features(
    first_pair: tl.tensor,
    ends: tl.tensor,
    order: tl.tensor,
    columns: tl.tensor,
    shifts: tl.tensor,
    tangent: tl.tensor,
    result: tl.tensor,
    n_atoms: tl.tensor,
    n_pairs: tl.tensor,
    PUSH: tl.constexpr,
    N_ELEMENTS: tl.constexpr,
    N_RADIAL: tl.constexpr,
    N_SHELLS: tl.constexpr,
    N_ANGLES: tl.constexpr,
    RADIAL_TILE: tl.constexpr,
    SHELL_TILE: tl.constexpr,
    ANGLE_TILE: tl.constexpr,
    RADIAL_CUTOFF: tl.constexpr,
    RADIAL_ETA: tl.constexpr,
    ANGULAR_ETA: tl.constexpr,
    ZETA: tl.constexpr,
    RADIAL_FACTOR: tl.constexpr,
    ANGULAR_FACTOR: tl.constexpr,
    DAMPING: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Sum the features of one atom or, where PUSH, their change along one tangent."""
    atom = tl.program_id(0).to(tl.int64)
    number = tl.program_id(1).to(tl.int64)
    n_pairs = n_pairs.to(tl.int64)
    first = tl.load(first_pair + atom)
    ends += atom * (2 * N_ELEMENTS + 1)
    order += first
    columns += first
    tangent += number * n_pairs * 3
    N_PAIR_TERMS: tl.constexpr = N_SHELLS * N_ANGLES
    N_FEATURES: tl.constexpr = N_ELEMENTS * N_RADIAL + N_ELEMENTS * (N_ELEMENTS + 1) // 2 * N_PAIR_TERMS
    result += (number * n_atoms + atom) * N_FEATURES
    lane = tl.arange(0, LANES)
    DTYPE: tl.constexpr = columns.dtype.element_ty

    radial = tl.arange(0, RADIAL_TILE)
    for element in range(N_ELEMENTS):
        begin, end = tl.load(ends + 2 * element), tl.load(ends + 2 * element + 2)
        for tile in range(0, N_RADIAL, RADIAL_TILE):
            is_shell = tile + radial < N_RADIAL
            shift = tl.load(shifts + tile + radial, mask=is_shell, other=0.0)
            total = tl.zeros([RADIAL_TILE, LANES], dtype=DTYPE)
            for start in range(begin, end, LANES):
                slot = start + lane
                inside = slot < end
                length = _column(columns, 3, n_pairs, slot, inside)
                value, d_value = _gaussians(length, shift, RADIAL_ETA)
                cut, d_cut = _cutoff(length, RADIAL_CUTOFF)
                if PUSH:
                    x, y, z = _direction(columns, n_pairs, slot, inside)
                    tx, ty, tz = _vector(tangent, _pair_number(order, first, slot, inside), inside)
                    stretch = tl.where(inside, x * tx + y * ty + z * tz, 0.0)
                    total += (d_value * cut[None, :] + value * d_cut[None, :]) * stretch[None, :]
                else:
                    total += value * tl.where(inside, cut, 0.0)[None, :]
            where = result + element * N_RADIAL + tile + radial
            tl.store(where, RADIAL_FACTOR * tl.sum(total, 1), mask=is_shell)

    shell_number, angle_number = tl.arange(0, SHELL_TILE), tl.arange(0, ANGLE_TILE)
    is_angle = angle_number < N_ANGLES
    cos_z = tl.load(shifts + N_RADIAL + N_SHELLS + angle_number, mask=is_angle, other=0.0)
    sin_z = tl.load(shifts + N_RADIAL + N_SHELLS + N_ANGLES + angle_number, mask=is_angle, other=0.0)
    for p in range(N_ELEMENTS):
        p_begin = tl.load(ends + 2 * p)
        n_p = tl.load(ends + 2 * p + 1) - p_begin
        for q in range(p, N_ELEMENTS):
            q_begin = tl.load(ends + 2 * q)
            n_q = tl.load(ends + 2 * q + 1) - q_begin
            n_triples = tl.where(p == q, n_p * (n_p - 1) // 2, n_p * n_q)
            feature = N_ELEMENTS * N_RADIAL + _element_pair(p, q, N_ELEMENTS) * N_PAIR_TERMS
            for tile in range(0, N_SHELLS, SHELL_TILE):
                is_shell = tile + shell_number < N_SHELLS
                shift = tl.load(shifts + N_RADIAL + tile + shell_number, mask=is_shell, other=0.0)
                total = tl.zeros([SHELL_TILE, ANGLE_TILE, LANES], dtype=DTYPE)
                for start in range(0, n_triples, LANES):
                    triple = start + lane
                    inside = triple < n_triples
                    j, k = _row_and_column(triple)
                    if N_ELEMENTS > 1:
                        j = tl.where(p == q, j, triple // tl.maximum(n_q, 1))
                        k = tl.where(p == q, k, triple % tl.maximum(n_q, 1))
                    j += p_begin
                    k += q_begin
                    jx, jy, jz = _direction(columns, n_pairs, j, inside)
                    kx, ky, kz = _direction(columns, n_pairs, k, inside)
                    j_length, j_cut, j_slope = _lengths(columns, n_pairs, j, inside)
                    k_length, k_cut, k_slope = _lengths(columns, n_pairs, k, inside)
                    cosine = jx * kx + jy * ky + jz * kz
                    weight = j_cut * k_cut
                    shell, d_shell = _gaussians(0.5 * (j_length + k_length), shift, ANGULAR_ETA)
                    angle, d_angle = _angle_terms(cosine, cos_z, sin_z, ZETA, DAMPING)
                    if PUSH:
                        vx, vy, vz = _vector(tangent, _pair_number(order, first, j, inside), inside)
                        wx, wy, wz = _vector(tangent, _pair_number(order, first, k, inside), inside)
                        j_stretch = jx * vx + jy * vy + jz * vz
                        k_stretch = kx * wx + ky * wy + kz * wz
                        j_turn = kx * vx + ky * vy + kz * vz - cosine * j_stretch
                        k_turn = jx * wx + jy * wy + jz * wz - cosine * k_stretch
                        j_over = 1.0 / tl.where(inside, j_length, 1.0)
                        k_over = 1.0 / tl.where(inside, k_length, 1.0)
                        turn = weight * (j_turn * j_over + k_turn * k_over)
                        change = j_slope * k_cut * j_stretch + j_cut * k_slope * k_stretch
                        mean = 0.5 * weight * (j_stretch + k_stretch)
                        by_shell = change[None, :] * shell + mean[None, :] * d_shell
                        total += by_shell[:, None, :] * angle[None, :, :]
                        total += shell[:, None, :] * (turn[None, :] * d_angle)[None, :, :]
                    else:
                        total += (weight[None, :] * shell)[:, None, :] * angle[None, :, :]
                term = (tile + shell_number)[:, None] * N_ANGLES + angle_number[None, :]
                is_term = is_shell[:, None] & is_angle[None, :]
                tl.store(result + feature + term, ANGULAR_FACTOR * tl.sum(total, 2), mask=is_term)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def pull_back(
    first_pair: tl.tensor,
    ends: tl.tensor,
    order: tl.tensor,
    columns: tl.tensor,
    shifts: tl.tensor,
    cotangent: tl.tensor,
    result: tl.tensor,
    n_atoms: tl.tensor,
    n_pairs: tl.tensor,
    N_ELEMENTS: tl.constexpr,
    N_RADIAL: tl.constexpr,
    N_SHELLS: tl.constexpr,
    N_ANGLES: tl.constexpr,
    RADIAL_TILE: tl.constexpr,
    SHELL_TILE: tl.constexpr,
    ANGLE_TILE: tl.constexpr,
    RADIAL_CUTOFF: tl.constexpr,
    RADIAL_ETA: tl.constexpr,
    ANGULAR_ETA: tl.constexpr,
    ZETA: tl.constexpr,
    RADIAL_FACTOR: tl.constexpr,
    ANGULAR_FACTOR: tl.constexpr,
    DAMPING: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Pull one cotangent back to the pairs of one atom.

    A lane owns the pair j and visits every other pair k, so each triple is met twice, once for either pair.
    """
    atom = tl.program_id(0).to(tl.int64)
    number = tl.program_id(1).to(tl.int64)
    n_pairs = n_pairs.to(tl.int64)
    first = tl.load(first_pair + atom)
    ends += atom * (2 * N_ELEMENTS + 1)
    order += first
    columns += first
    result += number * n_pairs * 3
    N_PAIR_TERMS: tl.constexpr = N_SHELLS * N_ANGLES
    N_FEATURES: tl.constexpr = N_ELEMENTS * N_RADIAL + N_ELEMENTS * (N_ELEMENTS + 1) // 2 * N_PAIR_TERMS
    cotangent += (number * n_atoms + atom) * N_FEATURES
    DTYPE: tl.constexpr = columns.dtype.element_ty
    lane = tl.arange(0, LANES)
    radial = tl.arange(0, RADIAL_TILE)
    shell_number, angle_number = tl.arange(0, SHELL_TILE), tl.arange(0, ANGLE_TILE)
    is_angle = angle_number < N_ANGLES
    cos_z = tl.load(shifts + N_RADIAL + N_SHELLS + angle_number, mask=is_angle, other=0.0)
    sin_z = tl.load(shifts + N_RADIAL + N_SHELLS + N_ANGLES + angle_number, mask=is_angle, other=0.0)

    for p in range(N_ELEMENTS):
        p_begin, p_near = tl.load(ends + 2 * p), tl.load(ends + 2 * p + 1)
        p_end = tl.load(ends + 2 * p + 2)
        for start in range(p_begin, p_end, LANES):
            slot = start + lane
            inside = slot < p_end
            x, y, z = _direction(columns, n_pairs, slot, inside)
            length, cut, slope = _lengths(columns, n_pairs, slot, inside)
            length = tl.where(inside, length, 1.0)
            radial_cut, d_radial_cut = _cutoff(length, RADIAL_CUTOFF)
            along = tl.zeros([LANES], dtype=DTYPE)
            for tile in range(0, N_RADIAL, RADIAL_TILE):
                is_shell = tile + radial < N_RADIAL
                shift = tl.load(shifts + tile + radial, mask=is_shell, other=0.0)
                by_shell = tl.load(cotangent + p * N_RADIAL + tile + radial, mask=is_shell, other=0.0)
                value, d_value = _gaussians(length, shift, RADIAL_ETA)
                change = d_value * radial_cut[None, :] + value * d_radial_cut[None, :]
                along += RADIAL_FACTOR * tl.sum(by_shell[:, None] * change, 0)

            gx, gy, gz = along * 0.0, along * 0.0, along * 0.0
            for q in range(N_ELEMENTS):
                q_begin = tl.load(ends + 2 * q)
                q_near = tl.where(start < p_near, tl.load(ends + 2 * q + 1), q_begin)
                feature = N_ELEMENTS * N_RADIAL + _element_pair(p, q, N_ELEMENTS) * N_PAIR_TERMS
                for tile in range(0, N_SHELLS, SHELL_TILE):
                    is_shell = tile + shell_number < N_SHELLS
                    shift = tl.load(shifts + N_RADIAL + tile + shell_number, mask=is_shell, other=0.0)
                    term = (tile + shell_number)[:, None] * N_ANGLES + angle_number[None, :]
                    is_term = is_shell[:, None] & is_angle[None, :]
                    by_term = tl.load(cotangent + feature + term, mask=is_term, other=0.0)[:, :, None]
                    for k in range(q_begin, q_near):
                        kx, ky, kz = _direction(columns, n_pairs, k, True)
                        k_length, k_cut, _ = _lengths(columns, n_pairs, k, True)
                        factor = tl.where(slot == k, 0.0, ANGULAR_FACTOR * k_cut)
                        weight = factor * cut
                        cosine = x * kx + y * ky + z * kz
                        shell, d_shell = _gaussians(0.5 * (length + k_length), shift, ANGULAR_ETA)
                        angle, d_angle = _angle_terms(cosine, cos_z, sin_z, ZETA, DAMPING)
                        over_angles = tl.sum(by_term * angle[None, :, :], 1)
                        over_slopes = tl.sum(by_term * d_angle[None, :, :], 1)
                        along += factor * slope * tl.sum(over_angles * shell, 0)
                        along += 0.5 * weight * tl.sum(over_angles * d_shell, 0)
                        turn = weight * tl.sum(over_slopes * shell, 0)
                        gx += turn * kx
                        gy += turn * ky
                        gz += turn * kz
            along -= (x * gx + y * gy + z * gz) / length
            pair = _pair_number(order, first, slot, inside)
            tl.store(result + 3 * pair, gx / length + along * x, mask=inside)
            tl.store(result + 3 * pair + 1, gy / length + along * y, mask=inside)
            tl.store(result + 3 * pair + 2, gz / length + along * z, mask=inside)
