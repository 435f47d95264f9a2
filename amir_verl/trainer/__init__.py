"""Where AMIR meets verl's trainer: checks before Ray, the driver's step, the worker's loss."""
