"""Many scenes at once: what is to do, and doing it on several processes."""
