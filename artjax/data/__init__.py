"""From a collection's own catalogue to batches on the device."""
