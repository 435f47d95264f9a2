"""The mathematics of AMIR, torch alone: pairs, the loss, anchors, the advantage form, lambda."""
