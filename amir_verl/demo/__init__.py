"""A tiny model and a task it can half do: everything a real training needs, made on the spot."""
