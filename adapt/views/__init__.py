"""What is made of an image for a batch: crops, other augmentation, and masks of patches."""
