"""`--mode labels`, and the same page after a cross-validation."""
