"""From images to a mask on the first image's own grid: preprocessing, sliding window, and the way back."""
