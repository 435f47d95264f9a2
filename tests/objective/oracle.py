"""The preference loss as the paper states it, in plain Python loops and float64; no line of the plugin's.

    S      = {(i, j) in one group : r_i - r_j > reward_margin}, narrowed by the mining and by the cap
    L_pref = - mean over S of w_ij * log sigmoid(beta * (l_i - l_j)),  the mean of w_ij being 1

with l_i the mean log-probability of the response tokens, relative to the reference policy where there is one.
"""

import math


def response_means(log_prob, mask, ref_log_prob=None):
    """l_i of each response; None for a response without a token."""
    means = []
    for row, row_mask in enumerate(mask):
        tokens = [t for t, on in enumerate(row_mask) if on]
        if not tokens:
            means.append(None)
            continue
        total = sum(log_prob[row][t] for t in tokens)
        if ref_log_prob is not None:
            total -= sum(ref_log_prob[row][t] for t in tokens)
        means.append(total / len(tokens))
    return means


def preference_pairs(rewards, groups, means, config):
    """S as a list of (chosen, rejected, weight)."""
    pairs = []
    for group in dict.fromkeys(groups):
        members = [
            i
            for i, name in enumerate(groups)
            if name == group and means[i] is not None and math.isfinite(rewards[i])
        ]
        levels = sorted({rewards[i] for i in members}, reverse=True)
        found = []
        for i in members:
            for j in members:
                gap = rewards[i] - rewards[j]
                if gap > config.reward_margin and _mined(rewards, members, levels, i, j, config):
                    found.append((i, j, levels.index(rewards[j]) - levels.index(rewards[i])))
        if config.max_pairs_per_group is not None:
            found.sort(key=lambda pair: rewards[pair[1]] - rewards[pair[0]])
            found = found[: config.max_pairs_per_group]
        pairs += found
    weigh = {
        "none": lambda d: 1.0,
        "linear": lambda d: float(d),
        "quadratic": lambda d: float(d * d),
        "log": lambda d: math.log(1 + d),
    }[config.rank_weighting]
    weights = [weigh(d) for _, _, d in pairs]
    mean = sum(weights) / len(weights) if weights else 1.0
    return [(i, j, weight / mean) for (i, j, _), weight in zip(pairs, weights, strict=True)]


def _mined(rewards, members, levels, i, j, config):
    if config.pair_mining == "topk":
        last_of_best = sorted((rewards[m] for m in members), reverse=True)[: config.top_k][-1]
        return rewards[i] >= last_of_best > rewards[j]
    if config.pair_mining == "adjacent":
        return levels.index(rewards[j]) == levels.index(rewards[i]) + 1
    if config.pair_mining == "best_worst":
        return rewards[i] == levels[0] and rewards[j] == levels[-1]
    return True


def spread(rewards, groups, means):
    """Root mean square deviation of l from its group's mean, over groups of two and more."""
    squares = []
    for group in dict.fromkeys(groups):
        values = [
            means[i]
            for i, name in enumerate(groups)
            if name == group and means[i] is not None and math.isfinite(rewards[i])
        ]
        if len(values) > 1:
            mean = sum(values) / len(values)
            squares += [(value - mean) ** 2 for value in values]
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def preference_loss(log_prob, mask, rewards, groups, config, *, old_log_prob=None, ref_log_prob=None):
    """L_pref and its gradient with respect to each token's log-probability.

    Both ends of a pair are live without `old_log_prob`. With it a pair is seen from both of its ends, the
    live one against the sibling at the old policy: half the sum is the value, the slope of the whole
    sum is the gradient. With `pull` one end alone moves: its terms are value and slope.
    """
    live = response_means(log_prob, mask, ref_log_prob)
    fixed = live if old_log_prob is None else response_means(old_log_prob, mask, ref_log_prob)
    pairs = preference_pairs(rewards, groups, fixed, config)
    beta = config.beta
    if config.beta_scale == "group_std":
        beta = config.beta / max(spread(rewards, groups, fixed), 1e-3)
    loss, by_response = 0.0, [0.0] * len(rewards)
    for i, j, weight in pairs:
        share = weight / len(pairs)
        if old_log_prob is None:
            x = beta * (live[i] - live[j])
            loss += share * _minus_log_sigmoid(x)
            by_response[i] -= (config.pull != "rejected") * share * beta * _sigmoid(-x)
            by_response[j] += (config.pull != "chosen") * share * beta * _sigmoid(-x)
        else:
            from_chosen, from_rejected = beta * (live[i] - fixed[j]), beta * (fixed[i] - live[j])
            if config.pull != "rejected":
                loss += share * _minus_log_sigmoid(from_chosen) / (2 if config.pull == "both" else 1)
                by_response[i] -= share * beta * _sigmoid(-from_chosen)
            if config.pull != "chosen":
                loss += share * _minus_log_sigmoid(from_rejected) / (2 if config.pull == "both" else 1)
                by_response[j] += share * beta * _sigmoid(-from_rejected)
    gradient = [
        [by_response[row] / max(sum(map(bool, row_mask)), 1) if on else 0.0 for on in row_mask]
        for row, row_mask in enumerate(mask)
    ]
    return loss, gradient


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _minus_log_sigmoid(x):
    return math.log1p(math.exp(-abs(x))) + max(-x, 0.0)
