"""Some examples of a prepared set, read without TensorFlow, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from artjax.data import tfrecords
from artjax.data.prepared import Prepared
from artjax.errors import DataError

# tensorflow/core/example/example.proto and feature.proto: field numbers and types.
_LISTS = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))


def examples_at(
    prepared: Prepared, split: str, rows: Collection[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields row and example of some works of a split, in the order of its records.

    Args:
      prepared: the prepared set.
      split: one of its own splits.
      rows: in the order of the records, which canvases have, too.

    Yields:
      The row, and the first value of each feature by its name: bytes, float or int. Features without a
      value are left out.

    Raises:
      DataError: if there are no TFRecords, or protobuf is not installed.
    """
    try:
        example_class = _example_class()
    except ImportError as error:
        raise DataError(f"reading TFRecords needs protobuf ({error})") from error
    row = -1
    for file in tfrecords.files_of(prepared.directory, split):
        for _, record in tfrecords.payloads(file):
            row += 1
            if row in rows:
                yield row, _first_values(example_class.FromString(record))


def _first_values(example: Any) -> dict[str, Any]:
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        if values:
            found[name] = values[0]
    return found


@cache
def _example_class() -> Any:
    """The class of `tf.train.Example`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="artjax/example.proto", package="artjax", syntax="proto3"
    )
    types = (field.TYPE_BYTES, field.TYPE_FLOAT, field.TYPE_INT64)
    for (_, name), type_ in zip(_LISTS, types, strict=True):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, type=type_, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, of) in enumerate(_LISTS, start=1):
        feature.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".artjax.{of}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    of_value = {"type": field.TYPE_MESSAGE, "type_name": ".artjax.Feature"}
    entry.field.add(name="value", number=2, label=field.LABEL_OPTIONAL, **of_value)
    of_map = {"type": field.TYPE_MESSAGE, "type_name": ".artjax.Features.FeatureEntry"}
    features.field.add(name="feature", number=1, label=field.LABEL_REPEATED, **of_map)
    of_features = {"type": field.TYPE_MESSAGE, "type_name": ".artjax.Features"}
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, label=field.LABEL_OPTIONAL, **of_features)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("artjax.Example"))
