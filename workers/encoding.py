"""Chunks to PostgreSQL's binary COPY format: Arrow in, bytes out, the lineage columns put in front."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

from service.domain.chunk import Chunk, ColumnType

SLICE_ROWS = 4_096
"""Rows encoded at a time, which keeps the encoder's buffer small."""


def copy_pieces(chunk: Chunk, job_id: UUID) -> Iterator[bytes]:
    """Encode a chunk as one complete binary COPY stream."""
    batch = with_lineage(chunk, job_id)
    encoders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in batch.schema}
    for column in chunk.columns:
        if column.type is ColumnType.JSONB:
            encoders[column.name] = StringEncoderBuilder.new_with_output(batch.schema.field(column.name), Jsonb())
    encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(batch.schema, encoders)
    yield encoder.write_header()
    for start in range(0, batch.num_rows, SLICE_ROWS):
        yield encoder.write_batch(batch.slice(start, SLICE_ROWS))
    yield encoder.finish()


def with_lineage(chunk: Chunk, job_id: UUID) -> pa.RecordBatch:
    """The batch with `_row` and `_job` in front; the rows are those of the chunk that no reject claims."""
    numbers = np.arange(chunk.first_row, chunk.first_row + chunk.read, dtype=np.int64)
    refused = np.fromiter((r.row - chunk.first_row for r in chunk.rejects), np.int64, len(chunk.rejects))
    accepted = np.delete(numbers, refused)
    if not len(accepted) == chunk.batch.num_rows == chunk.read - len(chunk.rejects):
        raise ValueError("a chunk must hold exactly the rows it read, as rows or as rejects")
    job = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(accepted), [None, pa.py_buffer(job_id.bytes * len(accepted))]
    )
    fields = [pa.field("_row", pa.int64()), pa.field("_job", pa.binary(16)), *chunk.batch.schema]
    return pa.RecordBatch.from_arrays([pa.array(accepted), job, *chunk.batch.columns], schema=pa.schema(fields))
