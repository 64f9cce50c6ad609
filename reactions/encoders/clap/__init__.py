"""CLAP spaces: laion_clap checkpoints and transformers' ClapModel, one encoder for both."""
