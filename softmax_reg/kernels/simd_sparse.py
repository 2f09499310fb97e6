"""Products of sparse rows in SIMD registers: see `simd_dense`.

A stored entry of X uses a row of a table: theta transposed, or its gradient. The sums over the
entries of a row of X, or the vectors to spread, stay in registers during the loop over entries.
The table's rows of later entries are prefetched, because they are scattered in memory.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import IS_INTERPRETED
from .registers import REGISTER_BYTES
from .simd_dense import INDEX, broadcast, element, emit_prefetch, n_bytes, pointer, vector_at

# Numbers of registers of a table's row that one pass over the entries of a row of X takes.
WIDTHS = (8, 4, 2, 1)
# Prefetch distance in entries.
_AHEAD = 6


def _number(context, builder, kind, array, position):
    """Load element `position` of a 1-D array."""
    view = context.make_array(kind)(context, builder, array)
    return builder.load(builder.gep(view.data, [position]))


def _as_index(builder, value):
    return builder.sext(value, INDEX) if value.type.width < 64 else value


def _as_kind(builder, value, kind):
    if value.type == kind:
        return value
    return (builder.fpext if n_bytes(value.type) < n_bytes(kind) else builder.fptrunc)(value, kind)


def _generate(prepare, step, finish):
    """Return an intrinsic's code generator: a loop over entries for each width of `WIDTHS`.

    prepare(builder, dense, kinds, width) -> vectors carried into the loop
    step(builder, carried, factor, places) -> vectors carried on
    finish(builder, carried, dense, kinds, width) -> None
    """

    def generate(context, builder, signature, args):
        width, values, indices, first, last, table, dense, row, column = args
        kinds = signature.args
        table_at, table_row = pointer(context, builder, kinds[5], table)
        dense_at, dense_row = pointer(context, builder, kinds[6], dense)
        dense_here = element(builder, dense_at, dense_row, row, column)
        number = table_at.type.pointee
        lanes = REGISTER_BYTES // n_bytes(number)
        table_kind = ir.VectorType(number, lanes)
        dense_kind = ir.VectorType(dense_at.type.pointee, lanes)
        final = builder.sub(last, INDEX(1))
        end = builder.append_basic_block("sparse.end")
        switch = builder.switch(width, end)
        for n in WIDTHS:
            entry = builder.append_basic_block(f"sparse.{n}")
            loop = builder.append_basic_block("sparse.loop")
            done = builder.append_basic_block("sparse.done")
            switch.add_case(INDEX(n), entry)
            builder.position_at_end(entry)
            carried = prepare(builder, dense_here, (dense_kind, table_kind), n)
            builder.cbranch(builder.icmp_signed("<", first, last), loop, end)
            builder.position_at_end(loop)
            e = builder.phi(INDEX)
            e.add_incoming(first, entry)
            phis = [builder.phi(vector.type) for vector in carried]
            for phi, vector in zip(phis, carried, strict=True):
                phi.add_incoming(vector, entry)
            later = builder.add(e, INDEX(_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, final), later, final)
            where = _as_index(builder, _number(context, builder, kinds[2], indices, later))
            ahead = element(builder, table_at, table_row, where, column)
            for w in range(n):
                emit_prefetch(builder, builder.gep(ahead, [INDEX(w * lanes)]))
            factor = _number(context, builder, kinds[1], values, e)
            factor = broadcast(builder, _as_kind(builder, factor, number), table_kind)
            where = _as_index(builder, _number(context, builder, kinds[2], indices, e))
            here = element(builder, table_at, table_row, where, column)
            places = [vector_at(builder, here, w * lanes, table_kind) for w in range(n)]
            on = step(builder, phis, factor, places)
            following = builder.add(e, INDEX(1))
            e.add_incoming(following, loop)
            for phi, vector in zip(phis, on, strict=True):
                phi.add_incoming(vector, loop)
            builder.cbranch(builder.icmp_signed("<", following, last), loop, done)
            builder.position_at_end(done)
            finish(builder, on, dense_here, (dense_kind, table_kind), n)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return generate


def _load_dense(builder, dense, kinds, width):
    dense_kind, table_kind = kinds
    vectors = []
    for w in range(width):
        place = vector_at(builder, dense, w * dense_kind.count, dense_kind)
        vector = builder.load(place, align=n_bytes(dense_kind.element))
        vectors.append(
            vector if dense_kind == table_kind else builder.fpext(vector, table_kind)
        )
    return vectors


def _store_dense(builder, carried, dense, kinds, width):
    for w, vector in enumerate(carried):
        place = vector_at(builder, dense, w * kinds[0].count, kinds[0])
        builder.store(vector, place, align=n_bytes(kinds[0].element))


def _fused(builder, factor, vector, addend):
    flags = {"flags": ("contract",)}
    return builder.fadd(builder.fmul(factor, vector, **flags), addend, **flags)


def _collect(builder, carried, factor, places):
    aligned = n_bytes(factor.type.element)
    return [
        _fused(builder, factor, builder.load(place, align=aligned), total)
        for total, place in zip(carried, places, strict=True)
    ]


def _spread(builder, carried, factor, places):
    aligned = n_bytes(factor.type.element)
    for vector, place in zip(carried, places, strict=True):
        old = builder.load(place, align=aligned)
        builder.store(_fused(builder, factor, vector, old), place, align=aligned)
    return carried


def _signature(values, indices, table, dense):
    integer = types.int64
    return types.void(
        integer, values, indices, integer, integer, table, dense, integer, integer
    )


def _add_sparse_row(
    typing_context, width, values, indices, first, last, table, dense, row, column
):
    """Add sum_e values[e] table[indices[e], column:] to dense[row, column:], `width` registers.

    The sum is over first <= e < last. The dtypes of table and dense are the same.
    """
    return _signature(values, indices, table, dense), _generate(
        _load_dense, _collect, _store_dense
    )


def _spread_sparse_row(
    typing_context, width, values, indices, first, last, table, dense, row, column
):
    """Add values[e] dense[row, column:] to table[indices[e], column:], `width` registers.

    The loop is over first <= e < last. The table has the dtype of dense, or float64.
    """
    return _signature(values, indices, table, dense), _generate(
        _load_dense, _spread, lambda *arguments: None
    )


if IS_INTERPRETED:    # the same in NumPy, for NUMBA_DISABLE_JIT=1

    def add_sparse_row(width, values, indices, first, last, table, dense, row, column):
        """See `_add_sparse_row`."""
        columns = slice(column, column + width * (REGISTER_BYTES // table.itemsize))
        for e in range(first, last):
            dense[row, columns] += values[e] * table[indices[e], columns]

    def spread_sparse_row(width, values, indices, first, last, table, dense, row, column):
        """See `_spread_sparse_row`."""
        columns = slice(column, column + width * (REGISTER_BYTES // table.itemsize))
        for e in range(first, last):
            table[indices[e], columns] += values[e] * dense[row, columns]

else:
    add_sparse_row = intrinsic(_add_sparse_row)
    spread_sparse_row = intrinsic(_spread_sparse_row)
