"""How well a model's log-probabilities rank given responses."""
