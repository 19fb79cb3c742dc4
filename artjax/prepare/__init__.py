"""From a folder of pictures to TFRecords."""
