"""Math rewards for verl, each usable as `reward.custom_reward_function`."""
