"""A verl checkpoint as a Hugging Face model, with its card."""
