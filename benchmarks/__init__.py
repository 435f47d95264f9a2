"""What AMIR costs: each module prints ratios from one run, beside the figure to reach."""
