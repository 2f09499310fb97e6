"""Tiles of blocks that hold one row of X in each lane of a vector register.

Such a block is (n_features + 1, block): a column of X is contiguous, and few features or classes
need no padding. `simd_dense` says why LLVM is handed the vector instructions themselves.

The functions neither check bounds nor know what a row of X is: `tall` does.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import IS_INTERPRETED
from .registers import N_REGISTERS, REGISTER_BYTES
from .simd_dense import (
    INDEX,
    converted,
    element,
    emit_prefetch,
    n_bytes,
    pointer,
    store_columns,
    transposed,
    vector_at,
)

# Heights and widths of tiles of inner products. A tile's height * width registers of sums, `width`
# of the right factor and one of the left fit the register file. Every shape is compiled.
DOT_HEIGHTS, DOT_WIDTHS = ((4, 3, 2, 1), (4, 2, 1)) if N_REGISTERS == 32 else ((3, 2, 1), (3, 1))
_LANE = ir.IntType(32)


def _load_transposed(typing_context, source, first, shift, column, target, place, ahead):
    """Set target[column + a, place + b] = source[first + b, column + a] - shift[column + a].

    a and b go over the lanes of the target's dtype; the difference is formed in float64. The rows
    that come `ahead` rows later are prefetched.
    """
    integer = types.int64
    signature = types.void(source, integer, shift, integer, target, integer, integer)

    def generate(context, builder, signature, args):
        source, target = (
            pointer(context, builder, signature.args[n], args[n]) for n in (0, 4)
        )
        first, column, place, ahead = args[1], args[3], args[5], args[6]
        shift = context.make_array(signature.args[2])(context, builder, args[2]).data
        number = target[0].type.pointee
        lanes = REGISTER_BYTES // n_bytes(number)
        kind, exact, given = (
            ir.VectorType(base, lanes)
            for base in (number, ir.DoubleType(), source[0].type.pointee)
        )
        at = vector_at(builder, builder.gep(shift, [column]), 0, exact)
        mean = builder.load(at, align=8)
        vectors = []
        for b in range(lanes):
            row = builder.add(first, INDEX(b))
            at = vector_at(builder, element(builder, *source, row, column), 0, given)
            emit_prefetch(builder, element(builder, *source, builder.add(row, ahead), column))
            vector = converted(builder, builder.load(at, align=n_bytes(given.element)), exact)
            vectors.append(converted(builder, builder.fsub(vector, mean), kind))
        store_columns(builder, transposed(builder, vectors), target, place, column)
        return context.get_dummy_value()

    return signature, generate


def _total(builder, vector):
    """Return the sum of the lanes, by halves."""
    n = vector.type.count
    while n > 1:
        n //= 2
        order = ir.Constant(ir.VectorType(_LANE, n), [_LANE(n + lane) for lane in range(n)])
        first = ir.Constant(ir.VectorType(_LANE, n), [_LANE(lane) for lane in range(n)])
        high, low = (builder.shuffle_vector(vector, vector, mask) for mask in (order, first))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, _LANE(0))


def _emit_dots(builder, height, width, left, right, out, length, ahead, end):
    """Emit one tile: out[m, n] += sum over t of left[m, t] right[n, t]."""
    (left_at, left_row), (right_at, right_row), (out_at, out_row) = left, right, out
    kind = ir.VectorType(left_at.type.pointee, REGISTER_BYTES // n_bytes(left_at.type.pointee))
    align, fused = n_bytes(kind.element), {"flags": ("contract",)}
    entry = builder.block
    loop = builder.append_basic_block("dots.loop")
    done = builder.append_basic_block("dots.done")
    left_rows = [builder.gep(left_at, [builder.mul(INDEX(m), left_row)]) for m in range(height)]
    right_rows = [builder.gep(right_at, [builder.mul(INDEX(n), right_row)]) for n in range(width)]
    builder.branch(loop)

    builder.position_at_end(loop)
    t = builder.phi(INDEX)
    t.add_incoming(INDEX(0), entry)
    sums = [[builder.phi(kind) for _ in range(width)] for _ in range(height)]
    for row in sums:
        for cell in row:
            cell.add_incoming(ir.Constant(kind, None), entry)

    def vector(row):
        return builder.load(vector_at(builder, builder.gep(row, [t]), 0, kind), align=align)

    vectors = [vector(row) for row in right_rows]
    new = []
    for m in range(height):
        factor = vector(left_rows[m])
        new.append([
            builder.fadd(builder.fmul(factor, vectors[n], **fused), sums[m][n], **fused)
            for n in range(width)
        ])
    address, stride = ahead
    address = builder.add(address, builder.mul(builder.udiv(t, INDEX(kind.count)), stride))
    for offset in (0, 64):
        at = builder.add(address, INDEX(offset))
        emit_prefetch(builder, builder.inttoptr(at, ir.IntType(8).as_pointer()))
    following = builder.add(t, INDEX(kind.count))
    t.add_incoming(following, loop)
    for m in range(height):
        for n in range(width):
            sums[m][n].add_incoming(new[m][n], loop)
    builder.cbranch(builder.icmp_signed("<", following, length), loop, done)

    builder.position_at_end(done)
    for m in range(height):
        for n in range(width):
            at = builder.gep(out_at, [builder.add(builder.mul(INDEX(m), out_row), INDEX(n))])
            value = _total(builder, new[m][n])
            if out_at.type.pointee != kind.element:
                value = builder.fpext(value, out_at.type.pointee)
            builder.store(builder.fadd(builder.load(at), value), at)
    builder.branch(end)


def _add_dots(
    typing_context, height, width, left, row, right, column, length, out, address, stride
):
    """Add left[row:row + height] @ right[column:column + width].T to this part of out.

    length : number of columns of the factors to sum over, a positive multiple of the lanes. Sums
        are formed in the factors' dtype; `out` has this dtype, or float64.
    address, stride : in bytes; step s of the loop also prefetches the cache line at address +
        s stride, and the next one.
    """
    two, integer = [types.int64] * 2, types.int64
    signature = types.void(*two, left, integer, right, integer, integer, out, *two)

    def generate(context, builder, signature, args):
        tile_height, tile_width, _, row, _, column, length = args[:7]
        ahead = args[8:]
        left, right, out = (
            pointer(context, builder, signature.args[n], args[n]) for n in (2, 4, 7)
        )
        left = element(builder, *left, row, INDEX(0)), left[1]
        right = element(builder, *right, column, INDEX(0)), right[1]
        out = element(builder, *out, row, column), out[1]
        end = builder.append_basic_block("dots.end")
        n_widths = max(DOT_WIDTHS) + 1
        switch = builder.switch(
            builder.add(builder.mul(tile_height, INDEX(n_widths)), tile_width), end
        )
        for height in DOT_HEIGHTS:
            for width in DOT_WIDTHS:
                block = builder.append_basic_block(f"dots.{height}x{width}")
                switch.add_case(INDEX(height * n_widths + width), block)
                builder.position_at_end(block)
                _emit_dots(builder, height, width, left, right, out, length, ahead, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


if IS_INTERPRETED:    # the same in NumPy, for NUMBA_DISABLE_JIT=1

    def load_transposed(source, first, shift, column, target, place, ahead):
        """See `_load_transposed`."""
        lanes = REGISTER_BYTES // target.itemsize
        columns = slice(column, column + lanes)
        tile = source[first:first + lanes, columns] - shift[columns]
        target[columns, place:place + lanes] = np.transpose(tile)

    def add_dots(height, width, left, row, right, column, length, out, *ahead):
        """See `_add_dots`."""
        rows, columns = slice(row, row + height), slice(column, column + width)
        out[rows, columns] += left[rows, :length] @ right[columns, :length].T

else:
    load_transposed = intrinsic(_load_transposed)
    add_dots = intrinsic(_add_dots)
