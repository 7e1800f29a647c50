"""Training: recipe, augmentation, losses, checkpoints and the loop."""
