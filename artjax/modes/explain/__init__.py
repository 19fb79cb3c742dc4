"""`--mode explain`: pages that show what a network looks at, and what it takes for alike."""
