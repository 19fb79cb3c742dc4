"""What `--mode` can be, beside training: a file or a folder for each."""
