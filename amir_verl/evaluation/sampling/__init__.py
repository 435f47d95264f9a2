"""Questions, vLLM's offline engine, and the table of samples."""
