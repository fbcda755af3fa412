//! What the board must never do: lose a shard, count one twice, leave a run without an end.
