"""ReActNet: learned shifts before the sign, and RPReLU after the convolution."""
