"""Neural models: aligner, acoustic model, vocoders, speaker encoder, and the partition of parameters into modules."""
