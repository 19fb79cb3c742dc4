"""Reads TFRecords, keeps decoded copies of the images, and puts batches on the devices."""
