"""Small matrix products and transposes in SIMD registers.

LLVM vectorises an innermost loop, but does not keep a tile of sums in registers
across the loop around it, nor transpose in registers. Without the first, a matrix
product runs at a third of the machine's rate. So these functions hand LLVM the vector
instructions themselves, as `simd_sparse` does. All other code relies on LLVM's vectoriser.

The functions neither check bounds nor know what a row of X is: `tiles` does.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import IS_INTERPRETED
from .registers import N_REGISTERS, REGISTER_BYTES

# Tile widths in registers -> the heights of tiles of this width. A tile's height * width
# registers of sums, `width` of the right factor and one of the left fit the register file (32
# registers with AVX-512 and NEON, 16 with AVX and SSE). The largest tile of each width has at
# least eight sums, enough to keep two multipliers of latency four busy. Every shape is
# compiled, so there are few.
_SHAPES = (
    {4: (1, 2, 3, 4, 5, 6), 2: (1, 2, 4, 8), 1: (1, 2, 4, 8)}
    if N_REGISTERS == 32
    else {2: (1, 2, 3, 4, 5, 6), 1: (1, 2, 4, 8)}
)
MAX_WIDTH = max(_SHAPES)
# HEIGHTS[width][n]: height of the next tile where n rows are left; as even as possible at
# the greatest width (10 rows are 5 + 5, not 6 + 4).
# MAX_ROWS is the largest n in the table; with more rows left, use HEIGHTS[width][MAX_ROWS].
MAX_ROWS = 16
HEIGHTS = np.zeros((MAX_WIDTH + 1, MAX_ROWS + 1), dtype=np.int64)
for _width, _heights in _SHAPES.items():
    for _rows in range(1, MAX_ROWS + 1):
        _most = -(-_rows // -(-_rows // max(_heights)))
        HEIGHTS[_width, _rows] = max(h for h in _heights if h <= _most)
HEIGHTS.flags.writeable = False

INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


def pointer(context, builder, kind, array):
    """Return (pointer to the first element, elements per row) of a 2-D C-contiguous array."""
    view = context.make_array(kind)(context, builder, array)
    return view.data, cgutils.unpack_tuple(builder, view.shape)[1]


def element(builder, base, row_length, row, column):
    """Return a pointer to element [row, column] of the array at `base`."""
    return builder.gep(base, [builder.add(builder.mul(row, row_length), column)])


def vector_at(builder, pointer, offset, kind):
    """Return a pointer to the vector of type `kind`, `offset` elements after `pointer`."""
    return builder.bitcast(builder.gep(pointer, [INDEX(offset)]), kind.as_pointer())


def broadcast(builder, scalar, kind):
    """Return a vector of type `kind` with `scalar` in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _LANE(0))
    zeros = ir.Constant(ir.VectorType(_LANE, kind.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def emit_prefetch(builder, address):
    """Emit a prefetch of the cache line at the pointer `address` into L2; it never faults."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(prefetch, [builder.bitcast(address, byte), flag(0), flag(2), flag(1)])


def _emit_tile(builder, height, width, left, right, out, bounds, ahead, end):
    """Emit one tile: out[:height, :width vectors] += left[:height, t] right[t, :] over t."""
    (left_at, left_row, left_step), (right_at, right_row), (out_at, out_row) = left, right, out
    kind = ir.VectorType(left_at.type.pointee, REGISTER_BYTES // n_bytes(left_at.type.pointee))
    out_kind = ir.VectorType(out_at.type.pointee, kind.count)
    entry = builder.block
    loop = builder.append_basic_block("tile.loop")
    done = builder.append_basic_block("tile.done")
    left_rows = [builder.gep(left_at, [builder.mul(INDEX(m), left_row)]) for m in range(height)]
    builder.branch(loop)

    builder.position_at_end(loop)
    t = builder.phi(INDEX)
    t.add_incoming(bounds[0], entry)
    sums = [[builder.phi(kind) for _ in range(width)] for _ in range(height)]
    for row in sums:
        for cell in row:
            cell.add_incoming(ir.Constant(kind, None), entry)
    left_now = builder.mul(t, left_step)
    right_now = builder.gep(right_at, [builder.mul(t, right_row)])
    vectors = [
        builder.load(
            vector_at(builder, right_now, w * kind.count, kind), align=n_bytes(kind.element)
        )
        for w in range(width)
    ]
    fused = {"flags": ("contract",)}
    new = []
    for m in range(height):
        scalar = builder.load(builder.gep(left_rows[m], [left_now]))
        factor = broadcast(builder, scalar, kind)
        new.append([
            builder.fadd(builder.fmul(factor, vectors[w], **fused), sums[m][w], **fused)
            for w in range(width)
        ])
    address, stride = ahead
    address = builder.add(address, builder.mul(t, stride))
    emit_prefetch(builder, builder.inttoptr(address, ir.IntType(8).as_pointer()))
    following = builder.add(t, INDEX(1))
    t.add_incoming(following, loop)
    for m in range(height):
        for w in range(width):
            sums[m][w].add_incoming(new[m][w], loop)
    builder.cbranch(builder.icmp_signed("<", following, bounds[1]), loop, done)

    builder.position_at_end(done)
    for m in range(height):
        out_now = builder.gep(out_at, [builder.mul(INDEX(m), out_row)])
        for w in range(width):
            place = vector_at(builder, out_now, w * kind.count, out_kind)
            value = new[m][w]
            if out_kind != kind:
                value = builder.fpext(value, out_kind)
            aligned = {"align": n_bytes(out_kind.element)}
            builder.store(builder.fadd(builder.load(place, **aligned), value), place, **aligned)
    builder.branch(end)


def n_bytes(kind):
    """Return the size of a floating-point type in bytes."""
    return 4 if isinstance(kind, ir.FloatType) else 8


def _add_tile_product(
    typing_context, height, width, left, left_row, left_step, right, out, row, column,
    first, last, address, stride,
):
    """Add left @ right to out[row:row + height, column:column + width vectors].

    left : element (m, t) is element m left_row + t left_step of the array's memory, so
        that the factor may be the array or its transpose; m = row .. row + height,
        t = first .. last, which is not empty
    right : rows first .. last, `width` vector registers from `column`
    out : of the dtype of the factors, or float64; the sums over first .. last are
        formed in the factors' dtype.
    address, stride : in bytes; step t of the loop also prefetches the cache line at address +
        t stride, so that loading the data needed next takes no extra time.
    """
    two, six = [types.int64] * 2, [types.int64] * 6
    signature = types.void(*two, left, *two, right, out, *six)

    def generate(context, builder, signature, args):
        tile_height, tile_width, _, left_row, left_step = args[:5]
        (left, _), right, out = (
            pointer(context, builder, signature.args[n], args[n]) for n in (2, 5, 6)
        )
        row, column = args[7:9]
        bounds, ahead = args[9:11], args[11:]
        left = element(builder, left, left_row, row, INDEX(0)), left_row, left_step
        right = element(builder, *right, INDEX(0), column), right[1]
        out = element(builder, *out, row, column), out[1]
        end = builder.append_basic_block("tile.end")
        case = builder.add(builder.mul(tile_height, INDEX(MAX_WIDTH + 1)), tile_width)
        switch = builder.switch(case, end)
        for w, heights in _SHAPES.items():
            for m in heights:
                block = builder.append_basic_block(f"tile.{m}x{w}")
                switch.add_case(INDEX(m * (MAX_WIDTH + 1) + w), block)
                builder.position_at_end(block)
                _emit_tile(builder, m, w, left, right, out, bounds, ahead, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


def transposed(builder, vectors):
    """Return the transpose of `lanes` vectors of `lanes` numbers."""
    vectors = list(vectors)
    lanes = len(vectors)
    # Swap off-diagonal blocks of 1, 2, 4, ... lanes between pairs of vectors.
    distance = 1
    while distance < lanes:
        low = [n if not n & distance else lanes + n - distance for n in range(lanes)]
        high = [n + distance if not n & distance else lanes + n for n in range(lanes)]
        masks = [
            ir.Constant(ir.VectorType(_LANE, lanes), [_LANE(lane) for lane in order])
            for order in (low, high)
        ]
        for b in range(lanes):
            if not b & distance:
                pair = vectors[b], vectors[b + distance]
                vectors[b], vectors[b + distance] = (
                    builder.shuffle_vector(*pair, mask) for mask in masks
                )
        distance *= 2
    return vectors


def store_columns(builder, vectors, target, row, column):
    """Store vectors[a] in target[column + a, row:row + lanes]."""
    for a, vector in enumerate(vectors):
        at = element(builder, *target, builder.add(column, INDEX(a)), row)
        place = vector_at(builder, at, 0, vector.type)
        builder.store(vector, place, align=n_bytes(vector.type.element))


def _transpose_tile(typing_context, source, row, column, target):
    """Set target[column + a, row + b] = source[row + b, column + a], a, b < lanes."""
    signature = types.void(source, types.int64, types.int64, target)

    def generate(context, builder, signature, args):
        source = pointer(context, builder, signature.args[0], args[0])
        target = pointer(context, builder, signature.args[3], args[3])
        row, column = args[1], args[2]
        number = source[0].type.pointee
        kind = ir.VectorType(number, REGISTER_BYTES // n_bytes(number))
        vectors = []
        for b in range(kind.count):
            at = element(builder, *source, builder.add(row, INDEX(b)), column)
            place = vector_at(builder, at, 0, kind)
            vectors.append(builder.load(place, align=n_bytes(number)))
        store_columns(builder, transposed(builder, vectors), target, row, column)
        return context.get_dummy_value()

    return signature, generate


def _load_vector(typing_context, source, first, shift, row, column, target):
    """Set target[row, column + a] = source[first, column + a] - shift[column + a], a < lanes.

    `lanes` are those of the target's dtype; the difference is formed in float64.
    """
    integer = types.int64
    signature = types.void(source, integer, shift, integer, integer, target)

    def generate(context, builder, signature, args):
        source, target = (
            pointer(context, builder, signature.args[n], args[n]) for n in (0, 5)
        )
        first, row, column = args[1], args[3], args[4]
        shift = context.make_array(signature.args[2])(context, builder, args[2]).data
        number = target[0].type.pointee
        lanes = REGISTER_BYTES // n_bytes(number)
        kind, exact, given = (
            ir.VectorType(base, lanes)
            for base in (number, ir.DoubleType(), source[0].type.pointee)
        )
        place = vector_at(builder, element(builder, *source, first, column), 0, given)
        vector = builder.load(place, align=n_bytes(given.element))
        place = vector_at(builder, builder.gep(shift, [column]), 0, exact)
        mean = builder.load(place, align=8)
        vector = builder.fsub(converted(builder, vector, exact), mean)
        place = vector_at(builder, element(builder, *target, row, column), 0, kind)
        builder.store(converted(builder, vector, kind), place, align=n_bytes(number))
        return context.get_dummy_value()

    return signature, generate


def converted(builder, vector, kind):
    """Return the vector as one of type `kind`, with as many numbers."""
    if vector.type == kind:
        return vector
    widen = n_bytes(vector.type.element) < n_bytes(kind.element)
    return (builder.fpext if widen else builder.fptrunc)(vector, kind)


if IS_INTERPRETED:    # the same in NumPy, for NUMBA_DISABLE_JIT=1

    def add_tile_product(
        height, width, left, left_row, left_step, right, out, row, column, first, last, *ahead
    ):
        """See `_add_tile_product`."""
        rows = slice(row, row + height)
        columns = slice(column, column + width * (REGISTER_BYTES // left.itemsize))
        factor = left if left_step == 1 else left.T
        out[rows, columns] += factor[rows, first:last] @ right[first:last, columns]

    def transpose_tile(source, row, column, target):
        """See `_transpose_tile`."""
        lanes = REGISTER_BYTES // source.itemsize
        tile = source[row:row + lanes, column:column + lanes]
        target[column:column + lanes, row:row + lanes] = np.transpose(tile)

    def load_vector(source, first, shift, row, column, target):
        """See `_load_vector`."""
        columns = slice(column, column + REGISTER_BYTES // target.itemsize)
        target[row, columns] = source[first, columns] - shift[columns]

else:
    load_vector = intrinsic(_load_vector)
    add_tile_product = intrinsic(_add_tile_product)
    transpose_tile = intrinsic(_transpose_tile)
