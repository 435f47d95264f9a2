"""What verl lacks where it runs: without an accelerator (VERL_PLATFORM=cpu), and beside another run."""
