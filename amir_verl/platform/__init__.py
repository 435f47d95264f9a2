"""verl on a machine without an accelerator, chosen by VERL_PLATFORM=cpu."""
