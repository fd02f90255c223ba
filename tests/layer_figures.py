"""The figures that both builds of the layer are held to."""

# Bytes by processor, with our own package and the migrations; 87 million before decision 75. Libraries for Arm are
# padded to pages of 64 KiB, which a zip doesn't keep.
MOST_BYTES = {"x86_64": 37_500_000, "arm64": 39_500_000}
