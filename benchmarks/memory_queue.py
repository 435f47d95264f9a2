"""The two calls of the TransferQueue that a step makes, in this process; tensors are copied in and out."""

from collections import Counter
from typing import Any

import torch
from tensordict import NonTensorStack, TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta


class MemoryQueue:
    """One partition; each field holds a value a row, in the order of the keys that were put first.

    `calls` counts gets and puts, `names` keeps the fields of each.
    """

    def __init__(self, keys: list[str], tags: list[dict[str, Any]]) -> None:
        self._keys, self._tags = list(keys), tags
        self._columns: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.names: list[tuple[str, list[str]]] = []

    def batch(self, **extra_info: Any) -> KVBatchMeta:
        """All rows, as a trainer gets them from its replay buffer."""
        return KVBatchMeta(
            keys=list(self._keys),
            tags=self._tags,
            partition_id="train",
            fields=list(self._columns),
            extra_info=extra_info,
        )

    def kv_batch_get(
        self, *, keys: list[str], partition_id: str, select_fields: list[str] | None = None
    ) -> TensorDict:
        """Those of the fields that are there, as the TransferQueue has it."""
        assert keys == self._keys and partition_id == "train"
        names = [name for name in select_fields or self._columns if name in self._columns]
        self.calls["get"] += 1
        self.names.append(("get", names))
        data = TensorDict({}, batch_size=len(keys))
        for name in names:
            data[name] = _copied(self._columns[name])
        return data

    def kv_batch_put(
        self,
        *,
        keys: list[str],
        partition_id: str,
        fields: TensorDict | dict[str, Any] | None = None,
        tags: list[dict[str, Any]] | None = None,
    ) -> KVBatchMeta:
        """Keep the fields, also lists of any values; the batch with all fields named."""
        assert keys == self._keys and partition_id == "train" and tags is None
        self.calls["put"] += 1
        self.names.append(("put", list(fields.keys())))
        self._columns |= {name: _copied(column) for name, column in fields.items()}
        return self.batch()


def _copied(column: Any) -> Any:
    if isinstance(column, Tensor) and column.is_nested:
        # With the longest length known: to pad without it takes time quadratic in the rows.
        length = column.offsets().diff()
        return torch.nested.nested_tensor_from_jagged(
            column.values().clone(),
            offsets=column.offsets().clone(),
            min_seqlen=int(length.min()),
            max_seqlen=int(length.max()),
        )
    if isinstance(column, Tensor):
        return column.clone()
    # As the TransferQueue hands them out, though made once: what the making takes is the queue's own time.
    return column if isinstance(column, NonTensorStack) else NonTensorStack(*column)
