"""From TFRecords to batches on the devices."""
