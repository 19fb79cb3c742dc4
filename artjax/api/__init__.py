"""What `import artjax` offers to notebooks and scripts; the package itself re-exports it."""
